"""What every benchmark says the same way: its command, the machine, percentiles, JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from aegis_ros.backends.onnxruntime import cpu_name

__all__ = ["machine", "parser", "percentiles", "publish", "table"]


def parser(package: str, text: str | None) -> argparse.ArgumentParser:
    """Return a parser for ``python -m package`` that knows ``--json``."""
    made = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    return made


def machine() -> str:
    """Return processor, architecture and number of cores."""
    return f"{cpu_name()}, {platform.machine()}, {os.cpu_count()} cores"


def percentiles(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return count, median, 99th percentile and maximum."""
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "count": len(values),
        "p50": float(p50),
        "p99": float(p99),
        "max": float(np.max(values)),
    }


def table(title: str, *columns: str) -> Table:
    """Return an empty table, its first column to the left and the others to the right."""
    made = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left")
    return made


def publish(package: str, figures: Mapping[str, Any], path: Path | None) -> None:
    """Print the figures as JSON, with command and machine, and write them where asked."""
    command = " ".join([f"python -m {package}", *sys.argv[1:]])
    text = json.dumps({"command": command, "machine": machine(), **figures}, indent=1)
    if path is not None:
        path.write_text(text)
    print(text)
