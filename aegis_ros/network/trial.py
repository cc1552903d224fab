"""Runs a fused network on frames, to learn how large its outputs are and what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.extents import finding, largest_extents
from aegis_ros.network.feed import Feed
from aegis_ros.network.graph import at_largest, tensor_infos
from aegis_ros.network.patterns import Busy, patterns
from aegis_ros.network.rows import SeenOutput, bound_rows
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.network.tensor import DTYPE_OF_ONNX, TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import (
    GraphInvalid,
    LoadFailure,
    OperatorFailed,
    RuntimeRefuses,
    ShapesDoNotFit,
)

__all__ = ["Trial", "most_rows", "tried"]

# What a size ends in that the network does not take.
_OF_SHAPES = (GraphInvalid, OperatorFailed, RuntimeRefuses, ShapesDoNotFit)
_LEAST_PATTERNS = 3
_MOST_SECONDS = 30.0

_Frames = dict[str, npt.NDArray[np.generic]]
_Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was learned.

    Attributes:
        outputs: every output with its largest extents.
        busy: the pattern on which the network finds most; ``None`` where what it computes does not
            depend on that.
    """

    outputs: tuple[TensorInfo, ...]
    busy: Busy | None = None


def tried(
    fused: onnx.ModelProto,
    path: Path,
    feeds: Sequence[Feed],
    *,
    max_results: int = 0,
    other_size: LoadFailure | None = None,
) -> Trial:
    """Run a network and return what its outputs are like.

    Args:
        fused: the network.
        path: file that it is in; files beside it are made and removed.
        feeds: what feeds its inputs.
        max_results: most rows that are kept of an output whose rows the data decides; 0 for what
            the graph allows, or is usual.
        other_size: why the network is likely to fail on its input, if it does.

    Raises:
        ModelError: it cannot be run, or has an output that is no tensor of numbers or of any rank.
    """
    own = len(fused.graph.output)
    with _watched(fused, path) as (whole, place):
        run = _Runner(place, other_size)
        inputs = tensor_infos(whole.graph.input)
        shapes = [run(frames) for frames in _plain(inputs, feeds)]
        fixed = [run.fixed(at) for at in range(len(run.names))]
        most = list(fixed)
        ranks = [len(shape) for shape in shapes[0]]
        if any(None in extents for extents in fixed):
            stated, allowed = largest_extents(at_largest(whole, feeds), place.parent)
            fixed = [stated.get(name, ()) for name in run.names]
            most = [allowed.get(name, ()) for name in run.names]
        plain = len(shapes)
        if any(len(each) != rank or None in each for each, rank in zip(fixed, ranks, strict=True)):
            end = time.monotonic() + _MOST_SECONDS
            for frames in _patterns(inputs, feeds):
                shapes.append(run(frames))
                if len(shapes) >= plain + _LEAST_PATTERNS and time.monotonic() > end:
                    break
    seen = list(map(SeenOutput, fixed, most, zip(*shapes, strict=True)))
    outputs = bound_rows(
        [
            TensorInfo(name, dtype, tuple(map(max, zip(*each.shapes, strict=True))))
            for name, dtype, each in zip(run.names[:own], run.dtypes, seen, strict=False)
        ],
        seen[:own],
        max_results,
    )
    return Trial(outputs, _busiest(outputs, seen, range(plain, len(shapes))))


def most_rows(
    fused: onnx.ModelProto,
    path: Path,
    frames: Sequence[npt.NDArray[np.generic]],
    rows_axes: Sequence[int],
) -> int:
    """Return the most rows that a network finds in one of several frames.

    As in :attr:`Trial.busy`, rows of outputs count where there are any, else what is found inside.

    Args:
        fused: the network.
        path: file that it is in; files beside it are made and removed.
        frames: what each of its inputs is fed, [frames, *shape of a frame].
        rows_axes: axis of each output whose extent the data decides, -1 for none.

    Raises:
        ModelError: it fails on one of them.
    """
    names = [item.name for item in fused.graph.input]
    with _watched(fused, path) as (_, place):
        run = _Runner(place, None)
        shapes = [run(dict(zip(names, frame, strict=True))) for frame in zip(*frames, strict=True)]
        axes = list(rows_axes)
        if max(axes) < 0:  # the one axis of what is inside that is not fixed
            fixed = [run.fixed(at) for at in range(len(run.names))]
            axes = [each.index(None) if each.count(None) == 1 else -1 for each in fixed]
            axes[: len(rows_axes)] = rows_axes
    return max(
        (
            shape[axis]
            for each in shapes
            for shape, axis in zip(each, axes, strict=False)
            if axis >= 0
        ),
        default=0,
    )


