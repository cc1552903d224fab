"""Tries inputs on a target in this process, and notes what does not hold."""

from __future__ import annotations

import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aegis_ros.sandbox.scratch import Scratch
from test.fuzz.target import Target, Try
from test.fuzz.watch import Cost, Watch

__all__ = ["Failure", "Session", "Tally", "opened"]

# Of what took too much: what is slow is slow each time, and what is loaded is loaded once; a busy
# machine and a first call are not.
_REPEATS = 5
_PROJECT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class Failure:
    """An input on which something does not hold.

    Attributes:
        number: of the input.
        kind: the same for all inputs that fail alike.
        problem: what does not hold.
        data: the input.
    """

    number: int
    kind: str
    problem: str
    data: bytes


@dataclass(slots=True)
class Tally:
    """What became of the inputs so far.

    Attributes:
        inputs: how many were tried.
        taken: how many were valid after all.
        slowest_s: longest time, and with ``slowest`` the number of the input; of inputs that were
            repeated, the shortest of the times.
        largest_bytes: most that the process grew by, and with ``largest`` the number; the same.
        repeated: how many took too much once, but not each time.
        failures: how many of each kind.
    """

    inputs: int = 0
    taken: int = 0
    slowest_s: float = 0.0
    slowest: int = -1
    largest_bytes: int = 0
    largest: int = -1
    repeated: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what another process did."""
        self.inputs += other.inputs
        self.taken += other.taken
        self.repeated += other.repeated
        self.failures += other.failures
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest
        if other.largest_bytes > self.largest_bytes:
            self.largest_bytes, self.largest = other.largest_bytes, other.largest


class Session:
    """Tries inputs one after the other.

    Args:
        target: what is attacked.
        work: of the target.
        watch: sees what it costs.
        on_failure: called with each input on which something does not hold.
    """

    def __init__(
        self, target: Target, work: Try, watch: Watch, on_failure: Callable[[Failure], object]
    ) -> None:
        """Try nothing yet."""
        self.tally = Tally()
        self._target = target
        self._work = work
        self._watch = watch
        self._on_failure = on_failure

    def attempt(self, number: int, data: bytes) -> None:
        """Try one input."""
        tally, limits = self.tally, self._target.limits
        tally.inputs += 1
        taken: list[bool] = []

        def work() -> None:
            taken.append(self._work(data))

        try:
            cost = self._cost(work)
        except Exception as error:
            self._fail(number, data, _kind(error), _words(error))
            return
        tally.taken += taken[-1]
        if cost.seconds > tally.slowest_s:
            tally.slowest_s, tally.slowest = cost.seconds, number
        if cost.memory_bytes > tally.largest_bytes:
            tally.largest_bytes, tally.largest = cost.memory_bytes, number
        for each in cost.outside:
            self._fail(number, data, f"outside: {each}", f"it led to: {each}")
        if cost.seconds > limits.seconds:
            self._fail(number, data, "time", f"it took {cost.seconds:.3f} s each time")
        if cost.memory_bytes > limits.memory_bytes:
            grown = cost.memory_bytes / 1024**2
            self._fail(number, data, "memory", f"the process grew by {grown:.1f} MiB each time")

    def _cost(self, work: Callable[[], object]) -> Cost:
        """Work; again where it took too much, and then the least counts."""
        first = least = self._watch.cost(work)
        for _ in range(_REPEATS - 1):
            if self._fits(least):
                break
            if least.memory_bytes > self._target.limits.memory_bytes:
                self._watch.ready()
            again = self._watch.cost(work)
            least = Cost(
                min(least.seconds, again.seconds),
                min(least.memory_bytes, again.memory_bytes),
                least.outside,
            )
        self.tally.repeated += self._fits(least) and not self._fits(first)
        return least

    def _fits(self, cost: Cost) -> bool:
        limits = self._target.limits
        return cost.seconds <= limits.seconds and cost.memory_bytes <= limits.memory_bytes

    def _fail(self, number: int, data: bytes, kind: str, problem: str) -> None:
        self.tally.failures[kind] += 1
        self._on_failure(Failure(number, kind, problem, data))


@contextmanager
def opened(target: Target, on_failure: Callable[[Failure], object]) -> Iterator[Session]:
    """Give a session in a scratch folder of its own.

    Args:
        target: what is attacked.
        on_failure: as for :class:`Session`.
    """
    before = tempfile.tempdir, sys.dont_write_bytecode
    own = threading.get_ident()
    strangers = {each.ident for each in threading.enumerate() if each.ident and each.ident != own}
    with Scratch() as scratch:
        (scratch / "tmp").mkdir()
        tempfile.tempdir, sys.dont_write_bytecode = str(scratch / "tmp"), True
        try:
            with target.opened(scratch) as work:
                work(target.seeds()[0])  # what is loaded for the first one costs the others nothing
                watch = Watch(scratch, target.reads, strangers)
                yield Session(target, work, watch, on_failure)
        finally:
            tempfile.tempdir, sys.dont_write_bytecode = before


def _kind(error: Exception) -> str:
    """Return what failures with the same cause have in common: the error and where it began."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if each.filename.startswith(_PROJECT)] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
    return f"{type(error).__name__} in {where}"


def _words(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
