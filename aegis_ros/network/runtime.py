"""Which ONNX Runtime is installed, without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["runtime_version"]


def runtime_version() -> str:
    """Return the version of whichever distribution brings ONNX Runtime.

    Raises:
        PackageNotFoundError: there is none.
    """
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return version("onnxruntime-gpu")
