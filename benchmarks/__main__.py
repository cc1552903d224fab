"""Runs all quick benchmarks and writes their figures as one page.

    python -m benchmarks [--out bench_output] [--only engine ros ...]

A part that fails is named with its reason, on the page as well; the others still run. The exit code
is 1 then. Each part's own output is kept beside the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from aegis_ros import __version__
from benchmarks.neighbours import Neighbours
from benchmarks.page import Outcome, as_values, page
from benchmarks.parts import PARTS, Part
from benchmarks.processes import INTERRUPTIBLE, last_lines, start
from benchmarks.report import machine

_ROOT = Path(__file__).parents[1]
_LIMIT_S = 600.0  # of one part, on a machine far busier than a benchmark should meet
_END_S = 60.0  # it ends its own processes first
_LOOK_S = 0.5


def main() -> None:
    """Run the parts that were asked for."""
    names = [part.name for part in PARTS]
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--out", type=Path, default=Path("bench_output"), help="folder")
    arguments.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    arguments.add_argument("--limit", type=float, default=_LIMIT_S, help="seconds a part (600)")
    options = arguments.parse_args()
    out = options.out.resolve()  # parts run elsewhere
    out.mkdir(parents=True, exist_ok=True)
    chosen = [part for part in PARTS if part.name in options.only]
    outcomes: list[Outcome] = []
    for at, part in enumerate(chosen):
        print(f"[{at + 1}/{len(chosen)}] {part.title}", file=sys.stderr, flush=True)
        outcomes.append(run(part, out, options.limit))
        _write(out, outcomes)
        one = outcomes[-1]
        ended = f"failed: {one.reason}" if one.reason else f"done in {one.seconds:.0f} s"
        print(f"      {ended}", file=sys.stderr, flush=True)
    print(f"{options.out / 'page.md'}")
    if any(each.reason for each in outcomes):
        raise SystemExit(1)


def run(part: Part, out: Path, limit_s: float) -> Outcome:
    """Run one part and return what became of it.

    Args:
        part: to run.
        out: folder of its files.
        limit_s: seconds after which it is ended.
    """
    figures, log = out / f"{part.name}.json", out / f"{part.name}.log"
    figures.unlink(missing_ok=True)
    command = [part.module, "--quick", *part.options]
    others, begin = Neighbours(), time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        running = start(
            [*INTERRUPTIBLE, sys.executable, "-m", *command, "--json", str(figures)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
            start_new_session=True,
        )
        late = False
        try:
            for text in _news(log, running, begin + limit_s):
                late = text is None
        finally:
            _end(running)
    reason = ""
    if late:
        reason = f"not done after {limit_s:.0f} s\n{last_lines(log)}"
    elif running.returncode:
        reason = last_lines(log) or f"exit code {running.returncode}"
    published = {}
    with contextlib.suppress(OSError, ValueError):
        published = json.loads(figures.read_text(encoding="utf-8"))
    if not published and not reason:
        reason = "it wrote no figures"
    return Outcome(
        part,
        " ".join(["python -m", *command]),
        time.monotonic() - begin,
        others.share(),
        reason.strip(),
        published,
    )


def _news(log: Path, running: subprocess.Popen[bytes], end: float) -> Iterator[str | None]:
    """Show what a part writes until it ends; yield each line, and ``None`` where time is up."""
    console = Console(stderr=True)
    shown = 0
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(console.status("")) if console.is_terminal else None
        while True:
            ended = running.poll() is not None
            text = log.read_text(encoding="utf-8", errors="replace")
            lines = text.splitlines()
            for each in lines[shown:]:
                if line is not None:
                    line.update(each)
                elif " s  " in each[:10]:  # progress; tables are on the page
                    print(f"      {each}", file=sys.stderr, flush=True)
                yield each
            shown = len(lines)
            if ended:
                return
            if time.monotonic() > end:
                yield None
                return
            time.sleep(_LOOK_S)


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a part that still runs, with all that it started."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if running.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=_END_S)


def _write(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Write page and figures anew, so that a run that is ended early leaves what it has."""
    said = (machine(), time.strftime("%Y-%m-%d %H:%M"), version())
    (out / "page.md").write_text(page(*said, outcomes), encoding="utf-8")
    values = json.dumps(as_values(*said, outcomes), indent=1)
    (out / "figures.json").write_text(values, encoding="utf-8")


def version() -> str:
    """Return the package's version, with the commit where it is a checkout."""
    found = subprocess.run(
        ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    commit = found.stdout.strip() if found.returncode == 0 else ""
    return f"{__version__}, commit {commit}" if commit else __version__


if __name__ == "__main__":
    main()
