"""Sends mutated inputs to everything that strangers can reach, and watches what they cost.

    python -m test.fuzz [--seconds 20 | --count 100000] [--seed 1] [--only NAME ...]
    python -m test.fuzz --replay FILE ...

What every input must keep: no error but ours, no crash, its target's limits of time and memory,
and no file outside of the allowed folders. Inputs that do not are kept in the folder --out, beside
the table (table.md). The exit code is 1 then.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.progress import Shown, progress
from benchmarks.report import console, machine, table
from test.fuzz.kept import Kept, command, target_of
from test.fuzz.report import HEAD, Outcome, cells, markdown
from test.fuzz.session import Failure, Tally, opened
from test.fuzz.target import Target, load, names
from test.fuzz.workers import Order, run

_SECONDS = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    options = _options(arguments)
    if options.replay:
        return max(_replayed(each, options.only) for each in options.replay)
    targets = _targets(options.only or names())
    options.out.mkdir(parents=True, exist_ok=True)
    kept, outcomes = Kept(options.out), []
    weight = sum(each.weight for each in targets)
    with progress() as shown:
        for target in targets:
            share = target.weight / weight
            order = Order(
                seed=options.seed,
                count=max(1, round(options.count * share)) if options.count else 0,
                seconds=0.0 if options.count else options.seconds,
                log=str(options.out / f"{target.name}.log"),
                coverage=str(options.coverage or ""),
            )
            outcomes.append(_outcome(target, order, kept, shown))
            _write(options.out, outcomes)
    made = table("hostile input", *HEAD)
    for each in outcomes:
        made.add_row(*cells(each))
    console(160).print(made)
    if options.coverage:
        print(f"coverage combine --data-file={options.coverage}; coverage report shows it")
    return int(any(each.tally.failures for each in outcomes))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = argparse.ArgumentParser(
        prog="python -m test.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(names())
    made.add_argument("--seconds", type=float, default=_SECONDS, help="for each target (20)")
    made.add_argument(
        "--count", type=int, default=0, help="inputs of all targets together, instead of seconds"
    )
    made.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs")
    made.add_argument("--only", nargs="+", choices=names(), metavar="NAME", help=known)
    made.add_argument("--out", type=Path, default=Path("fuzz_output"), help="folder")
    made.add_argument("--coverage", type=Path, help="also note which lines are reached, there")
    made.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="try a kept input")
    return made.parse_args(arguments)


def _targets(wanted: Sequence[str]) -> list[Target]:
    found = []
    for name in wanted:
        try:
            found.append(load(name))
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def _outcome(target: Target, order: Order, kept: Kept, shown: Shown) -> Outcome:
    """Attack one target, and say how far it is."""
    row = shown.add_task(target.title, total=order.count or order.seconds)
    begin = time.monotonic()

    def on_failure(failure: Failure) -> None:
        file = kept.keep(target, failure)
        if file is not None:
            shown.console.print(f"{target.name}: {failure.kind}\n  {command(file)}", soft_wrap=True)

    def on_news(tally: Tally) -> None:
        done = tally.inputs if order.count else time.monotonic() - begin
        shown.update(row, completed=round(done))

    tally = run(target, order, on_failure=on_failure, on_news=on_news)
    shown.remove_task(row)
    return Outcome(target, tally)


def _write(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the table anew, so that a run that is ended early leaves what it has."""
    said = " ".join(["python -m test.fuzz", *sys.argv[1:]])
    where = f"{machine()}, {time.strftime('%Y-%m-%d')}"
    (out / "table.md").write_text(markdown(outcomes, where, said), encoding="utf-8")


def _replayed(file: Path, only: Sequence[str] | None) -> int:
    """Try an input again in this process; return 1 where something does not hold."""
    target = load(only[0] if only else target_of(file))
    found: list[Failure] = []
    with opened(target, found.append) as session:
        session.attempt(0, file.read_bytes())
    tally = session.tally
    for each in found:
        print(f"{file}: {each.kind}\n{each.problem}")
    if not found:
        answer = "taken" if tally.taken else "refused"
        spent = f"{tally.slowest_s * 1e3:.1f} ms, {tally.largest_bytes / 1024**2:.1f} MiB"
        print(f"{file}: {answer}, {spent}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
