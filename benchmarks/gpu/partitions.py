"""Backends of this benchmark alone: a GPU of fewer multiprocessors, and a lane outside its part.

They are offered as entry points, as another distribution would offer its own; the engine's process
finds them on the same search path.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aegis_ros.backends.base import Ended
from aegis_ros.backends.cuda import CudaDriver, CudaError, Partition
from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend
from aegis_ros.backends.cuda.ort.toolkit import OrtToolkit, find_ort_toolkit
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFINED", "OUTSIDE", "Confined", "ConfinedBackend", "OutsideBackend", "offer"]

CONFINED = "benchmark_confined"
OUTSIDE = "benchmark_outside"
_SMS = "AEGIS_BENCHMARK_SMS"
_TOO_FEW = 915
_OFFERED: Mapping[str, str] = {CONFINED: "ConfinedBackend", OUTSIDE: "OutsideBackend"}


class Confined:
    """A driver whose streams all compute on the first multiprocessors, as on a smaller GPU.

    Args:
        driver: the whole GPU.
        sms: how many multiprocessors; rounded up to what the GPU can part.
    """

    def __init__(self, driver: CudaDriver, sms: int) -> None:
        """Divide nothing yet."""
        self._driver = driver
        self._sms = sms
        self._part: Partition | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Return everything else from the driver."""
        return getattr(self._driver, name)

    def multiprocessors(self) -> int:
        """Return how many there are: ways to divide the GPU are counted from it."""
        return min(self._sms, self._driver.multiprocessors())

    def create_stream(self, urgency: int, partition: int = 0) -> int:
        """Return a stream on the partition, or on the multiprocessors there are."""
        return self._driver.create_stream(urgency, partition or self._inside().handle)

    def split(self, counts: Sequence[int]) -> list[Partition]:
        """Divide the multiprocessors there are."""
        *own, beyond = self._driver.split(counts)
        left = self._inside().sms - sum(part.sms for part in own)
        if left:  # one call divides all: what was left of another one overlaps with these
            for part in own:
                self._driver.unite(part.handle)
        self._driver.unite(beyond.handle)
        if left < 0:
            raise CudaError("split", _TOO_FEW, "fewer multiprocessors than asked for")
        if not left:
            return [*own, Partition(0, 0)]
        *own, beyond = self._driver.split([*counts, left])
        self._driver.unite(beyond.handle)
        return own

    def close(self) -> None:
        """Give the partition and the context back."""
        with self._lock:
            part, self._part = self._part, None
        if part is not None:
            self._driver.unite(part.handle)
        self._driver.close()

    def _inside(self) -> Partition:
        with self._lock:
            if self._part is None:
                self._part, beyond = self._driver.split([self._sms])
                self._driver.unite(beyond.handle)
            return self._part


class ConfinedBackend(OnnxRuntimeCudaBackend):
    """ONNX Runtime on a part of the GPU; networks are built as for the whole.

    Args:
        toolkit: as for :class:`OnnxRuntimeCudaBackend`.
        sms: multiprocessors; ``None`` for as many as the benchmark says.
    """

    def __init__(self, toolkit: OrtToolkit | None = None, *, sms: int | None = None) -> None:
        """Find ONNX Runtime and the GPU."""
        toolkit = toolkit or find_ort_toolkit()
        self._sms = sms or int(os.environ[_SMS])
        driver = cast("CudaDriver", Confined(toolkit.driver, self._sms))
        super().__init__(OrtToolkit(toolkit.ort, driver))

    def device_name(self) -> str:
        """Return the GPU's name with the multiprocessors, so that profiles are kept apart."""
        return f"{super().device_name()}, inside {self._sms} multiprocessors"


class OutsideBackend(OnnxRuntimeCudaBackend):
    """ONNX Runtime with a second lane that ignores its part and computes on the whole GPU."""

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Open the lanes, and have networks of the second one use all multiprocessors."""
        super().open(lanes, ended, priority)
        for lane in self._lanes[1:]:
            lane.partition, lane.sms = 0, 0


def offer(folder: Path, sms: int) -> None:
    """Offer these backends to this process and to all that it starts.

    Args:
        folder: for what says so.
        sms: multiprocessors of :data:`CONFINED`.
    """
    named = folder / "aegis_benchmark-0.dist-info"
    named.mkdir(parents=True, exist_ok=True)
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: aegis-benchmark\nVersion: 0\n")
    offered = [f"{name} = {__name__}:{which}" for name, which in _OFFERED.items()]
    (named / "entry_points.txt").write_text("\n".join(["[aegis_ros.backends]", *offered, ""]))
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    os.environ[_SMS] = str(sms)
