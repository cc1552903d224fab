"""Searches for the tiles with which each kernel is computed fastest on this machine."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from aegis_ros.backends.progress import Progress
from aegis_ros.backends.tuning import Tuned
from aegis_ros.backends.tvm.schedules import Tile, kernel_id, scheduled, tiles_of
from aegis_ros.backends.tvm.toolkit import load_compiler

__all__ = ["Found", "search"]

_LEAST_RUNS, _MOST_RUNS = 3, 50
_MEASURE_NS = 10_000_000
_PAYS = 0.98  # of the best time so far, that another tile has to stay below
_IN_VAIN = 12.0  # ways timed without success, after which a kernel has half its weight

Measure = Callable[[Any], int | None]


class Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a search leaves to builds.

    Attributes:
        choices: the fastest tiles, by :func:`~aegis_ros.backends.tvm.schedules.kernel_id`; of
            kernels that an untimed build computes in another way.
        tuned: figures.
    """

    choices: dict[str, Tile] = {}
    tuned: Tuned = Tuned()


@dataclass
class _Kernel:
    """A kernel that is searched for.

    Attributes:
        name: its id.
        function: with loops as TVM writes them.
        uses: how often a run of the network calls it.
        untried: tiles that were not timed, the most promising first.
        first, first_ns: what an untimed build takes, and its time.
        best, best_ns: the fastest so far.
        in_vain: how many were timed since that was found.
    """

    name: str
    function: Any
    uses: int
    untried: list[Tile]
    first: Tile | None = None
    first_ns: int = 0
    best: Tile | None = None
    best_ns: int = 0
    in_vain: int = 0

    @property
    def weight(self) -> float:
        """How much the next trial may be worth."""
        return self.uses * self.best_ns * _IN_VAIN / (_IN_VAIN + self.in_vain)

    def try_(self, tile: Tile, measure: Measure) -> None:
        """Time a tile; nothing happens where it cannot be compiled."""
        self.untried.remove(tile)
        function = scheduled(self.function, tile)
        took_ns = None if function is None else measure(function)
        self.in_vain += 1
        if took_ns is None:
            return
        if self.first is None:
            self.first, self.first_ns = tile, took_ns
        if self.best is None or took_ns < _PAYS * self.best_ns:
            self.best, self.best_ns, self.in_vain = tile, took_ns, 0

    def next(self, chance: random.Random) -> Tile:
        """Return a tile to time: one like the best, the most promising one, or any."""
        best = self.best
        way = chance.randrange(3)
        if way == 0:
            return self.untried[0]
        near = [tile for tile in self.untried if best is not None and _differ(tile, best) == 1]
        return chance.choice(near if near and way == 1 else self.untried)


def search(
    kernels: Any,
    known: Mapping[str, Tile],
    seconds: float,
    report: Progress,
    *,
    measure: Measure | None = None,
) -> Found:
    """Time tiles until the time is over, more of kernels that take more of a run.

    Args:
        kernels: the network, as :func:`~aegis_ros.backends.tvm.compiling.kernels_of` returns it.
        known: what an earlier search has chosen.
        seconds: how long; each kernel is timed once at least.
        report: called with what was found so far and the part of the time that has passed.
        measure: returns the time of a kernel in nanoseconds, ``None`` where it cannot be compiled;
            compiles and runs it if not given.
    """
    timed = measure or measured
    begin, chance, count = time.monotonic(), random.Random(0), 0
    states = _states(kernels)

    def went_on() -> float:
        took = sum(each.uses * each.best_ns for each in states) / 1e6
        passed = time.monotonic() - begin
        report(f"{count} ways timed, {took:.2f} ms", min(1.0, passed / seconds))
        return passed

    for state in states:
        while state.untried and state.first is None:
            state.try_(state.untried[0], timed)
            count += 1
        chosen = known.get(state.name)
        if chosen in state.untried:
            state.try_(chosen, timed)
            count += 1
        went_on()
    while went_on() < seconds and (left := [each for each in states if each.untried]):
        state = max(left, key=lambda each: each.weight)
        state.try_(state.next(chance), timed)
        count += 1
    able = [state for state in states if state.first is not None]
    return Found(
        {each.name: each.best for each in able if each.best and each.best != each.first},
        Tuned(
            len(able),
            count,
            sum(each.uses * each.first_ns for each in able),
            sum(each.uses * each.best_ns for each in able),
        ),
    )


def measured(function: Any) -> int | None:
    """Return the least processor time that a kernel took; ``None`` where it cannot be compiled."""
    tvm = load_compiler()
    from aegis_ros.backends.tvm.compiling import processor_target

    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    try:
        run = tvm.compile(module, processor_target())["main"]
    except Exception:  # its exceptions have no common type; another tile is tried
        return None
    tensors = [
        tvm.runtime.tensor(
            np.full([int(extent) for extent in item.shape], 1, np.dtype(str(item.dtype)))
        )
        for item in function.params
    ]
    run(*tensors)
    least, total, runs = 2**63, 0, 0
    while runs < _LEAST_RUNS or (total < _MEASURE_NS and runs < _MOST_RUNS):
        before = time.thread_time_ns()
        run(*tensors)
        took = time.thread_time_ns() - before
        least, total, runs = min(least, took), total + took, runs + 1
    return max(1, least)


def _states(kernels: Any) -> list[_Kernel]:
    """Return the kernels that can be computed in several ways, each once."""
    load_compiler()
    from tvm import relax
    from tvm.tirx import PrimFunc

    uses: Counter[Any] = Counter()

    def visit(expression: Any) -> None:
        if isinstance(expression, relax.Call):
            uses.update(
                each.name_hint for each in (expression.op, *expression.args) if each in names
            )

    names = dict(kernels.functions_items())
    for function in names.values():
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function, visit)
    found: dict[str, _Kernel] = {}
    for name, function in names.items():
        if not isinstance(function, PrimFunc) or not (tiles := tiles_of(function)):
            continue
        identity = kernel_id(function)
        state = found.setdefault(identity, _Kernel(identity, function, 0, tiles))
        state.uses += uses[name.name_hint]
    return list(found.values())


def _differ(one: Tile, other: Tile) -> int:
    """Return in how many ways two tiles differ."""
    return sum(getattr(one, name) != getattr(other, name) for name in one.__struct_fields__)
