"""What a runtime must offer to be used by the engine.

A backend has two halves. The *offline* half (:meth:`Backend.compile`) turns a prepared network into
whatever the runtime loads fastest; it may be slow and runs outside the engine. The *run-time* half
lives in the engine process: everything is allocated at :meth:`Backend.load`; :meth:`Backend.start`
returns at once, and a call with the token of the work reports its end, from any thread, so that CPU
workers, CUDA streams and remote servers look alike to the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from aegis_ros.backends.weights import SegmentWeights
from aegis_ros.errors import AegisError, BackendError
from aegis_ros.memory import Footprint
from aegis_ros.network.feed import NetworkInput
from aegis_ros.network.patterns import patterns
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.sandbox.verified import all_verified
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = [
    "MOST_INPUTS",
    "Advice",
    "Arrays",
    "Backend",
    "Capabilities",
    "CompiledNetwork",
    "Completion",
    "Ended",
    "LoadedNetwork",
    "Part",
    "Partial",
    "Runtime",
    "Shapes",
    "Work",
]


MOST_INPUTS = 8  # that a job can be handed

Arrays = Sequence[npt.NDArray[np.generic]]
Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond running one network after the other.

    Attributes:
        batches: takes a :class:`Work` of several parts.
        inputs: how many inputs a network may have.
        state: networks keep state from job to job (:attr:`Part.state`).
        partitions: lanes can have multiprocessors of their own (:attr:`LaneSpec.sms`).
        graphs: replays what it has recorded of a segment.
        shares_activations: networks of one lane, which never run together, have their activations
            in the same memory, in the block that :attr:`CompiledNetwork.block_bytes` names.
        streams_weights: loads weights while it runs, so that they need not all fit.
        on_cores: computes on the lanes' CPU cores, not on a device of its own; what is measured
            then depends on the clock of those cores.
        tf32: can multiply float32 as TF32; its factory then takes ``tf32=True``.
        generators: runs language models, too: it is one of
            :class:`~aegis_ros.backends.generators.Generates`.
        waits: a lane's thread waits for a device, as :attr:`LaneSpec.wait` says.
        contends: what its lanes have in common and so slow each other by, in words; lanes of other
            backends that say the same slow them, too. Empty where lanes do not meet.
        distributions: installed distributions whose versions decide how long a run takes.
        code: suffixes of files with code compiled elsewhere that it takes as networks
            (:attr:`PreparedNetwork.code`), as ``.so``.
        tunes: can search for a faster way to compute a network: it is one of
            :class:`~aegis_ros.backends.tuning.Tunes`.
    """

    batches: bool = False
    inputs: int = 1
    state: bool = False
    partitions: bool = False
    graphs: bool = False
    shares_activations: bool = False
    streams_weights: bool = False
    on_cores: bool = False
    tf32: bool = False
    generators: bool = False
    waits: bool = False
    contends: str = ""
    distributions: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    tunes: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """What building a segment found out about it, for whoever loads it.

    Attributes:
        eager: why its launches cannot be recorded and replayed; empty where they can.
        arena_bytes: most it may take on the device; 0 for no limit.
        tf32: whether its float32 may be multiplied as TF32.
    """

    eager: str = ""
    arena_bytes: int = 0
    tf32: bool = False


