"""A measured execution-time profile of one network on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aegis_ros.wcet.budget import Budget, budget
from aegis_ros.wcet.condition import Condition, Place

__all__ = ["Batch", "Profile", "ProfileKey"]


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """What a profile is true for; another value of any field needs another measurement.

    Attributes:
        network: key of the prepared network (model digest, preprocessing, largest frame).
        backend: name of the backend.
        device: device and runtime version, as the backend names them.
    """

    network: str
    backend: str
    device: str


@dataclass(frozen=True)
class Batch:
    """Runs measured in one go.

    Attributes:
        samples_ns: int64 [runs, segments], in the order of measurement.
        measured_at_ns: wall clock at the end, nanoseconds since 1970.
        condition: how it was measured.
        machine: what the machine was like, as :func:`~aegis_ros.wcet.machine.describe_machine`.
    """

    samples_ns: npt.NDArray[np.int64]
    measured_at_ns: int
    condition: Condition = field(default_factory=Condition)
    machine: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """Execution times of each segment, under one condition or several.

    Attributes:
        key: what it is true for.
        model_digest: SHA-256 of the model file.
        batches: at least one, all with as many segments, oldest first.
    """

    key: ProfileKey
    model_digest: str
    batches: tuple[Batch, ...]

    @property
    def samples_ns(self) -> npt.NDArray[np.int64]:
        """Runs under all conditions, int64 [runs, segments]."""
        return np.concatenate([batch.samples_ns for batch in self.batches])

    @property
    def runs(self) -> int:
        """Number of runs under all conditions."""
        return sum(batch.samples_ns.shape[0] for batch in self.batches)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return int(self.batches[0].samples_ns.shape[1])

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition once, in the order they were first measured."""
        return tuple(dict.fromkeys(batch.condition for batch in self.batches))

    def apart(self) -> Profile | None:
        """Return what was measured while nothing ran on other lanes; ``None`` if nothing was."""
        return self._apart

    @cached_property
    def _apart(self) -> Profile | None:
        kept = tuple(
            batch
            for batch in self.batches
            if (other := batch.condition.neighbour) is None or other.place is Place.AFTER
        )
        return replace(self, batches=kept) if kept else None

    def of(self, condition: Condition) -> npt.NDArray[np.int64]:
        """Return the runs under one condition, int64 [runs, segments]; none if never measured."""
        found = [batch.samples_ns for batch in self.batches if batch.condition == condition]
        return np.concatenate(found) if found else np.empty((0, self.segments), np.int64)

    def budgets_of(self, condition: Condition) -> tuple[Budget, ...]:
        """Return the budget of each segment under one condition.

        Raises:
            KeyError: nothing was measured under it.
        """
        return self._budgets[condition]

    @cached_property
    def _budgets(self) -> dict[Condition, tuple[Budget, ...]]:
        found = {}
        for condition in self.conditions:
            samples = self.of(condition)
            found[condition] = tuple(budget(samples[:, each]) for each in range(self.segments))
        return found

    def total_of(self, condition: Condition) -> Budget:
        """Return the budget of all segments of one run together, under one condition.

        The slowest runs of the segments are seldom the same run: the sum of each run is what is
        looked at, by the same rules as for a segment.

        Raises:
            KeyError: nothing was measured under it.
        """
        return self._totals[condition]

    @cached_property
    def _totals(self) -> dict[Condition, Budget]:
        if self.segments == 1:
            return {condition: found[0] for condition, found in self._budgets.items()}
        return {condition: budget(self.of(condition).sum(axis=1)) for condition in self.conditions}

    def deciding_total(self) -> tuple[Condition, Budget]:
        """Return the condition that asks for the largest budget of a whole run, and that."""
        return max(self._totals.items(), key=lambda item: item[1].value_ns)

    def total_ns(self) -> int:
        """Return the budget of a whole run: at least the longest segment's, at most their sum."""
        parts = [found.value_ns for found in self.budgets()]
        return min(sum(parts), max(*parts, self.deciding_total()[1].value_ns))

    def deciding(self) -> tuple[tuple[Condition, Budget], ...]:
        """Return for each segment the condition that asks for the largest budget, and that."""
        return tuple(
            max(
                ((condition, budgets[segment]) for condition, budgets in self._budgets.items()),
                key=lambda item: item[1].value_ns,
            )
            for segment in range(self.segments)
        )

    def budgets(self) -> tuple[Budget, ...]:
        """Return the budget of each segment: what the worst condition measured asks for."""
        return tuple(found for _, found in self.deciding())
