"""What `python -m benchmarks.gpu` can be asked for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from aegis_ros.backends import backend_names
from aegis_ros.spec import Wait
from benchmarks.gpu.partitions import CONFINED, OUTSIDE
from benchmarks.gpu.report import PACKAGE
from benchmarks.gpu.ways import AUTO, WAYS
from benchmarks.report import parser, read_options

__all__ = ["IN_ORDER", "options"]

# The most telling first, should time run out.
IN_ORDER = ("streams", AUTO, "aegis_2", "aegis", "queue", "processes", "aegis_3", "aegis_shares")
_USUAL = tuple(way for way in IN_ORDER if way != AUTO)
_ALL_PARTS = ("ways", "costs", "apart")
_QUICK: dict[str, Any] = {
    "loads": [0.8, 1.3],
    "seconds": 2.0,
    "runs": 200,
    "minutes": 2.5,
    "ways": ["streams", "aegis_2", "aegis", "queue"],
}
_EXAMPLES = """
examples:
  python -m benchmarks.gpu --backend onnxruntime_cuda --json gpu.json --plot gpu.png
      under 8 minutes; figures are written after each part
  python -m benchmarks.gpu --backend onnxruntime_cuda --places inside --inside 16
      only as on a small GPU
  python -m benchmarks.gpu --backend onnxruntime_cuda --places inside --parts ways --loads 0.8 \
          --ways streams aegis_auto --minutes 3.6 --state gpu-state
      lanes that are chosen, in less than 4 minutes; once more, and more lanes are known
  python -m benchmarks.gpu --draw gpu.json --plot gpu.png
      the picture of an earlier run
  python -m benchmarks.gpu --backend onnxruntime --seconds 2 --runs 50
      the same on processor cores: shows that the benchmark works, and says nothing of a GPU
"""


def options(description: str | None) -> argparse.Namespace:
    """Return what the command line asks for, under a description of the whole."""
    arguments = parser(PACKAGE, description)
    arguments.epilog = _EXAMPLES
    known = sorted({*backend_names()} - {"simulated", CONFINED, OUTSIDE})
    arguments.add_argument("--backend", default="tensorrt", choices=known)
    arguments.add_argument("--places", nargs="+", choices=["whole", "inside"],
                           default=["whole", "inside"])  # fmt: skip
    arguments.add_argument("--inside", type=int, default=16, help="multiprocessors there (16)")
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.8, 0.95, 1.3],
                           help="of the rate at which streams begin to miss")  # fmt: skip
    arguments.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(_USUAL),
                           help=f"all but {AUTO}, which first measures networks on parts of the "
                           "GPU, for as long as --choose-seconds")  # fmt: skip
    arguments.add_argument("--parts", nargs="+", choices=_ALL_PARTS, default=list(_ALL_PARTS),
                           help="ways to share the device, what a job costs, and what lies apart "
                           "from that: neighbours, shares, segments (all)")  # fmt: skip
    arguments.add_argument("--seconds", type=float, default=4.0, help="of each round (4)")
    arguments.add_argument("--runs", type=int, default=2000, help="to measure each budget (2000)")
    arguments.add_argument("--minutes", type=float, default=7.0,
                           help="after which no further part begins (7)")  # fmt: skip
    arguments.add_argument("--choose-seconds", type=float, default=90.0,
                           help=f"to measure for {AUTO}, at each load; lanes that were not by then "
                           "are left out, and what --state keeps needs no time (90)")  # fmt: skip
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