@dataclass(frozen=True, slots=True)
class CompiledNetwork:
    """What a backend made of a prepared network.

    Attributes:
        backend: name of the backend it is for.
        key: key of the prepared network.
        paths: one file a segment, in order of execution.
        inputs: what is fed from frames, in order.
        outputs: outputs of the last segment, all extents bound.
        footprint: what it will take when loaded, without the slots of frames and outputs.
        dynamic_outputs: names of outputs whose extents are known only after a run; ``outputs``
            then holds the largest extents seen when the network was prepared.
        shares: part of the execution time each segment is expected to take, 0..1 each, 1
            together; empty for equal parts.
        cuts: identifies where it was cut; empty for a network that is whole.
        note: why it is not in as many segments as was asked for; empty where it is.
        complete_after: index of the segment with whose end each output is complete and in its
            place; empty where all are with the last one only.
        digests: SHA-256 of each file in hex; a file that has another one is not loaded. Empty where
            nobody knows them.
        advice: what the build found out about each segment; empty for nothing.
        busy: number of the :func:`~aegis_ros.network.patterns.patterns` it is measured on, where
            what it computes depends on how much it finds; -1 for random frames.
        block_bytes: size of the block of its lane in which its activations are to lie, where the
            backend shares them; 0 for any that is large enough.
        weights: of each segment, where they lie in files of their own; empty where they do not.
        resident: how many segments have their weights in memory at once, where they do.
        storage: what those are loaded from: ``cold``, past the page cache, or ``warm``, through it.
        tuned: identifies the ways to compute it that a search has found; empty without one.
    """

    backend: str
    key: str
    paths: tuple[str, ...]
    inputs: tuple[NetworkInput, ...]
    outputs: tuple[TensorInfo, ...]
    footprint: Footprint
    dynamic_outputs: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    cuts: str = ""
    note: str = ""
    complete_after: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    busy: int = -1
    block_bytes: int = 0
    weights: tuple[SegmentWeights, ...] = ()
    resident: int = 0
    storage: str = ""
    tuned: str = ""

    @contextmanager
    def opened(self, kind: type[AegisError] = BackendError) -> Iterator[tuple[str, ...]]:
        """Yield names under which the files open, which are exactly those that were built.

        Those of weights follow on those of segments.

        Args:
            kind: class of the error.

        Raises:
            AegisError: of that kind: a file is gone, or is not what was built.
        """
        graphs = zip_longest(self.paths, self.digests, fillvalue="")
        weights = ((each.path, each.digest) for each in self.weights)
        with all_verified(chain(graphs, weights), kind) as files:
            yield files

    def busiest_frames(self) -> list[npt.NDArray[np.generic]] | None:
        """Return the pattern on which it finds most, [1, *largest shape] for each input.

        ``None`` where what it computes does not depend on that.
        """
        if self.busy < 0:
            return None
        return [
            np.stack(list(patterns(item.max_shape, item.dtype, [self.busy])))
            for item in self.inputs
        ]

    @property
    def frame_input(self) -> TensorInfo:
        """The first input; the only one where the backend takes no more."""
        return self.inputs[0].tensor

    @property
    def max_shape(self) -> tuple[int, ...]:
        """Shape of the first input's largest frame."""
        return self.inputs[0].max_shape

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.paths)

    @property
    def profile_key(self) -> str:
        """What execution times are kept under: another cut, search or loads, another profile."""
        key = self.key
        if self.segments > 1:
            loads = f"/{self.resident}-{self.storage}" if self.weights else ""
            key = f"{key}/{self.segments}-{self.cuts}{loads}"
        return f"{key}/tuned-{self.tuned}" if self.tuned else key

    def completed_by(self, segment: int) -> tuple[str, ...]:
        """Return the names of the outputs that are complete once a segment has ended."""
        after = self.complete_after or (self.segments - 1,) * len(self.outputs)
        return tuple(
            item.name for item, last in zip(self.outputs, after, strict=True) if last <= segment
        )

    def exit_after(self, stand_ins: Iterable[str]) -> int:
        """Return the number of segments after which these outputs are complete."""
        wanted = set(stand_ins)
        return next(
            segment + 1
            for segment in range(self.segments)
            if wanted <= set(self.completed_by(segment)) or segment == self.segments - 1
        )

    def exit_outputs(self, early_exit: Mapping[str, str]) -> dict[str, str]:
        """Return what a job that ends early hands out: by name, the output it is taken from.

        That is the stand-ins, under the names of those they stand in for, and beside them what
        else is complete by then.

        Args:
            early_exit: by name of an output, that of its stand-in.
        """
        stand_ins = set(early_exit.values())
        complete = self.completed_by(self.exit_after(stand_ins) - 1)
        beside = {name: name for name in complete if name not in stand_ins}
        return beside | dict(early_exit)

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that :meth:`from_json` understands."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> CompiledNetwork:
        """Return the network :meth:`to_json` described.

        Raises:
            msgspec.ValidationError: it described none.
        """
        return msgspec.convert(values, CompiledNetwork)


class LoadedNetwork(Protocol):
    """A network that is ready to run on one lane."""

    @property
    def segments(self) -> int:
        """Number of segments."""
        ...

    @property
    def note(self) -> str:
        """What was chosen when it was loaded, for people; empty where there was no choice."""
        ...


class Partial(Protocol):
    """Takes outputs that a work has completed before its end; may be called on any thread."""

    def __call__(self, token: int, part: int, outputs: int, shapes: Shapes | None = None) -> None:
        """Take some outputs of one part.

        Args:
            token: of the work.
            part: index of the part.
            outputs: which are complete: bit 0 for the network's first, and so on.
            shapes: extents of every output, when one of them is dynamic.
        """
        ...


