"""Bounds the outputs of which each run decides how many rows there are, as of detected objects.

Their place is taken before the first frame, and what a network finds on black and on noise says
nothing of a crowded street. So they have room for a number of rows that is declared or usual, and
what a run finds beyond that is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aegis_ros.errors import ModelError
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule

__all__ = ["SeenOutput", "bound_rows"]

_USUAL = 100  # as many as the usual benchmarks of detectors count
_CHEAP_BYTES = 64 * 1024  # of each output; more rows than usual where they take no more


@dataclass(frozen=True, slots=True)
class SeenOutput:
    """An output as the graph states it, and as it was.

    Attributes:
        stated: extents; anything but a number where the graph does not state one.
        shapes: of each run.
    """

    stated: tuple[object, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def rows_axis(self) -> int:
        """The axis whose extent the data decides; -1 for none, or for several."""
        found = [
            axis
            for axis, extents in enumerate(zip(*self.shapes, strict=True))
            if (len(set(extents)) > 1 or 0 in extents) and not self._states(axis)
        ]
        return found[0] if len(found) == 1 else -1

    def _states(self, axis: int) -> bool:
        """Return whether the graph has a number there; no extents at all may mean unknown."""
        return axis < len(self.stated) and isinstance(self.stated[axis], int)


def bound_rows(
    outputs: Sequence[TensorInfo], seen: Sequence[SeenOutput], max_results: int = 0
) -> tuple[TensorInfo, ...]:
    """Return outputs with a bound on the rows that are kept of each, the same for all.

    Args:
        outputs: with the largest extents that were seen.
        seen: the same outputs in several runs.
        max_results: the bound; 0 for what is usual.

    Raises:
        ModelError: there is nothing to bound.
    """
    axes = [each.rows_axis for each in seen]
    free = [(item, axis) for item, axis in zip(outputs, axes, strict=True) if axis >= 0]
    if not free:
        if max_results:
            raise ModelError(
                "the number of rows is the same for every frame in all outputs of this network",
                where="output.max_results",
                value=max_results,
                expected="a network that finds more on one frame than on another",
                hint="Leave it out",
                rule=Rule.SCHEMA,
            )
        return tuple(outputs)
    most = max_results or max(
        _USUAL,
        *(2 * int(item.shape[axis]) for item, axis in free),
        min(_CHEAP_BYTES // max(1, _with_rows(item, axis, 1).nbytes) for item, axis in free),
    )
    return tuple(
        item if axis < 0 else _with_rows(item, axis, most)
        for item, axis in zip(outputs, axes, strict=True)
    )


def _with_rows(item: TensorInfo, axis: int, rows: int) -> TensorInfo:
    shape = (*item.shape[:axis], rows, *item.shape[axis + 1 :])
    return replace(item, shape=shape, rows_axis=axis)