@contextmanager
def _watched(fused: onnx.ModelProto, path: Path) -> Iterator[tuple[onnx.ModelProto, Path]]:
    """Yield a network, and its file, that also gives out what it finds inside."""
    inside = finding(fused)
    if not inside:
        yield fused, path
        return
    watched = onnx.ModelProto()
    watched.CopyFrom(fused)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside)
    place = path.with_name("watched.onnx")
    onnx.save_model(watched, place)
    try:
        yield watched, place
    finally:
        place.unlink(missing_ok=True)


def _busiest(outputs: Sequence[TensorInfo], seen: Sequence[SeenOutput], of: range) -> Busy | None:
    """Return the pattern on which most is found; ``of`` are the runs on patterns.

    Rows of outputs count first: what is found inside the network and then left out costs less.
    """
    bounded = [each for each in seen[: len(outputs)] if each.rows_axis >= 0]
    inside = [each for each in seen[len(outputs) :] if each.rows_axis >= 0]
    if not of or not (bounded or inside):
        return None

    def found(run: int) -> tuple[int, int]:
        return (
            max((each.rows(run) for each in bounded), default=0),
            max((each.rows(run) for each in inside), default=0),
        )

    busiest = max(of, key=found)
    limits = [each.limit(each.rows_axis) for each in bounded or inside]
    return Busy(
        pattern=busiest - of[0],
        found=found(busiest)[0 if bounded else 1],
        most=0 if None in limits else max(limit or 0 for limit in limits),
        kept=max(
            (int(item.shape[item.rows_axis]) for item in outputs if item.rows_axis >= 0), default=0
        ),
    )


class _Runner:
    """A network on the CPU; a call returns the extents of its outputs."""

    def __init__(self, path: Path, other_size: LoadFailure | None) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._other_size = other_size
        self._session: Any = self._guarded(
            lambda: onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        )
        self._outputs = self._session.get_outputs()
        for item in self._outputs:
            if item.type not in DTYPE_OF_ONNX:
                raise ModelError(
                    f"output {item.name!r} is {item.type}, not a tensor of numbers",
                    where="model",
                    hint="Cut it off, or convert it inside the graph",
                    rule=Rule.MODEL_VALID,
                )
        self.names = [item.name for item in self._outputs]
        self.dtypes = [DTYPE_OF_ONNX[item.type] for item in self._outputs]
        self._ranks: list[int] = []

    def fixed(self, index: int) -> tuple[int | None, ...]:
        """Return the extents of an output as far as the runtime states them."""
        shape = self._outputs[index].shape
        if len(shape) != self._ranks[index]:
            return (None,) * self._ranks[index]  # it does not even state how many there are
        return tuple(each if isinstance(each, int) else None for each in shape)

    def __call__(self, frames: _Frames) -> _Shapes:
        values = self._guarded(lambda: self._session.run(self.names, frames))
        shapes = tuple(each.shape for each in values)
        ranks = [len(shape) for shape in shapes]
        self._ranks = self._ranks or ranks
        for name, first, rank in zip(self.names, self._ranks, ranks, strict=True):
            if rank != first:
                raise ModelError(
                    f"output {name!r} has {first} extents for one frame and {rank} for another",
                    where="model",
                    expected="the same number of extents for every frame",
                    hint="Reshape it to one number of extents inside the graph, or cut it off",
                    rule=Rule.MODEL_VALID,
                )
        return shapes

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            failure = runtime_failure(error)
            if self._other_size is not None and isinstance(failure, _OF_SHAPES):
                failure = self._other_size
            raise load_error(failure, ModelError) from error


def _plain(inputs: Sequence[TensorInfo], feeds: Sequence[Feed]) -> Iterator[_Frames]:
    """Yield frames that are 0, and noise."""
    fed = list(zip(inputs, feeds, strict=True))
    yield {item.name: np.zeros(feed.max_shape, item.dtype) for item, feed in fed}
    generator = np.random.default_rng(0)
    yield {
        item.name: (generator.random(feed.max_shape, np.float32) * 255).astype(item.dtype)
        for item, feed in fed
    }


def _patterns(inputs: Sequence[TensorInfo], feeds: Sequence[Feed]) -> Iterator[_Frames]:
    names = [item.name for item in inputs]
    made = (patterns(feed.max_shape, item.dtype) for item, feed in zip(inputs, feeds, strict=True))
    for frames in zip(*made, strict=True):
        yield dict(zip(names, frames, strict=True))
