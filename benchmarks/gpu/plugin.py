"""Offers the benchmark's own backend by name, as another distribution would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["TORCH", "offered_here"]

TORCH = "torch_graphs"


@contextmanager
def offered_here(folder: Path) -> Iterator[None]:
    """Have this process and the engines it starts find the backend, by its entry point."""
    info = folder / "plugin" / "aegis_ros_bench-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aegis-ros-bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[aegis_ros.backends]\n{TORCH} = benchmarks.gpu.torch_graphs:TorchGraphBackend\n"
    )
    sys.path.append(str(info.parent))
    try:
        yield
    finally:
        sys.path.remove(str(info.parent))
