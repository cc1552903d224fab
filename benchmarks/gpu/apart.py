"""What is measured without cameras: what a job costs, neighbours, divisions, segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from aegis_ros.backends import CompiledNetwork
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.device import beside_loads, contention, segment_cost
from benchmarks.gpu.host import figures as host_figures
from benchmarks.gpu.place import Place
from benchmarks.gpu.waiting import job_costs

__all__ = ["Apart"]

_HOST_JOBS = 300
_BESIDE = ("direction", "text_lines", "faces")  # that are timed beside another network


class Apart:
    """Measures on a place whose networks are built.

    Args:
        bench: device.
        cut: networks in several segments.
        place: where.
        runs: of each network.
        facts: get what is found.
    """

    def __init__(
        self,
        bench: Bench,
        cut: Mapping[str, CompiledNetwork],
        *,
        place: Place,
        runs: int,
        facts: dict[str, Any],
    ) -> None:
        """Measure nothing yet."""
        self._bench = bench
        self._cut = cut
        self._place = place
        self._runs = runs
        self._facts = facts

    def parts(self, kind: str) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield what a part consists of: what each is called, and what measures it."""
        title = self._place.title
        if kind == "costs":
            for what, measured in job_costs(self._bench, self._bench.compiled, self._cut, 1):
                yield what, partial(self._costs, measured)
        elif kind == "segments":
            for name in self._cut:
                yield f"{title}: segments of {name}", partial(self._segments, name)
        else:
            measure = {
                "contention": self._contention,
                "loads": self._loads,
                "divided": self._divided,
                "host": self._host,
            }
            yield f"{title}: {kind}", measure[kind]

    def _costs(self, measured: Callable[[], list[dict[str, Any]]]) -> None:
        self._facts.setdefault("job_costs", []).extend(measured())

    def _shared(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._facts.setdefault("contention", [])
        return found

    def _few(self) -> dict[str, CompiledNetwork]:
        return {name: self._bench.compiled[name] for name in _BESIDE}

    def _contention(self) -> None:
        self._shared().extend(contention(self._bench, self._few(), self._runs))

    def _loads(self) -> None:
        shared = self._shared()
        shared.extend(beside_loads(self._bench, self._few(), self._runs, alone=shared))

    def _divided(self) -> None:
        share = self._place.share
        self._shared().extend(contention(self._bench, self._few(), self._runs, share))

    def _host(self) -> None:
        self._facts["host"] = [asdict(each) for each in host_figures(_HOST_JOBS)]

    def _segments(self, name: str) -> None:
        found = segment_cost(self._bench, {name: self._cut[name]})
        self._facts.setdefault("between_segments_us", {}).update(found)
