"""Runs a target in a process of its own, which may crash, hang or fill its memory."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import pickle
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from test.fuzz.session import Failure, Tally, opened
from test.fuzz.target import Target

__all__ = ["Order", "run"]

_LOOK_S = 0.2
_NEWS_S = 0.5
_HANGS = 60  # times the limit of one input: on a busy machine, and with its repeats
_LEAST_HANG_S = 60.0
_PREPARED_S = 120.0
_ROOM_BYTES = 4 * 1024**3  # beyond its limit; what would take more fails, and the machine lives on


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to try.

    Attributes:
        seed: the same seed gives the same inputs.
        count: how many, 0 for as long as there is time.
        seconds: how long, 0 for as many as there are to try.
        hang_s: how long one input may take before the process is ended; 0 for what fits its limit.
        log: file for what libraries print; empty to let them print it.
        coverage: file that the lines reached are written to (coverage.py); empty for none.
    """

    seed: int = 0
    count: int = 0
    seconds: float = 0.0
    hang_s: float = 0.0
    log: str = ""
    coverage: str = ""


def run(
    target: Target,
    order: Order,
    *,
    on_failure: Callable[[Failure], object],
    on_news: Callable[[Tally], object] = lambda tally: None,
) -> Tally:
    """Try inputs until they are through or the time is over; return what became of them.

    An input that ends the process is a failure like any other, and the next one is tried by a new
    process.

    Args:
        target: what is attacked.
        order: what to try.
        on_failure: called with each input on which something does not hold.
        on_news: called now and then with what was done so far.
    """
    total = Tally()
    seeds = target.seeds()
    begin = time.monotonic()
    first = 0
    while True:
        left_s = order.seconds - (time.monotonic() - begin) if order.seconds else 0.0
        if order.seconds and left_s <= 0.0:
            break
        tally, died_at, how = _one(
            target, order, first, left_s, on_failure, lambda now: on_news(_sum(total, now))
        )
        total.add(tally)
        if died_at < 0:
            break
        data = target.input(seeds, order.seed, died_at)
        total.failures[how] += 1
        on_failure(Failure(died_at, how, f"the process {how}", data))
        first = died_at + 1
    return total


def _one(
    target: Target,
    order: Order,
    first: int,
    left_s: float,
    on_failure: Callable[[Failure], object],
    on_news: Callable[[Tally], object],
) -> tuple[Tally, int, str]:
    """Run one process; return its tally, and at which input it died (-1: it did not) and how."""
    context = multiprocessing.get_context("spawn")
    at = context.Value(ctypes.c_longlong, -1, lock=False)
    news, sender = context.Pipe(duplex=False)
    packed = pickle.dumps(target)  # unpacked when what it imports is seen by coverage.py, too
    process = context.Process(target=_work, args=(packed, order, first, left_s, at, sender))
    process.start()
    sender.close()
    tally, last, since = Tally(), -1, time.monotonic()
    patience_s = order.hang_s or max(_LEAST_HANG_S, _HANGS * target.limits.seconds)
    how, done = "", False
    while not done:
        try:
            while news.poll(_LOOK_S):
                said = news.recv()
                if isinstance(said, Failure):
                    on_failure(said)
                elif isinstance(said, Tally):
                    tally = said
                    on_news(tally)
                else:
                    done = True
        except EOFError:
            break
        if at.value != last:
            last, since = at.value, time.monotonic()
        elif time.monotonic() - since > (patience_s if last >= 0 else _PREPARED_S):
            how = f"did not end within {patience_s:g} s"
            process.kill()
            break
    process.join()
    if done:
        return tally, -1, ""
    if at.value < 0:
        raise RuntimeError(f"{target.name} could not be prepared: see {order.log or 'above'}")
    if not how:
        how = f"ended with {_ending(process.exitcode)}"
    tally.inputs = at.value + 1 - first
    return tally, at.value, how


def _work(
    packed: bytes, order: Order, first: int, left_s: float, at: Any, sender: Connection
) -> None:
    """Be the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if order.log:
        descriptor = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    stop = _coverage(order.coverage)
    target: Target = pickle.loads(packed)
    end = time.monotonic() + left_s if left_s else float("inf")
    told = time.monotonic()
    with opened(target, sender.send) as session:
        _leave_room(target.limits.memory_bytes + _ROOM_BYTES)
        seeds = target.seeds()
        numbers = range(first, order.count) if order.count else itertools.count(first)
        for number in numbers:
            at.value = number
            session.attempt(number, target.input(seeds, order.seed, number))
            now = time.monotonic()
            if now - told > _NEWS_S:
                sender.send(session.tally)
                told = now
            if now > end:
                break
        sender.send(session.tally)
    stop()
    sender.send(None)


def _leave_room(size: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (used + size, hard))


def _coverage(file: str) -> Callable[[], object]:
    if not file:
        return lambda: None
    import coverage

    measured = coverage.Coverage(file, source=["aegis_ros"], data_suffix=True)
    measured.start()

    def stop() -> None:
        measured.stop()
        measured.save()

    return stop


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"code {code}"


def _sum(one: Tally, other: Tally) -> Tally:
    both = Tally()
    both.add(one)
    both.add(other)
    return both
