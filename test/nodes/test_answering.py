"""Every request over DDS is answered, whatever it asks for and whatever becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from aegis_ros.action import ProfileModel
from aegis_ros.srv import ListModels, RegisterModel, UnregisterModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically

from test.nodes.system import WAIT_SECONDS, System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def change(system: System, **transition: Any) -> bool:
    asked = system.ask_node(ChangeState, "change_state", transition=Transition(**transition))
    return bool(asked.result_in_time().success)


@pytest.mark.parametrize(
    "transition",
    [
        {"id": Transition.TRANSITION_ACTIVATE},
        {"id": Transition.TRANSITION_CONFIGURE},
        {"id": Transition.TRANSITION_CLEANUP},
        {"id": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN},
        {"id": Transition.TRANSITION_CREATE},
        {"id": Transition.TRANSITION_DESTROY},
        {"id": Transition.TRANSITION_ON_CONFIGURE_SUCCESS},
        {"id": 255},
        {"label": "activate"},
        {"label": "fly"},
        {"label": "transition_success"},
    ],
)
def test_a_transition_that_is_not_possible_is_refused_and_changes_nothing(
    system: System, transition: dict[str, Any]
) -> None:
    assert not change(system, **transition)
    assert system.node.state == "active"


def test_a_label_that_is_no_transition_is_logged_as_text(
    system: System, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not change(system, label="\x1b[2J" + "fly" * 1000)
    said = capfd.readouterr().err
    assert "\\x1b[2Jfly" in said and "\x1b[2J" not in said and len(said) < 1000


def test_transitions_are_made_by_number_and_by_label(system: System) -> None:
    assert change(system, label="deactivate") and system.node.state == "inactive"
    assert change(system, id=Transition.TRANSITION_ACTIVATE) and system.node.state == "active"


def test_a_transition_that_fails_in_an_unforeseen_way_is_refused(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake of this package")

    assert change(system, label="deactivate")
    with monkeypatch.context() as patch:
        patch.setattr(system.node._orchestrator, "activate", fail)
        assert not change(system, label="activate")
    assert system.node.state == "inactive"
    assert change(system, label="activate")


def test_every_service_of_the_node_answers_an_empty_request(system: System) -> None:
    services = list(system.node.services)
    assert len(services) >= 16
    for service in services:
        name = service.srv_name.rsplit("/", 1)[-1]
        assert system.ask_node(service.srv_type, name).result_in_time() is not None, name


def test_a_parameter_of_a_type_that_does_not_exist_is_refused(system: System) -> None:
    wanted = [Parameter(name="config", value=ParameterValue(type=99))]
    answer = system.ask_node(SetParameters, "set_parameters", parameters=wanted).result_in_time()
    assert [each.successful for each in answer.results] == [False]
    assert answer.results[0].reason


def test_a_callback_that_raises_is_answered_with_its_reason(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake of this package: half a character, \ud800")

    monkeypatch.setattr(system.node._orchestrator, "status", fail)
    monkeypatch.setattr("aegis_ros.nodes.services.fill_registration", fail)
    monkeypatch.setattr(system.node._requests, "_by_name", fail)
    monkeypatch.setattr(system.node, "set_parameters_atomically", fail)
    assert system.call(ListModels).tasks == []
    answer = system.call(RegisterModel, task=system.task("Bad Name"))
    assert not answer.admitted and "a mistake of this package" in answer.rationale.sentence
    removed = system.call(UnregisterModel, name="x")
    assert not removed.success and "a mistake of this package" in removed.rationale.sentence
    wanted = [Parameter(name="config", value=ParameterValue(type=4, string_value="x"))] * 2
    results = (
        system.ask_node(SetParameters, "set_parameters", parameters=wanted).result_in_time().results
    )
    assert [each.successful for each in results] == [False, False]
    assert "a mistake of this package" in results[0].reason
    both = system.ask_node(
        SetParametersAtomically, "set_parameters_atomically", parameters=wanted
    ).result_in_time()
    assert not both.result.successful and "a mistake of this package" in both.result.reason


def test_a_request_that_fails_in_an_unforeseen_way_is_refused_on_record(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a mistake of this package: half a character, \ud800")

    monkeypatch.setattr(system.node._orchestrator, "register", fail)
    answer = system.call(RegisterModel, task=system.task("left"))
    assert not answer.admitted and "a mistake of this package" in answer.rationale.sentence
    number = answer.rationale.id
    assert number and system.until(lambda: number in [each.id for each in system.rationales])


def test_an_answer_that_cannot_be_sent_is_replaced_by_one_that_says_so(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsendable(service: str, name: str, response: Any, *_: Any, **__: Any) -> Any:
        response.success = True
        response.rationale.sentence = "half a character: \ud800"
        return response

    monkeypatch.setattr(system.node._requests, "_by_name", unsendable)
    removed = system.call(UnregisterModel, name="x")
    assert not removed.success and removed.rationale.sentence


def test_a_goal_whose_measurement_fails_in_an_unforeseen_way_ends_with_the_reason(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("a mistake of this package \ud800")

    monkeypatch.setattr(system.node._orchestrator.profiler, "profile", fail)
    goal = ProfileModel.Goal(task=system.task("other"), runs=20)
    handle = system.wait_for(system.profiler.send_goal_async(goal))
    ended = system.wait_for(handle.get_result_async())
    assert ended.status == GoalStatus.STATUS_ABORTED
    assert "a mistake of this package" in ended.result.rationale.sentence


def test_a_goal_that_fails_before_it_is_measured_ends(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("a mistake of this package")

    monkeypatch.setattr(system.node._requests._callers, "refusal", fail)
    goal = ProfileModel.Goal(task=system.task("other"), runs=20)
    handle = system.wait_for(system.profiler.send_goal_async(goal))
    assert system.wait_for(handle.get_result_async()).status == GoalStatus.STATUS_ABORTED


def test_a_timer_that_raises_ends_nothing(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()

    def fail() -> None:
        called.set()
        raise RuntimeError("a mistake of this package: half a character, \ud800")

    with monkeypatch.context() as patch:
        patch.setattr(system.node._orchestrator, "status", fail)
        assert called.wait(WAIT_SECONDS)
    count = len(system.statuses)
    system.until(lambda: len(system.statuses) > count)


def test_what_is_possible_can_still_be_asked(system: System) -> None:
    asked = system.ask_node(GetAvailableTransitions, "get_available_transitions")
    labels = {each.transition.label for each in asked.result_in_time().available_transitions}
    assert labels == {"deactivate", "shutdown"}
