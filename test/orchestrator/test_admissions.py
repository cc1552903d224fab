"""What is quick never waits for what takes long, and what takes long can be cancelled.

No test waits for a time: an engine that measures stands still until a test lets it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import pytest

from aegis_ros.device import DeviceState
from aegis_ros.engine import LoadSpec
from aegis_ros.errors import StateError, StoppedError
from aegis_ros.orchestrator import (
    AdmissionRequest,
    AdmissionStage,
    ProfileOutcome,
    Registration,
    ResultCode,
)
from aegis_ros.orchestrator.admissions import MOST_WAITING, Admissions
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rule
from test.orchestrator.house import House

WAIT_S = 100.0
_Answer = TypeVar("_Answer")


class Gate:
    """A measurement that stands still until it is opened."""

    def __init__(self, house: House) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        house.engine.while_measuring = self._wait

    def _wait(self) -> None:
        self.reached.set()
        assert self._open.wait(WAIT_S)

    def await_measuring(self) -> None:
        assert self.reached.wait(WAIT_S)

    def open(self) -> None:
        self._open.set()


def beside(function: Callable[[], _Answer]) -> Future[_Answer]:
    """Call a function on a thread of its own."""
    future: Future[_Answer] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    assert made.orchestrator.register(made.task("low", criticality="low")).accepted
    return made


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    made = Gate(house)
    yield made
    made.open()
    house.orchestrator.cleanup()


def registering(house: House, name: str, **changes: object) -> Future[Registration]:
    spec = house.task(name, **changes)
    return beside(lambda: house.orchestrator.register(spec))


def stages(house: House) -> dict[str, str]:
    return {each.task: str(each.stage) for each in house.orchestrator.status().admissions}


def test_everything_quick_is_answered_while_a_network_is_measured(house: House, gate: Gate) -> None:
    orchestrator = house.orchestrator
    answer = registering(house, "new", wcet_ms=0)
    gate.await_measuring()
    assert orchestrator.set_enabled("low", False).accepted
    assert orchestrator.set_enabled("low", True).accepted
    orchestrator.device_changed(DeviceState())
    orchestrator.deactivate()
    orchestrator.activate()
    assert orchestrator.unregister("low").accepted
    assert house.names() == []
    assert not answer.done()
    gate.open()
    assert answer.result(WAIT_S).accepted
    assert house.names() == ["new"]


def test_requests_wait_in_their_order_and_everybody_sees_how_far_they_are(
    house: House, gate: Gate
) -> None:
    first = registering(house, "first", wcet_ms=0)
    gate.await_measuring()
    second = house.orchestrator.admissions.enter("second", AdmissionRequest.REGISTER)
    third = house.orchestrator.admissions.enter("third", AdmissionRequest.EVALUATE)
    assert stages(house) == {"first": "measuring", "second": "waiting", "third": "waiting"}
    (measuring, *_) = house.orchestrator.status().admissions
    assert (measuring.done, measuring.total) == (0, 350)
    gate.open()
    assert first.result(WAIT_S).accepted
    third_answer = beside(lambda: house.orchestrator.evaluate(house.task("third"), (), third))
    assert house.orchestrator.register(house.task("second"), second).accepted
    assert third_answer.result(WAIT_S).accepted
    assert stages(house) == {}


def test_removing_a_task_that_is_measured_cancels_its_admission(house: House, gate: Gate) -> None:
    answer = registering(house, "new", wcet_ms=0)
    gate.await_measuring()
    removed = house.orchestrator.unregister("new")
    assert removed.accepted and removed.result is ResultCode.DONE
    assert "was cancelled on request while it was measured (0 of 350 runs)" in (
        removed.rationale.sentence
    )
    gate.open()
    refused = answer.result(WAIT_S)
    assert refused.rationale.rule is Rule.OPERATOR and not refused.accepted
    assert house.names() == ["low"]
    house.restart()
    assert house.names() == ["low"]


def test_a_task_that_is_cancelled_while_it_is_loaded_leaves_nothing_behind(house: House) -> None:
    load, removed = house.engine.load, []

    def slow(spec: LoadSpec) -> str:
        removed.append(house.orchestrator.unregister("new"))
        return load(spec)

    house.engine.load = slow  # type: ignore[method-assign]
    refused = house.orchestrator.register(house.task("new"))
    assert removed[0].accepted and "was cancelled on request" in removed[0].rationale.sentence
    assert not refused.accepted and refused.rationale.rule is Rule.OPERATOR
    house.orchestrator.settle()
    assert house.names() == ["low"] and len(house.engine.loaded) == 1
    house.restart()
    assert house.names() == ["low"]


def test_removing_a_task_that_waits_is_answered_and_so_is_who_waited(
    house: House, gate: Gate
) -> None:
    first = registering(house, "first", wcet_ms=0)
    gate.await_measuring()
    ticket = house.orchestrator.admissions.enter("second", AdmissionRequest.REGISTER)
    second = beside(lambda: house.orchestrator.register(house.task("second"), ticket))
    removed = house.orchestrator.unregister("second")
    assert "while it waited for its turn" in removed.rationale.sentence
    assert not second.result(WAIT_S).accepted
    assert stages(house) == {"first": "measuring"}
    gate.open()
    assert first.result(WAIT_S).accepted


def test_removing_an_admitted_task_also_cancels_that_it_is_admitted_again(
    house: House, gate: Gate
) -> None:
    first = registering(house, "first", wcet_ms=0)
    gate.await_measuring()
    ticket = house.orchestrator.admissions.enter("low", AdmissionRequest.REGISTER)
    again = beside(lambda: house.orchestrator.register(house.task("low"), ticket))
    assert house.orchestrator.unregister("low").accepted
    assert not again.result(WAIT_S).accepted
    gate.open()
    assert first.result(WAIT_S).accepted
    assert house.names() == ["first"]


def test_a_measurement_on_request_is_cancelled_like_an_admission(house: House, gate: Gate) -> None:
    spec = house.task("new", wcet_ms=0)
    outcome: Future[ProfileOutcome] = beside(
        lambda: house.orchestrator.profiler.profile(spec, 100, lambda *_: True)
    )
    gate.await_measuring()
    assert "Measuring new was cancelled" in (
        house.orchestrator.unregister("new").rationale.sentence
    )
    gate.open()
    refused = outcome.result(WAIT_S)
    assert not refused.success and refused.rationale.rule is Rule.OPERATOR
    assert house.orchestrator.profiler.measured(spec)[1] is None


def test_a_task_that_is_to_follow_one_that_is_removed_meanwhile_is_rejected(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    house.start()
    first = house.task(
        "first", criticality="low", output={"topic": "/first/result", "decoder": "text_regions"}
    )
    assert house.orchestrator.register(first).accepted
    follows = house.task(
        "second",
        input=None,
        trigger={"task": "first", "crops": {"max_crops": 1}},
    )
    loads, house.engine.load = (
        house.engine.load,
        lambda spec: (house.orchestrator.unregister("first"), loads(spec))[1],
    )
    answer = house.orchestrator.register(follows)
    assert answer.rationale.rule is Rule.UNKNOWN_TASK
    house.orchestrator.settle()
    assert house.names() == [] and house.engine.loaded == {} and house.engine.channels == {}


def test_measuring_ends_when_tasks_of_high_criticality_begin_to_run(
    house: House, gate: Gate
) -> None:
    house.orchestrator.deactivate()
    assert house.orchestrator.register(house.task("critical")).accepted
    answer = registering(house, "new", wcet_ms=0)
    gate.await_measuring()
    house.orchestrator.activate()
    gate.open()
    refused = answer.result(WAIT_S)
    assert not refused.accepted
    assert "would disturb them" in refused.rationale.sentence


def test_cleaning_up_cancels_what_is_measured_and_what_waits(house: House, gate: Gate) -> None:
    answers = [registering(house, "first", wcet_ms=0)]
    gate.await_measuring()
    ticket = house.orchestrator.admissions.enter("second", AdmissionRequest.REGISTER)
    answers.append(beside(lambda: house.orchestrator.register(house.task("second"), ticket)))
    done = beside(house.orchestrator.cleanup)
    assert not answers[1].result(WAIT_S).accepted
    gate.open()
    done.result(WAIT_S)
    assert not answers[0].result(WAIT_S).accepted
    late = house.orchestrator.register(house.task("late"))
    assert late.rationale.rule is Rule.STATE


def test_configuring_ends_when_it_is_cleaned_up_meanwhile(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.restart()
    house.orchestrator.cleanup()
    tasks = (house.task("a", wcet_ms=0), house.task("b", wcet_ms=0, period_ms=200))
    house.spec = house.spec.__class__(house.spec.device, house.spec.models, tasks)
    house.orchestrator = house._open()
    gate = Gate(house)
    configured = beside(house.orchestrator.configure)
    gate.await_measuring()
    assert stages(house) == {"a": "measuring", "b": "waiting"}
    done = beside(house.orchestrator.cleanup)
    gate.open()
    with pytest.raises(StoppedError):
        configured.result(WAIT_S)
    done.result(WAIT_S)
    assert house.names() == []


def test_the_network_of_a_removed_task_is_unloaded_beside_its_removal(house: House) -> None:
    entered, go_on = threading.Event(), threading.Event()
    unload = house.engine.unload

    def slow(task_id: int) -> None:
        entered.set()
        assert go_on.wait(WAIT_S)
        unload(task_id)

    house.engine.unload = slow  # type: ignore[method-assign]
    assert house.orchestrator.unregister("low").accepted
    assert entered.wait(WAIT_S)
    assert house.names() == [] and len(house.engine.loaded) == 1
    go_on.set()
    house.orchestrator.settle()
    assert house.engine.loaded == {}


# -- the queue itself ------------------------------------------------------------------------------


@pytest.fixture
def queue() -> Admissions:
    made = Admissions()
    made.open()
    return made


def test_the_queue_is_bounded(queue: Admissions) -> None:
    for index in range(MOST_WAITING):
        queue.enter(f"t{index}", AdmissionRequest.EVALUATE)
    with pytest.raises(Refusal) as refused:
        queue.enter("one_more", AdmissionRequest.EVALUATE)
    assert refused.value.rule is Rule.LIMIT


def test_a_queue_that_is_closed_takes_nothing(queue: Admissions) -> None:
    queue.close()
    with pytest.raises(StateError):
        queue.enter("a", AdmissionRequest.REGISTER)


def test_turns_are_taken_in_the_order_of_arrival(queue: Admissions) -> None:
    order: list[str] = []
    tickets = [queue.enter(name, AdmissionRequest.REGISTER) for name in "abcd"]

    def take(index: int) -> None:
        with tickets[index] as ticket:
            order.append(ticket.task)

    threads = [beside(lambda index=index: take(index)) for index in (3, 1, 2, 0)]
    for each in threads:
        each.result(WAIT_S)
    assert order == list("abcd")


def test_what_has_ended_is_counted_until_nothing_is_left(queue: Admissions) -> None:
    tickets = [queue.enter(name, AdmissionRequest.REGISTER) for name in ("a", "b", "c")]
    counts = []
    for ticket in tickets:
        counts.append(queue.summaries()[1])
        queue.leave(ticket)
        queue.leave(ticket)  # given back already
    assert counts == [0, 1, 2]
    assert queue.summaries() == ((), 0)


def test_a_place_that_is_given_back_lets_the_next_one_pass(queue: Admissions) -> None:
    first = queue.enter("a", AdmissionRequest.REGISTER)
    second = queue.enter("b", AdmissionRequest.REGISTER)
    queue.leave(first)
    with second:
        queue.leave(first)  # again, which must not end the turn of another one
        with queue.if_idle() as idle:
            assert not idle


def test_whoever_finds_the_queue_idle_has_requests_wait_meanwhile(queue: Admissions) -> None:
    entered = threading.Event()

    def take() -> None:
        with queue.enter("a", AdmissionRequest.REGISTER):
            entered.set()

    with queue.if_idle() as idle:
        assert idle
        taken = beside(take)
        assert not entered.is_set()
    taken.result(WAIT_S)
    assert entered.is_set()


def test_what_cannot_be_cancelled_any_more_is_left_alone(queue: Admissions) -> None:
    with queue.enter("a", AdmissionRequest.REGISTER) as ticket:
        ticket.settled = True
        assert queue.cancel("a") == []
        assert not ticket.stop.is_set
        ticket.settled = False
        assert [each.stage for each in queue.cancel("a")] == [AdmissionStage.PREPARING]
        with pytest.raises(StoppedError):
            ticket.at(AdmissionStage.LOADING)
