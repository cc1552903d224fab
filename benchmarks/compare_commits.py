"""Runs benchmarks of two checkouts in turns, and prints the ratios of their medians.

    python -m benchmarks.compare_commits OLD [NEW] [--benchmarks engine ros analysis] [--rounds 3]

Both must have been built (`make build`). Each runs its own benchmarks in its own environment with
the same options; the one that begins changes from round to round, so that slow phases of the
machine meet both. A ratio is new over old of one round, or old over new where more is better: above
1, the new one is worse. Beside the median of the ratios stand the smallest and the largest.

With --same-benchmarks this checkout's benchmarks run on both packages, where both have what they
import: so a way to measure that is newer than the old commit can judge it, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from aegis_ros.sandbox.descendants import end_with_this_process
from benchmarks.neighbours import Neighbours
from benchmarks.processes import last_lines
from benchmarks.progress import Shown, progress
from benchmarks.report import Figure, console, figures_in, machine, table

__all__ = ["Ratio", "clean_environment", "main", "mixed_folder", "ratios"]

_ROOT = Path(__file__).parents[1]
_OPTIONS = {
    "engine": ("--seconds", "6", "--kills", "2"),
    "ros": ("--seconds", "8", "--kills", "2"),
    "analysis": ("--sets", "15"),
    "segments": ("--seconds", "10"),
    "trace": ("--records", "100000"),
}
# Of benchmarks that need little of the package, with what an old one can do.
_SAME_OPTIONS = {"analysis": ("--sets", "15", "--lanes", "1"), "trace": _OPTIONS["trace"]}
_LIMIT_S = 900.0
_PATHS = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
)
_OF_AN_ENVIRONMENT = ("VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
_WORSE = 1.05


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure in both checkouts.

    Attributes:
        name, unit: of the figure.
        old, new: median over the rounds of its median.
        ratio: median over the rounds; above 1, the new one is worse.
        least, most: of the rounds.
        rounds: in which both have it.
    """

    name: str
    unit: str
    old: float
    new: float
    ratio: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, slots=True)
class _Way:
    """What is run: which benchmark, with which options, and whether of this checkout for both."""

    name: str
    options: tuple[str, ...]
    same: bool


def ratios(rounds: Sequence[tuple[Sequence[Figure], Sequence[Figure]]]) -> list[Ratio]:
    """Return the ratios of all figures that both have.

    Args:
        rounds: figures of the old and of the new checkout in each round.
    """
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for old, new in rounds:
        there = {(each.name, each.unit): each.p50 for each in old}
        for each in new:
            before = there.get((each.name, each.unit))
            if before and each.p50:
                pairs.setdefault((each.name, each.unit), []).append((before, each.p50))
    found = []
    for (name, unit), values in pairs.items():
        more_is_better = "/" in unit
        each_round = [old / new if more_is_better else new / old for old, new in values]
        found.append(
            Ratio(
                name,
                unit,
                statistics.median(old for old, _ in values),
                statistics.median(new for _, new in values),
                statistics.median(each_round),
                min(each_round),
                max(each_round),
                len(values),
            )
        )
    return found