class Part:
    """What one job takes part in a :class:`Work` with; reused for the lane's next work.

    Attributes:
        network: what ``load`` returned.
        inputs: one array an input of the network, in its order, each in its slot; must stay valid
            until the completion.
        outputs: one C-contiguous array an output of the network, filled once the step has ended
            that :attr:`CompiledNetwork.complete_after` names. The array of a dynamic output is
            flat and holds as many elements as there is room for: values go to its front, their
            extents into :attr:`Completion.shapes`; what does not fit is an error of this run alone.
        state: what is kept from job to job for the network, which it changes as it runs; ``None``
            where nothing is.
        prefetched: whether :meth:`Backend.prefetch` has brought these inputs; for the first step.
    """

    __slots__ = ("inputs", "network", "outputs", "prefetched", "state")

    def __init__(
        self,
        network: LoadedNetwork,
        inputs: Arrays,
        outputs: Arrays,
        state: object | None = None,
        *,
        prefetched: bool = False,
    ) -> None:
        """Keep what the job brings."""
        self.network = network
        self.inputs = inputs
        self.outputs = outputs
        self.state = state
        self.prefetched = prefetched


class Work:
    """What a lane is handed at once: one step of one job, or the same step of several jobs.

    Belongs to the backend from ``start`` to its completion; whoever made it may then use it again.

    Attributes:
        token: identifies this start; its completion carries it.
        step: index of the segment.
        parts: one a job, at least one; several where the backend ``batches``.
        partial: called with what is complete before the end; ``None`` where nobody waits for it.
    """

    __slots__ = ("partial", "parts", "step", "token")

    def __init__(
        self,
        parts: list[Part],
        *,
        step: int = 0,
        token: int = 0,
        partial: Partial | None = None,
    ) -> None:
        """Keep what the lane is to do."""
        self.parts = parts
        self.step = step
        self.token = token
        self.partial = partial


@dataclass(slots=True)
class Completion:
    """How a work ended; a backend may use the object again once the call that took it returned.

    Attributes:
        started_ns: monotonic time at which execution began.
        finished_ns: monotonic time at which it ended.
        error: what went wrong; empty for nothing.
        shapes: extents of every output, when one of them is dynamic; else ``None``. Those of an
            output that is not complete yet mean nothing, but have to fit its array, too.
        outcome: passed to the execution plan of the job, where its next step depends on it.
    """

    started_ns: int = 0
    finished_ns: int = 0
    error: str = ""
    shapes: tuple[tuple[int, ...], ...] | None = None
    outcome: object = None


Ended = Callable[[int, Completion], None]
"""Called with (token of the work, how it went), on any thread, once for each work that was started.
The lane is idle then, and the next work may be started from inside the call. A call from inside
``start`` is refused."""


class Runtime(Protocol):
    """What the engine uses of a backend: ``open`` comes first, ``close`` last."""

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Create the lanes.

        Args:
            lanes: as configured, each with its own way to wait where the backend ``waits``.
            ended: called for every work that was started.
            priority: SCHED_FIFO priority wanted for the lanes, 0 for none.

        Raises:
            BackendError: the device cannot be had.
        """
        ...

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Allocate everything a network needs; may be called from another thread than ``start``.

        Raises:
            BackendError: it cannot be loaded; nothing is left behind.
        """
        ...

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Register memory for frames, before the first frame lies in it.

        Args:
            memory: uint8 [bytes]; stays where it is until :meth:`unpin`. Frames may lie in other
                memory, too, which can cost a copy.

        Raises:
            BackendError: the device is lost.
        """
        ...

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Unregister memory for frames; waits until the device reads none there.

        Raises:
            BackendError: as the device says.
        """
        ...

    def prefetch(self, network: LoadedNetwork, inputs: Arrays) -> bool:
        """Begin to bring a job's inputs to the device while it waits for a lane that is busy.

        Never at the same time as :meth:`start`, returns at once and raises nothing.

        Returns:
            Whether it was begun. The job may then be started with ``prefetched``, unless other
            inputs of the network were prefetched or started in between; or never be started.
        """
        ...

    def start(self, lane: int, work: Work) -> None:
        """Begin one work on an idle lane; returns at once. One call a lane at a time.

        Its end is reported from another thread, or by a later call of this one.

        Args:
            lane: index of the lane.
            work: what to run; stays as it is until its completion.
        """
        ...

    def unload(self, network: LoadedNetwork) -> None:
        """Give back what ``load`` allocated; not while it runs."""
        ...

    def device_name(self) -> str:
        """Return a name that identifies the device and the runtime's version in profiles."""
        ...

    def determinism(self) -> str:
        """Say what the lanes were permitted (priority, affinity), after ``open``."""
        ...

    def close(self) -> None:
        """End the lanes."""
        ...


class Backend(Runtime, Protocol):
    """A runtime adaptor: both halves."""

    name: str
    capabilities: Capabilities

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Return the network in the form this runtime loads fastest (offline half).

        Args:
            prepared: the network.
            cache_dir: what was made is kept here.
            segments: in how many parts it is to run. Outputs must be those of the whole, to the
                bit, or within a tolerance that is stated where the runtime's own builds differ;
                a network that cannot be cut so stays whole, and ``note`` says why.

        Raises:
            BackendError: the runtime cannot take it.
        """
        ...
