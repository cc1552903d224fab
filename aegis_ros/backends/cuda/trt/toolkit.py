"""TensorRT as it is installed: found once, with one sentence for what is missing."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from aegis_ros.backends.cuda.driver import CudaDriver, CudaUnavailable, open_driver
from aegis_ros.errors import BackendError

__all__ = ["Toolkit", "collecting_logger", "find_toolkit"]

_PACKAGES = ("tensorrt", "tensorrt_rtx")
_ON_JETSON = "on a Jetson `sudo apt install nvidia-jetpack`"
_ON_PC = "on a PC `sudo ubuntu-drivers install` and `pip install 'aegis_ros[tensorrt]'`"
_INSTEAD = "or set `backend: onnxruntime` to run on the CPU"


@dataclass(frozen=True)
class Toolkit:
    """What the backend works with.

    Attributes:
        trt: the module ``tensorrt`` (or ``tensorrt_rtx``).
        driver: the CUDA driver.
    """

    trt: Any
    driver: CudaDriver

    @property
    def version(self) -> str:
        """Name and version of the runtime."""
        flavour = "TensorRT-RTX" if self.trt.__name__ == "tensorrt_rtx" else "TensorRT"
        return f"{flavour} {self.trt.__version__}"


def find_toolkit() -> Toolkit:
    """Return the installed TensorRT and the driver; no CUDA context is made.

    Raises:
        BackendError: one of them is missing; one sentence says which and how to get it.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BackendError(
            "backend tensorrt needs an NVIDIA GPU, and this machine has no NVIDIA driver "
            f"(libcuda.so.1): {_ON_JETSON}, {_ON_PC}, {_INSTEAD}"
        ) from error
    trt = _import_tensorrt()
    try:
        return Toolkit(trt, open_driver())
    except CudaUnavailable as error:
        if "not installed" in str(error):
            raise BackendError(
                "backend tensorrt reaches the GPU through cuda-python or PyCUDA, and neither is "
                "installed: `pip install cuda-python`"
            ) from error
        raise BackendError(
            f"backend tensorrt needs an NVIDIA GPU, but {error}: try `nvidia-smi` (on a Jetson "
            f"`sudo tegrastats`), whether this user may open /dev/nvidia* (group video), {_INSTEAD}"
        ) from error


def collecting_logger(trt: Any) -> tuple[Any, list[str]]:
    """Return a logger for TensorRT, and the list its errors go to."""
    errors: list[str] = []
    kept = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in kept:
                errors.append(" ".join(message.split()))
                del errors[:-50]

    return Logger(), errors


def _import_tensorrt() -> Any:
    broken = ""
    for name in _PACKAGES:
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            broken = f"{name} cannot be imported ({str(error)[:150]})"
            continue
        if hasattr(module, "Runtime") and hasattr(module, "OnnxParser"):
            return module
        broken = f"the package {name} here is not all of TensorRT"
    missing = broken or "which is not installed"
    raise BackendError(
        f"backend tensorrt needs TensorRT 10.3 or newer, {missing}: on a Jetson "
        "`sudo apt install python3-libnvinfer` and a virtual environment made with "
        "--system-site-packages, on a PC `pip install 'aegis_ros[tensorrt]'`"
    )
