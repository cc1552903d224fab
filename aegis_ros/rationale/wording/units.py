"""How numbers, names and counts read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = [
    "every_nth",
    "fewer_frames",
    "inner",
    "length",
    "mib",
    "moment",
    "ms",
    "names",
    "percent_around_one",
    "plural",
    "reached_words",
]

_MIB = 1024 * 1024
_SECOND_NS = 1_000_000_000
# Length in nanoseconds, from how many of it on it is used, and its name.
_UNITS = ((86_400 * _SECOND_NS, 2, "days"), (3600 * _SECOND_NS, 2, "hours"), (_SECOND_NS, 1, "s"))


def ms(value_ns: int) -> str:
    """Return a duration in milliseconds, with more digits where it is below 0.01 ms."""
    return f"{value_ns / 1e6:.6g} ms" if value_ns < 10_000 else f"{value_ns / 1e6:.2f} ms"


def inner(sentence: str) -> str:
    """Return a sentence as it stands within another one: without its full stop."""
    return sentence.strip().removesuffix(".")


def length(value_ns: int) -> str:
    """Return a duration in the unit in which a person says it, from milliseconds to days."""
    for unit_ns, least, unit in _UNITS:
        if value_ns >= least * unit_ns:
            return f"{value_ns / unit_ns:.1f} {unit}"
    return f"{value_ns / 1e6:.3g} ms"


def moment(time_ns: int) -> str:
    """Return a moment (nanoseconds since 1970)."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def mib(value_bytes: int) -> str:
    """Return a size in whole MiB."""
    return f"{value_bytes / _MIB:.0f} MiB"


def names(items: Sequence[str]) -> str:
    """Return names as a list with *and* before the last."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def plural(count: int, word: str) -> str:
    """Return a count with its noun."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def reached_words(stage: str, done: int, total: int) -> str:
    """Return how far a request was: ``it was measured (120 of 350 runs)``."""
    found = {
        "waiting": "it waited for its turn",
        "preparing": "its network was prepared",
        "measuring": "it was measured",
        "loading": "its network was loaded",
    }.get(stage, stage)
    return f"{found} ({done} of {total} runs)" if total else found


def every_nth(n: int) -> str:
    """Return which frames are taken."""
    if n == 1:
        return "every frame"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10 if n % 100 not in (11, 12, 13) else 0, "th")
    return f"every {n}{ending} frame"


def fewer_frames(name: str, period_ns: int, n: int) -> str:
    """Return how many frames a task takes where it takes every n-th.

    Args:
        name: of the task, or ``it``.
        period_ns: between its frames.
        n: of so many frames, one is taken.
    """
    full = 1e9 / period_ns
    return f"{name} takes {every_nth(n)} ({full / n:.1f} instead of {full:.1f} a second)"


def percent_around_one(utilization: float, above_one: int) -> str:
    """Return a utilization with as many digits as distinguish it from 100%.

    Args:
        utilization: as a part of one.
        above_one: the exact utilization compared with 1: 1, 0 or -1.
    """
    for digits in (1, 3, 6):
        text = f"{utilization:.{digits}%}"
        if above_one == 0 or text != f"{1.0:.{digits}%}":
            return text
    return "slightly more than 100%" if above_one > 0 else "slightly less than 100%"
