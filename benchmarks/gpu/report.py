"""Writes what is known after each part of the benchmark, and notes what failed or had no time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.compare.results import Results
from benchmarks.report import Figure, publish

__all__ = ["PACKAGE", "Report"]

PACKAGE = "benchmarks.gpu"


class Report:
    """The file of figures, as it grows.

    Args:
        facts: of the run as a whole; parts that fail are noted under ``failed``, those that had no
            time under ``no_time``.
        json: file for figures; ``None`` for none.
        limit_s: after which no further part begins.
    """

    def __init__(self, facts: dict[str, Any], json: Path | None, limit_s: float) -> None:
        """Write nothing yet."""
        self.facts = facts
        facts.setdefault("failed", [])
        facts.setdefault("no_time", [])
        facts.setdefault("parts_s", {})
        self.places: dict[str, Results] = {}
        self._json = json
        self._begin = time.monotonic()
        self._limit_s = limit_s

    def late(self, name: str) -> bool:
        """Return whether there is no time for a part, which is noted then."""
        if time.monotonic() - self._begin < self._limit_s:
            return False
        self.facts["no_time"].append(name)
        return True

    def left_s(self) -> float:
        """Return the time that is left until no further part begins."""
        return max(0.0, self._begin + self._limit_s - time.monotonic())

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Do one part; whatever it raises costs this part alone."""
        begin = time.monotonic()
        try:
            yield
        except (Exception, SystemExit) as error:
            self.facts["failed"].append(f"{name}: {type(error).__name__}: {error}"[:500])
        self.facts["parts_s"][name] = round(time.monotonic() - begin, 1)
        self.write()

    def write(self) -> None:
        """Write all that is known."""
        figures: list[Figure] = []
        found: dict[str, Any] = {}
        for name, results in self.places.items():
            found[name] = results.values()
            figures += results.figures()
        publish(PACKAGE, self._json, figures, {**self.facts, "places": found})
