"""Bounds the outputs of which each run decides how many rows there are, as of detected objects.

Their place is taken before the first frame. So they have room for a number of rows that is
declared, that the graph allows (a suppression its number of boxes), or that is usual; and what a
run finds beyond that is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aegis_ros.errors import ModelError
from aegis_ros.network.extents import Extents
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule

__all__ = ["SeenOutput", "bound_rows"]

_USUAL = 100  # as many as the usual benchmarks of detectors count
_CHEAP_BYTES = 64 * 1024  # of each output; more rows than usual where they take no more
_MOST_BYTES = 16 * 1024**2  # of each output; what only the graph or a pattern asks for


@dataclass(frozen=True, slots=True)
class SeenOutput:
    """An output as the graph states it, and as it was.

    Attributes:
        fixed: extents; ``None`` where the graph does not state one. Empty where it states none.
        most: the largest extents that the graph allows; ``None`` where nothing limits one. Empty
            where nothing is known.
        shapes: of each run.
    """

    fixed: Extents
    most: Extents
    shapes: tuple[tuple[int, ...], ...]

    @property
    def rows_axis(self) -> int:
        """The axis whose extent the data decides; -1 for none, or for several."""
        found = [axis for axis in self._open if len(self._seen(axis)) > 1 or 0 in self._seen(axis)]
        return found[0] if len(found) == 1 else -1

    @property
    def possible_axis(self) -> int:
        """As :attr:`rows_axis`, or the only axis that the graph does not state."""
        axis = self.rows_axis
        return self._open[0] if axis < 0 and len(self._open) == 1 else axis

    def rows(self, run: int) -> int:
        """Return how many rows there were in a run; 0 where the data decides nothing."""
        axis = self.rows_axis
        return 0 if axis < 0 else self.shapes[run][axis]

    def limit(self, axis: int) -> int | None:
        """Return how many rows the graph allows; ``None`` where it does not say."""
        found = self.most[axis] if len(self.most) == len(self.shapes[0]) else None
        # More than that was seen: rows that are fewer the more is found, say. It is no limit.
        return None if found is None or found < max(self._seen(axis)) else found

    @property
    def _open(self) -> list[int]:
        """The axes that the graph does not state."""
        rank = len(self.shapes[0])
        if len(self.fixed) != rank:
            return list(range(rank))
        return [axis for axis in range(rank) if self.fixed[axis] is None]

    def _seen(self, axis: int) -> set[int]:
        return {shape[axis] for shape in self.shapes}


def bound_rows(
    outputs: Sequence[TensorInfo], seen: Sequence[SeenOutput], max_results: int = 0
) -> tuple[TensorInfo, ...]:
    """Return outputs with a bound on the rows that are kept of each.

    Rows of several outputs belong together: none keeps fewer than another, unless the graph allows
    no more of it.

    Args:
        outputs: with the largest extents that were seen.
        seen: the same outputs in several runs.
        max_results: the bound; 0 for what the graph allows, or else for what is usual.

    Raises:
        ModelError: there is nothing to bound.
    """
    axes = [each.possible_axis if max_results else each.rows_axis for each in seen]
    free = [
        (item, axis, each.limit(axis))
        for item, axis, each in zip(outputs, axes, seen, strict=True)
        if axis >= 0
    ]
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
    limits = [limit for item, axis, limit in free if limit and limit <= _affordable(item, axis)]
    if max_results:
        most = max_results
    elif len(limits) == len(free):
        most = max(limits)
    else:
        most = max(
            _USUAL,
            *(min(2 * int(item.shape[axis]), _affordable(item, axis)) for item, axis, _ in free),
            min(_CHEAP_BYTES // _row_bytes(item, axis) for item, axis, _ in free),
        )
    return tuple(
        item if axis < 0 else _with_rows(item, axis, min(most, each.limit(axis) or most))
        for item, axis, each in zip(outputs, axes, seen, strict=True)
    )


def _affordable(item: TensorInfo, axis: int) -> int:
    return _MOST_BYTES // _row_bytes(item, axis)


def _row_bytes(item: TensorInfo, axis: int) -> int:
    return max(1, _with_rows(item, axis, 1).nbytes)


def _with_rows(item: TensorInfo, axis: int, rows: int) -> TensorInfo:
    shape = (*item.shape[:axis], rows, *item.shape[axis + 1 :])
    return replace(item, shape=shape, rows_axis=axis)