def clean_environment(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return an environment without what `bootstrap/activate.sh` of a checkout put into it.

    Args:
        environ: to clean.
        root: of the checkout.
    """
    kept = {name: value for name, value in environ.items() if name not in _OF_AN_ENVIRONMENT}
    for name in _PATHS:
        entries = kept.pop(name, "").split(os.pathsep)
        left = [each for each in entries if each and not Path(each).is_relative_to(root)]
        if left:
            kept[name] = os.pathsep.join(left)
    return kept


def main() -> None:
    """Run both in turns and print tables."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.compare_commits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("old", type=Path, help="checkout")
    arguments.add_argument("new", type=Path, nargs="?", default=_ROOT, help="checkout (this one)")
    arguments.add_argument(
        "--benchmarks", nargs="+", choices=list(_OPTIONS), default=["engine", "ros", "analysis"]
    )
    arguments.add_argument(
        "--same-benchmarks", action="store_true", help="this checkout's, on both"
    )
    arguments.add_argument("--rounds", type=int, default=3, help="of each benchmark (3)")
    arguments.add_argument("--json", type=Path, help="also write the ratios to this file")
    options = arguments.parse_args()
    known = _SAME_OPTIONS if options.same_benchmarks else _OPTIONS
    if unknown := set(options.benchmarks) - set(known):
        arguments.error(f"--same-benchmarks does not know {', '.join(sorted(unknown))}")
    end_with_this_process()  # before the environment of what runs is made
    sides = options.old.resolve(), options.new.resolve()
    output = console(150)
    found: dict[str, list[Ratio]] = {}
    with tempfile.TemporaryDirectory() as folder, progress() as shown:
        for name in options.benchmarks:
            others = Neighbours()
            way = _Way(name, known[name], options.same_benchmarks)
            rounds = in_turns(way, sides, count=options.rounds, folder=Path(folder), shown=shown)
            found[name] = ratios(rounds)
            title = (
                f"benchmarks.{name}, {len(rounds)} rounds, others used {others.share():.2f} cores"
            )
            output.print(shown_ratios(title, found[name]))
    if options.json is not None:
        values = {
            "command": " ".join(["python -m benchmarks.compare_commits", *sys.argv[1:]]),
            "machine": machine(),
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "commits": [commit(side) for side in sides],
            "ratios": {name: [asdict(row) for row in rows] for name, rows in found.items()},
        }
        options.json.write_text(json.dumps(values, indent=1), encoding="utf-8")
    if not all(found.values()):
        raise SystemExit("a benchmark gave no figures of both")


def in_turns(
    way: _Way, sides: tuple[Path, Path], *, count: int, folder: Path, shown: Shown
) -> list[tuple[list[Figure], list[Figure]]]:
    """Run a benchmark of both, and return the figures of each round in which both gave some."""
    found = []
    name = way.name
    row = shown.add_task(name, total=2 * count)
    for number in range(count):
        of: dict[Path, list[Figure]] = {}
        for side in sides if number % 2 == 0 else reversed(sides):
            which = "old" if side == sides[0] else "new"
            shown.update(row, description=f"{name}, round {number + 1} of {count}: {which}")
            try:
                of[side] = run(way, side, folder)
            except RuntimeError as error:
                shown.console.print(f"{name}, {which}: {error}")
            shown.advance(row)
        if len(of) == len(set(sides)):
            found.append((of[sides[0]], of[sides[1]]))
    shown.remove_task(row)
    return found


def run(way: _Way, side: Path, folder: Path) -> list[Figure]:
    """Run one benchmark of one checkout.

    Raises:
        RuntimeError: it failed, with what it said last.
    """
    figures, log = folder / "figures.json", folder / "log"
    figures.unlink(missing_ok=True)
    words = ["python", "-m", f"benchmarks.{way.name}", *way.options, "--json", str(figures)]
    activate = shlex.quote(str(side / "bootstrap" / "activate.sh"))
    with log.open("wb") as output, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["bash", "-c", f'source {activate} && exec "$@"', "bash", *words],
            cwd=mixed_folder(side, folder) if way.same else side,
            env=clean_environment(os.environ, _ROOT),
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT_S,
            check=False,
        )
    if not figures.exists():
        raise RuntimeError(last_lines(log) or f"no figures within {_LIMIT_S:.0f} s")
    return figures_in(json.loads(figures.read_text(encoding="utf-8")))


def mixed_folder(side: Path, folder: Path) -> Path:
    """Return a folder with this checkout's benchmarks and a side's package."""
    made = Path(tempfile.mkdtemp(dir=folder))
    (made / "benchmarks").symlink_to(_ROOT / "benchmarks")
    (made / "aegis_ros").symlink_to(side / "aegis_ros")
    return made


def commit(side: Path) -> str:
    """Return the commit of a checkout; empty where it is none."""
    words = ["git", "-C", str(side), "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _verdict(row: Ratio) -> str:
    """Say that the new one is worse only where every round says so."""
    if row.ratio <= _WORSE:
        return ""
    return "worse" if row.least > 1.0 else "unsure"


def shown_ratios(title: str, rows: Sequence[Ratio]) -> Table:
    """Return a table in which what became worse is marked."""
    made = table(title, "what", "unit", "old", "new", "ratio", "least", "most", "rounds", "")
    for row in rows:
        numbers = (row.old, row.new, row.ratio, row.least, row.most)
        made.add_row(
            row.name,
            row.unit,
            *(f"{value:.3g}" for value in numbers[:2]),
            *(f"{value:.2f}" for value in numbers[2:]),
            str(row.rounds),
            _verdict(row),
        )
    return made


if __name__ == "__main__":
    main()
