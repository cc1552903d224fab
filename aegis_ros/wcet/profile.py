"""A measured execution-time profile of one network on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.wcet.budget import Budget, budget

__all__ = ["Profile", "ProfileKey"]


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
class Profile:
    """Execution times of each segment.

    Attributes:
        key: what it is true for.
        model_digest: SHA-256 of the model file.
        samples_ns: int64 [runs, segments].
        measured_at_ns: wall clock, nanoseconds since 1970.
        note: where and how it was measured.
    """

    key: ProfileKey
    model_digest: str
    samples_ns: npt.NDArray[np.int64]
    measured_at_ns: int
    note: str = ""

    def budgets(self) -> tuple[Budget, ...]:
        """Return the budget of each segment."""
        return tuple(
            budget(self.samples_ns[:, segment]) for segment in range(self.samples_ns.shape[1])
        )

    @property
    def runs(self) -> int:
        """Number of runs."""
        return int(self.samples_ns.shape[0])
