"""The CUDA driver behind one protocol, through whichever Python package is installed."""

from aegis_ros.backends.cuda.arena import Arena, Block
from aegis_ros.backends.cuda.driver import (
    OUT_OF_MEMORY,
    STICKY,
    CudaDriver,
    CudaError,
    CudaUnavailable,
    Partition,
    open_driver,
)

__all__ = [
    "OUT_OF_MEMORY",
    "STICKY",
    "Arena",
    "Block",
    "CudaDriver",
    "CudaError",
    "CudaUnavailable",
    "Partition",
    "open_driver",
]
