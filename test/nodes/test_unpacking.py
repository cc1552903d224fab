"""What takes long is done on a thread of its own, in order, and everything put there ends once."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from aegis_ros.nodes.unpacking import Unpacker
from test.contended import Contended

WAIT_SECONDS = 100.0


class Bench:
    """An unpacker of numbers, whose work waits until it is let go."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, int]] = []
        self.failures: list[str] = []
        self.begun: list[int] = []
        self.go = threading.Event()
        self.news = threading.Condition()
        self.worked_on: set[str] = set()
        self.keeps_alive: set[bool] = set()
        self.raises: dict[int, str] = {}
        self.unpacker: Unpacker[int] = Unpacker(
            self._work,
            merged=self._merged,
            dropped=lambda item: self._end("dropped", item),
            failed=self._failed,
        )

    def _work(self, item: int) -> Callable[[bool], None]:
        self.worked_on.add(threading.current_thread().name)
        self.keeps_alive.add(not threading.current_thread().daemon)
        with self.news:
            self.begun.append(item)
            self.news.notify_all()
        assert self.go.wait(WAIT_SECONDS)
        if self.raises.get(item) == "work":
            raise ValueError("no work")

        def end(wanted: bool) -> None:
            if self.raises.get(item) == "end":
                raise ValueError("no end")
            self._end("done" if wanted else "given back", item)

        return end

    def _merged(self, before: int, newer: int) -> int:
        self._end("replaced", before)
        return newer

    def _end(self, how: str, item: int) -> None:
        with self.news:
            self.ended.append((how, item))
            self.news.notify_all()

    def _failed(self, error: Exception) -> None:
        with self.news:
            self.failures.append(str(error))
            self.news.notify_all()

    def until(self, true: Callable[[], object]) -> None:
        with self.news:
            assert self.news.wait_for(true, WAIT_SECONDS), "it did not happen"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.go.set()
    bench.unpacker.close()
    assert bench.unpacker.join(WAIT_SECONDS)


def test_whoever_puts_an_item_does_not_wait_for_it(bench: Bench) -> None:
    bench.unpacker.put(1)
    bench.until(lambda: bench.begun == [1])
    assert not bench.unpacker.idle
    bench.go.set()
    bench.until(lambda: bench.ended == [("done", 1)])
    assert bench.worked_on == {"unpack"}
    assert bench.keeps_alive == {False}  # a process ends without waiting for it


def test_one_waits_and_the_newest_takes_its_place(bench: Bench) -> None:
    bench.unpacker.put(1)
    bench.until(lambda: bench.begun == [1])
    for item in (2, 3, 4):
        bench.unpacker.put(item)
    assert bench.ended == [("replaced", 2), ("replaced", 3)]
    bench.go.set()
    bench.until(lambda: len(bench.ended) == 4)
    assert bench.ended[2:] == [("done", 1), ("done", 4)]
    assert bench.begun == [1, 4]


def test_what_has_not_ended_when_it_is_closed_is_dropped_at_once(bench: Bench) -> None:
    bench.unpacker.put(1)
    bench.until(lambda: bench.begun == [1])
    bench.unpacker.put(2)
    bench.unpacker.close()
    assert bench.ended == [("dropped", 1), ("dropped", 2)]
    bench.unpacker.close()
    assert len(bench.ended) == 2 and bench.unpacker.idle
    assert not bench.unpacker.join(0.0)
    bench.unpacker.put(3)
    assert bench.ended[2:] == [("dropped", 3)]
    bench.go.set()
    assert bench.unpacker.join(WAIT_SECONDS)
    assert bench.ended[3:] == [("given back", 1)]


def test_closing_what_never_had_an_item_needs_no_thread(bench: Bench) -> None:
    bench.unpacker.close()
    assert bench.unpacker.join(0.0)
    assert bench.ended == []


@pytest.mark.parametrize("where", ["work", "end"])
def test_an_item_that_fails_does_not_end_the_thread(bench: Bench, where: str) -> None:
    bench.raises[1] = where
    bench.go.set()
    bench.unpacker.put(1)
    bench.until(lambda: bench.failures == [f"no {where}"])
    bench.unpacker.put(2)
    bench.until(lambda: bench.ended == [("done", 2)])


def test_what_is_done_at_once_is_done_by_the_caller(bench: Bench) -> None:
    bench.go.set()
    bench.unpacker.do(1)
    assert bench.ended == [("done", 1)]
    assert bench.worked_on == {threading.current_thread().name}
    assert bench.unpacker.idle


def test_what_waits_has_not_ended(bench: Bench) -> None:
    with bench.unpacker._news:  # the thread cannot begin yet
        bench.unpacker.put(1)
        assert not bench.unpacker.idle


def test_what_has_ended_is_not_dropped(bench: Bench) -> None:
    bench.go.set()
    bench.unpacker.put(1)
    bench.until(lambda: bench.ended == [("done", 1)])
    bench.unpacker.close()
    assert bench.ended == [("done", 1)]


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_closes_while_an_item_ends_waits_for_it_and_does_not_drop_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    lock = Contended()
    bench.unpacker._news = threading.Condition(lock)  # type: ignore[arg-type]
    closing = threading.Thread(target=bench.unpacker.close)
    note = bench._end

    def end(how: str, item: int) -> None:
        if how == "done":
            lock.waited_for.clear()
            closing.start()
            while closing.is_alive() and not lock.waited_for.wait(0.01):
                pass
        note(how, item)
        if fails:
            raise ValueError("no end")

    monkeypatch.setattr(bench, "_end", end)
    bench.go.set()
    bench.unpacker.put(1)
    bench.until(lambda: bench.ended)
    closing.join()
    assert bench.unpacker.join(WAIT_SECONDS)
    assert bench.ended == [("done", 1)]


def test_nothing_of_an_item_is_kept_once_it_has_ended() -> None:
    class Frame:
        pass

    ended = threading.Event()
    unpacker: Unpacker[Frame] = Unpacker(
        lambda frame: lambda wanted: ended.set(),
        merged=lambda before, newer: newer,
        dropped=lambda frame: None,
        failed=lambda error: None,
    )
    frame = Frame()
    known = weakref.ref(frame)
    unpacker.put(frame)
    del frame
    assert ended.wait(WAIT_SECONDS)
    until = time.monotonic() + WAIT_SECONDS
    while known() is not None:
        assert time.monotonic() < until
        time.sleep(0.001)
    unpacker.close()
    assert unpacker.join(WAIT_SECONDS)
