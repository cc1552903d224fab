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
        limit_s: within which all parts end.
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

    def late(self, name: str, expected_s: float = 0.0) -> bool:
        """Return whether there is no time for a part, which is noted then.

        Args:
            name: of the part.
            expected_s: what it may take, in seconds.
        """
        left_s = self.left_s()
        if left_s > 0.0 and left_s >= expected_s:
            return False
        needs = f": may take {expected_s:.0f} s, and {left_s:.0f} s are left" if expected_s else ""
        self.facts["no_time"].append(name + needs)
        return True

    def left_s(self) -> float:
        """Return the time that is left."""
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
