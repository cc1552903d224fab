"""Messages that newer ones replaced before the node took them are counted and reported."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aegis_ros.msg import Rationale
from aegis_ros.srv import RegisterModel

from aegis_ros.nodes.overtaken import Overtaken
from test.contended import Contended
from test.nodes.system import running


def _noted(counter: Overtaken, *numbers: int | None) -> None:
    for number in numbers:
        counter.note({"publication_sequence_number": number})


def test_gaps_in_the_numbers_of_the_only_publisher_are_counted_once() -> None:
    counter = Overtaken()
    assert counter.take(1) == 0
    _noted(counter, 7, 8, 11, 12, 14)
    assert counter.take(1) == 0  # a loss in transport may be told yet
    assert counter.take(1) == 3
    assert (counter.take(1), counter.total) == (0, 3)


def test_what_was_lost_in_transport_is_not_counted_again() -> None:
    counter = Overtaken()
    counter.take(1)
    _noted(counter, 1, 5)
    counter.take(1)
    counter.lose(2)
    assert counter.take(1) == 1


def test_with_several_publishers_nothing_is_counted() -> None:
    counter = Overtaken()
    counter.take(1)
    _noted(counter, 5000, 1, 5001, 2)
    assert [counter.take(2), counter.take(2), counter.take(1), counter.take(1)] == [0, 0, 0, 0]
    _noted(counter, 5005, 5008)
    assert [counter.take(1), counter.take(1)] == [0, 2]


def test_a_publisher_that_begins_anew_has_overtaken_nothing() -> None:
    counter = Overtaken()
    counter.take(1)
    _noted(counter, 500, 1, 2, 3)
    counter.take(1)
    assert counter.take(1) == 0


def test_a_middleware_without_numbers_counts_nothing() -> None:
    counter = Overtaken()
    counter.note(None)
    counter.note({"publication_sequence_number": None})
    counter.take(1)
    assert counter.take(1) == 0


class _Hooked(int):
    """A number that does something while it is compared."""

    hook: Callable[[], None] = staticmethod(lambda: None)

    def __gt__(self, other: int) -> bool:
        self.hook()
        return int(self) > int(other)


def test_a_question_in_the_middle_of_a_message_sees_all_of_it_or_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second publisher has gone; what its numbers look like must not be counted later."""
    lock = Contended()
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Lock", lambda: lock)
        counter = Overtaken()
    counter.take(2)
    _noted(counter, 5)
    asking = threading.Thread(target=counter.take, args=(1,))

    def ask() -> None:
        asking.start()
        while asking.is_alive() and not lock.waited_for.wait(0.01):
            pass

    number = _Hooked(5008)
    number.hook = ask  # type: ignore[method-assign]
    _noted(counter, number)
    asking.join()
    assert [counter.take(1), counter.take(1)] == [0, 0]


@pytest.mark.parametrize("verb", ["note", "lose", "take"])
def test_nobody_counts_while_another_does(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    lock = Contended()
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Lock", lambda: lock)
        counter = Overtaken()
    arguments: dict[str, Any] = {"note": {"publication_sequence_number": 1}, "lose": 1, "take": 1}
    counting = threading.Thread(target=getattr(counter, verb), args=(arguments[verb],))
    with lock:
        counting.start()
        while counting.is_alive() and not lock.waited_for.wait(0.01):
            pass
        assert counting.is_alive()
    counting.join()


def test_frames_that_came_while_the_node_was_held_up_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    publishers: list[int] = []
    note, take = Overtaken.note, Overtaken.take

    def noted(self: Overtaken, info: Mapping[str, Any]) -> None:
        taken.append(info["publication_sequence_number"])
        note(self, info)

    def asked(self: Overtaken, count: int) -> int:
        publishers.append(count)
        return take(self, count)

    monkeypatch.setattr(Overtaken, "note", noted)
    monkeypatch.setattr(Overtaken, "take", asked)
    with running(tmp_path) as system:
        assert system.call(RegisterModel, task=system.task("eye")).admitted
        camera = system.camera("eye")
        system.until(lambda: publishers[-2:] == [1, 1])  # the node knows that there is one only
        system.until(lambda: taken, lambda: camera.publish(system.image()))
        held, go = threading.Event(), threading.Event()

        def hold_up() -> None:
            held.set()
            assert go.wait(100.0)

        intake = system.node.intake_executor
        intake.create_task(hold_up)
        intake.wake()
        assert held.wait(100.0)
        for _ in range(5):
            camera.publish(system.image())
        go.set()

        def reported() -> list[Rationale]:
            return [one for one in system.rationales if one.kind == "frames_overtaken"]

        # However many were under way before: each was either taken or reported.
        system.until(
            lambda: (
                reported()
                and sum(one.count for one in reported()) == taken[-1] - taken[0] + 1 - len(taken)
            )
        )
        for found in reported():
            assert (found.task, found.decision, found.rule) == ("eye", "lost", "frames_lost")
