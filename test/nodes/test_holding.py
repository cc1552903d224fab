"""What is kept leaves at its time, in order, and without keeping anybody else waiting."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.nodes.holding import Held, Holder
from test.left_behind import threads_of

_PUTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 20)), max_size=40)


@given(_PUTS)
def test_nothing_leaves_early_and_each_owner_keeps_its_order(
    puts: list[tuple[int, int, int]],
) -> None:
    held: Held[tuple[int, int, int]] = Held(1000)
    now = 0
    left: dict[int, list[int]] = {}

    def leave() -> None:
        while (taken := held.take(now)) is not None:
            owner, (number, due, put_at) = taken
            assert due <= now and put_at <= now
            left.setdefault(owner, []).append(number)

    for number, (owner, due, pause) in enumerate(puts):
        assert held.put(owner, due, (number, due, now))
        leave()
        now += pause
        leave()
    now = 10**9
    leave()
    assert len(held) == 0 and held.next_ns() is None
    for owner, numbers in left.items():
        assert numbers == [n for n, put in enumerate(puts) if put[0] == owner]
    assert sum(map(len, left.values())) == len(puts)


@given(_PUTS)
def test_what_is_due_of_one_owner_is_not_kept_for_another(
    puts: list[tuple[int, int, int]],
) -> None:
    def moments(of: int, among: list[tuple[int, int, int]]) -> list[int]:
        held: Held[int] = Held(1000)
        for owner, due, _ in among:
            held.put(owner, due, owner)
        found = []
        for now in range(60):
            while (taken := held.take(now)) is not None:
                found += [now] if taken[0] == of else []
        return found

    assert moments(0, puts) == moments(0, [put for put in puts if put[0] == 0])


def test_no_more_than_so_many_of_one_owner_are_kept() -> None:
    held: Held[str] = Held(2)
    assert [held.put(1, 5, "a"), held.put(1, 6, "b"), held.put(1, 7, "c")] == [True, True, False]
    assert held.put(2, 5, "d")
    assert held.take(5) == (1, "a")
    assert held.put(1, 8, "e")


def test_what_is_forgotten_is_never_sent_and_its_order_neither() -> None:
    held: Held[str] = Held(9)
    held.put(1, 50, "late")
    held.put(2, 60, "other")
    assert held.forget(1) == ["late"]
    held.put(1, 10, "early")
    assert held.take(10) == (1, "early")
    assert held.take(59) is None
    assert held.take(60) == (2, "other")


class _Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_sends_when_the_clock_says_so() -> None:
    clock, sent = _Clock(), threading.Semaphore(0)
    found: list[tuple[int, str]] = []

    def send(item: str) -> None:
        found.append((clock.now, item))
        sent.release()

    holder = Holder(send, 9, clock)
    # An hour: without a clock that is moved on nothing of it would leave.
    assert holder.put(1, 3_600_000_000_000, "hour")
    assert holder.put(2, 0, "now")
    assert sent.acquire(timeout=100)
    assert found == [(0, "now")]
    clock.now = 3_600_000_000_000
    assert holder.put(2, 4_000_000_000_000, "later")  # wakes it, and it looks at the clock
    assert sent.acquire(timeout=100)
    assert found[1:] == [(3_600_000_000_000, "hour")]
    holder.close()
    assert len(found) == 2


def test_closing_drops_what_is_kept_and_takes_nothing_more() -> None:
    found: list[str] = []
    holder = Holder(found.append, 9, _Clock())
    assert holder.put(1, 10**15, "never")
    holder.close()
    holder.close()
    assert not holder.put(1, 0, "too late")
    assert found == []


def test_a_holder_that_held_nothing_needs_no_thread() -> None:
    before = threads_of("hold")
    holder: Holder[str] = Holder(lambda item: None, 9)
    assert threads_of("hold") <= before
    assert holder.put(1, 10**15, "never")
    assert not threads_of("hold") <= before
    holder.close()


def test_forgetting_waits_for_the_message_that_is_being_sent() -> None:
    sending, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def send(item: str) -> None:
        sending.set()
        go_on.wait(100)
        ended.set()

    holder = Holder(send, 9)
    holder.put(1, 0, "item")
    assert sending.wait(100)
    threading.Timer(0.02, go_on.set).start()
    assert holder.forget(1) == []
    assert ended.is_set()
    holder.close()
