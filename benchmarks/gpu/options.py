"""What `python -m benchmarks.gpu` can be asked for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from aegis_ros.backends import backend_names, create_backend
from aegis_ros.errors import AegisError
from aegis_ros.spec import Wait
from benchmarks.gpu.bench import AUTO, WAYS
from benchmarks.gpu.partitions import CONFINED, OUTSIDE
from benchmarks.gpu.report import PACKAGE
from benchmarks.report import parser, read_options

__all__ = ["device_of", "options"]

# The first that works here, where none is named: only with the first one can networks be confined.
_BACKENDS = ("onnxruntime_cuda", "tensorrt", "onnxruntime")

_ALL_PARTS = ("ways", "costs", "apart")
_QUICK: dict[str, Any] = {
    "loads": [0.8, 1.3],
    "seconds": 2.0,
    "runs": 200,
    "minutes": 2.5,
    "ways": ["streams", "aegis_2", "aegis", "queue"],
    "parts": ["ways"],
}
_EXAMPLES = """
examples:
  python -m benchmarks.gpu --json gpu.json --plot gpu.png
      under 8 minutes; figures are written after each part
  python -m benchmarks.gpu --backend onnxruntime_cuda --places inside --inside 16
      only as on a small GPU
  python -m benchmarks.gpu --backend onnxruntime_cuda --places inside --parts ways --loads 0.8 \
          --ways streams aegis_auto --choose-seconds 150 --minutes 4 --state gpu-state
      lanes that are chosen; once more, and more lanes are known
  python -m benchmarks.gpu --draw gpu.json --plot gpu.png
      the picture of an earlier run
  python -m benchmarks.gpu --backend onnxruntime --seconds 4
      the same on processor cores, one lane and two: says nothing of a GPU
"""


def options(description: str | None) -> argparse.Namespace:
    """Return what the command line asks for, under a description of the whole."""
    arguments = parser(PACKAGE, description)
    arguments.epilog = _EXAMPLES
    known = sorted({*backend_names()} - {"simulated", CONFINED, OUTSIDE})
    arguments.add_argument("--backend", choices=known,
                           help=f"the first of {', '.join(_BACKENDS)} that works here")  # fmt: skip
    arguments.add_argument("--places", nargs="+", choices=["whole", "inside"],
                           default=["whole", "inside"])  # fmt: skip
    arguments.add_argument("--inside", type=int, default=16, help="multiprocessors there (16)")
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.8, 0.95, 1.3],
                           help="of the rate at which streams begin to miss")  # fmt: skip
    arguments.add_argument("--ways", nargs="+", choices=list(WAYS),
                           help="(all; on a GPU all but aegis_2, on processor cores those that "
                           "they suffice for)")  # fmt: skip
    arguments.add_argument("--parts", nargs="+", choices=_ALL_PARTS, default=list(_ALL_PARTS),
                           help="ways to share the device, what a job costs, and what lies apart "
                           "from that: neighbours, shares, segments (all)")  # fmt: skip
    arguments.add_argument("--seconds", type=float, default=2.5, help="of each round (2.5)")
    arguments.add_argument("--runs", type=int, default=2000, help="to measure each budget (2000)")
    arguments.add_argument("--minutes", type=float, default=7.5,
                           help="for all of it: a part that may take longer than what is left is "
                           "left out, and that is noted (7.5)")  # fmt: skip
    arguments.add_argument("--choose-seconds", type=float, default=45.0,
                           help=f"to measure for {AUTO}; lanes that were not by then are left out, "
                           "and what --state keeps needs no time (45)")  # fmt: skip
    arguments.add_argument("--scale", type=int, default=0,
                           help="of the large networks' frames (whole GPU 2, else 1)")  # fmt: skip
    arguments.add_argument("--copies", type=int, default=0,
                           help="tasks of each large network (whole GPU 2, else 1)")  # fmt: skip
    arguments.add_argument("--share", type=int, default=64,
                           help="multiprocessors of the first of two shares (64)")  # fmt: skip
    arguments.add_argument("--wait", choices=[str(each) for each in Wait], default="sleep",
                           help="how the lanes of all ways wait for a GPU (sleep)")  # fmt: skip
    arguments.add_argument("--switch-ms", type=float, default=0.2, help="cost of a segment (0.2)")
    arguments.add_argument("--state", type=Path, help="folder that keeps engines and profiles")
    arguments.add_argument("--commit", default="", help="of this package, where git cannot say")
    arguments.add_argument("--plot", type=Path, help="also draw the figures to this file")
    arguments.add_argument("--draw", type=Path, help="only draw the figures of this file")
    return read_options(arguments, _QUICK)


def device_of(backend: str | None) -> tuple[str, str]:
    """Return which backend to use and the name of its device.

    Args:
        backend: its name; ``None`` for the first that works here.

    Raises:
        SystemExit: it does not work here; why.
    """
    refusals = []
    for name in _BACKENDS if backend is None else (backend,):
        try:
            return name, create_backend(name).device_name()
        except AegisError as error:
            refusals.append(f"{name}: {error}")
    raise SystemExit("\n".join(refusals))
