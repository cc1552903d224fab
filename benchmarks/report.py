"""What every benchmark says the same way: its options, its figures, the machine, percentiles."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

__all__ = [
    "Figure",
    "console",
    "figure",
    "figures_in",
    "machine",
    "parser",
    "percentiles",
    "publish",
    "read_options",
    "table",
]

_UNIT_IN_NAME = re.compile(r"^(?P<name>.*) \((?P<unit>[^()]+)\)$")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a benchmark.

    Attributes:
        name: unique within the benchmark.
        unit: of the values; empty for a count or a ratio.
        count: number of samples.
        p50: median, or the value itself where it is only one.
        p99, max: 99th percentile and maximum; ``None`` where they say nothing.
    """

    name: str
    unit: str
    count: int
    p50: float
    p99: float | None = None
    max: float | None = None


def figure(name: str, unit: str, values: Sequence[float] | np.ndarray) -> Figure:
    """Return the figure that samples come to."""
    if len(values) == 1:
        return Figure(name, unit, 1, float(values[0]))
    found = percentiles(values)
    return Figure(name, unit, len(values), found["p50"], found["p99"], found["max"])


def figures_in(published: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of a benchmark's JSON file, also of one that an older version wrote.

    Older versions wrote rows by name, or had the number of tasks or the unit beside the name.
    """
    rows = published.get("rows", [])
    if isinstance(rows, Mapping):
        rows = [{"name": name, **row} for name, row in rows.items()]
    found = []
    for row in rows:
        if "p50" not in row:
            continue
        name, unit = str(row["name"]).strip(), str(row.get("unit", ""))
        if not unit and (match := _UNIT_IN_NAME.match(name)):
            name, unit = match["name"], match["unit"]
        if "tasks" in row:
            name = f"{name}, {row['tasks']} tasks"
        found.append(
            Figure(name, unit, int(row.get("count", 1)), row["p50"], row.get("p99"), row.get("max"))
        )
    ratios = published.get("ratios", {})
    return found + [Figure(name, "", 1, value) for name, value in ratios.items()]


def parser(package: str, text: str | None) -> argparse.ArgumentParser:
    """Return a parser for ``python -m package`` that knows ``--json``."""
    made = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    return made


def read_options(
    made: argparse.ArgumentParser,
    quick: Mapping[str, Any],
    arguments: Sequence[str] | None = None,
) -> argparse.Namespace:
    """Read the command line, with ``--quick`` as an option.

    Args:
        made: parser with all other options.
        quick: defaults of options under ``--quick``; what is given beside it still counts.
        arguments: to read; ``None`` for those of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    named = " ".join(
        f"--{name.replace('_', '-')} {_words(value)}".strip() for name, value in quick.items()
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help=f"a first look in at most 3 minutes on 2 cores, that is {named}",
    )
    if "--quick" in given:
        made.set_defaults(**quick)
    return made.parse_args(given)


def _words(value: Any) -> str:
    if value is True:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value:g}"


def machine() -> str:
    """Return processor, architecture and number of cores."""
    return f"{_processor()}, {platform.machine()}, {os.cpu_count()} cores"


def _processor() -> str:
    """Return the name of the processor; taken from nothing of the package, which may be older."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def console(width: int = 120) -> Console:
    """Return where tables are printed: as wide as the terminal, ``width`` in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=width, no_color=True)


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


def publish(
    package: str,
    path: Path | None,
    rows: Iterable[Figure | Mapping[str, Any]],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a benchmark's figures, with its command, the machine and the date, where asked.

    Args:
        package: that was run.
        path: of the file; ``None`` for none. Whoever reads it meanwhile sees a whole one.
        rows: the figures; as mappings where more is known of each.
        more: whatever else is worth keeping.
    """
    if path is None:
        return
    values = {
        "command": " ".join([f"python -m {package}", *sys.argv[1:]]),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "rows": [asdict(row) if isinstance(row, Figure) else dict(row) for row in rows],
        **(more or {}),
    }
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(values, indent=1), encoding="utf-8")
    fresh.replace(path)
