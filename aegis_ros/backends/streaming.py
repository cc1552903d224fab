"""Networks of whose segments only some have their weights in memory, and what that takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.memory import Footprint, StreamedSegment, StreamPlan, stream_plan

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_ros.network.preparing import PreparedNetwork

__all__ = ["Streams", "kept_segments", "load_ns", "plan_of", "streamed"]


@runtime_checkable
class Streams(Protocol):
    """The part of a backend with :attr:`Capabilities.streams_weights`, beside that of all others.

    Its ``load`` takes networks with :attr:`CompiledNetwork.weights`, and loads the weights of a
    segment that takes turns before the segment runs, as a part of its step.
    """

    def compile_streamed(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int
    ) -> CompiledNetwork:
        """Return a network in segments with their weights in files of their own.

        Args:
            prepared: the network.
            cache_dir: what was made is kept here.
            segments: at most so many; those that are as even as can be in what they load and
                compute. Outputs are those of the whole, to the bit.

        Returns:
            It with one segment resident and cold storage; or whole, without weights of their own
            and with a ``note`` that says why.

        Raises:
            BackendError: the runtime cannot take it.
        """
        ...


def streamed(compiled: CompiledNetwork, resident: int, storage: str) -> CompiledNetwork:
    """Return a network with another number of segments in memory at once.

    Args:
        compiled: as :meth:`Streams.compile_streamed` returned it, or this function did.
        resident: at least 1, at most all of its segments.
        storage: ``cold`` or ``warm``.
    """
    made = replace(compiled, resident=resident, storage=storage)
    more = Footprint(weights=plan_of(made).weights - plan_of(compiled).weights)
    return replace(made, footprint=compiled.footprint + more)


def plan_of(compiled: CompiledNetwork, compute_ns: tuple[int, ...] = ()) -> StreamPlan:
    """Return which segments stay in memory, and what loading the others costs.

    Args:
        compiled: with weights of their own.
        compute_ns: budget of each segment without loading; empty for none.
    """
    times = compute_ns or (0,) * compiled.segments
    segments = [
        StreamedSegment(each.nbytes, ns, compute)
        for each, ns, compute in zip(compiled.weights, load_ns(compiled), times, strict=True)
    ]
    return stream_plan(segments, compiled.resident)


def load_ns(compiled: CompiledNetwork) -> tuple[int, ...]:
    """Return how long loading each segment takes from the storage that is declared."""
    cold = compiled.storage == "cold"
    return tuple(each.cold_ns if cold else each.warm_ns for each in compiled.weights)


def kept_segments(compiled: CompiledNetwork) -> frozenset[int]:
    """Return the indices of the segments whose weights stay from job to job."""
    return plan_of(compiled).kept
