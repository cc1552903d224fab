"""What was measured on: card, driver, runtime and commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

__all__ = ["circumstances"]

_QUERY = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.max.sm",
    "clocks.max.mem",
    "mig.mode.current",
)
_PACKAGES = ("onnxruntime-gpu", "onnxruntime", "tensorrt", "cuda-bindings", "numpy", "onnx")


def circumstances(commit: str = "") -> dict[str, object]:
    """Return what a stranger has to know of a run, as far as this machine says.

    Args:
        commit: of this package; empty for what git says.
    """
    asked = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader"]
    lines = _said(asked).splitlines()
    cards = [dict(zip(_QUERY, map(str.strip, line.split(",")), strict=False)) for line in lines]
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cards": cards,
        "commit": commit or _said(["git", "describe", "--always", "--dirty"]) or "unknown",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": len(os.sched_getaffinity(0)),
        "packages": packages,
    }


def _said(command: list[str]) -> str:
    """Return what a program prints; nothing where it is missing or fails."""
    try:
        found = subprocess.run(
            command,
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
