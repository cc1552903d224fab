"""ONNX Runtime with its CUDA provider as it is installed, with one sentence for what is missing."""

from __future__ import annotations

import contextlib
import ctypes
import io
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from aegis_ros.backends.cuda.driver import CudaDriver, CudaUnavailable, open_driver
from aegis_ros.backends.cuda.ort.libraries import missing_libraries
from aegis_ros.errors import BackendError

__all__ = ["PROVIDER", "OrtToolkit", "find_ort_toolkit"]

PROVIDER = "CUDAExecutionProvider"
_NAME = "backend onnxruntime_cuda"
_GET = "`pip uninstall -y onnxruntime && pip install 'aegis_ros[cuda]'`"
_LIBRARIES = "pip install nvidia-cublas nvidia-curand nvidia-cuda-runtime"
_PROVIDER_FILE = "capi/libonnxruntime_providers_cuda.so"  # where ONNX Runtime comes from pip
_INSTEAD = "or set `backend: onnxruntime` to run on the CPU"


@dataclass(frozen=True)
class OrtToolkit:
    """What the backend works with.

    Attributes:
        ort: the module ``onnxruntime``.
        driver: the CUDA driver.
    """

    ort: Any
    driver: CudaDriver

    @property
    def version(self) -> str:
        """Name and version of the runtime."""
        return f"ONNX Runtime {self.ort.__version__} CUDA"


def find_ort_toolkit() -> OrtToolkit:
    """Return the installed ONNX Runtime and the driver; no CUDA context is made.

    Raises:
        BackendError: one of them is missing; one sentence says which and how to get it.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BackendError(
            f"{_NAME} needs an NVIDIA GPU, and this machine has no NVIDIA driver (libcuda.so.1): "
            f"`sudo ubuntu-drivers install`, {_INSTEAD}"
        ) from error
    ort: Any = import_module("onnxruntime")
    if PROVIDER not in ort.get_available_providers():
        raise BackendError(
            f"{_NAME} needs an ONNX Runtime with CUDA, and the one installed here "
            f"({ort.__version__}) has none: {_GET}, {_INSTEAD}"
        )
    ort.set_default_logger_severity(4)
    _load_libraries(ort)
    if missing := missing_libraries(Path(ort.__file__).parent / _PROVIDER_FILE):
        raise BackendError(
            f"{_NAME} needs CUDA's libraries, and {', '.join(missing)} cannot be loaded: "
            f"`{_LIBRARIES}`, {_INSTEAD}"
        )
    try:
        return OrtToolkit(ort, open_driver())
    except CudaUnavailable as error:
        if "not installed" in str(error):
            raise BackendError(
                f"{_NAME} reaches the GPU through cuda-python, which is not installed: "
                "`pip install cuda-python`"
            ) from error
        raise BackendError(
            f"{_NAME} needs an NVIDIA GPU, but {error}: try `nvidia-smi`, whether this user may "
            f"open /dev/nvidia* (group video), {_INSTEAD}"
        ) from error


def _load_libraries(ort: Any) -> None:
    """Load CUDA's libraries from pip's packages where there are any; else the system's serve."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is None:
        return
    # It prints what it does not find, and a child's answer goes to the same place. The provider
    # says what is missing when it starts.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        preload()
