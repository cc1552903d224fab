"""Configure, activate, deactivate and clean up, again and again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest
from aegis_ros.msg import OrchestratorStatus
from aegis_ros.srv import ListModels, RegisterModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn

from aegis_ros.errors import StoppedError
from aegis_ros.nodes.orchestrator import OrchestratorNode
from aegis_ros.orchestrator import LaneChooser, Orchestrator
from test.nodes.system import SIZE, Asked, System, running
from test.waiting import until


def test_the_lifecycle_gives_everything_back_and_begins_again(tmp_path: Path) -> None:
    task = (
        "  - {name: filed, model: identity.onnx, period_ms: 50, wcet_ms: 1,\n"
        "     input: {topic: /filed/image, max_size: [64, 64]},\n"
        f"     preprocess: {{size: {list(SIZE)}}},\n"
        "     output: {topic: /filed/result}}\n"
    ).replace("identity.onnx", str(tmp_path / "identity.onnx"))
    with running(tmp_path, task, autostart=False) as system:
        ok = TransitionCallbackReturn.SUCCESS
        assert not system.call(ListModels).tasks
        refused = system.call(RegisterModel, task=system.task("early"))
        assert not refused.admitted and "configure" in refused.rationale.sentence
        system.listen("filed")
        camera = system.camera("filed")
        for _ in range(2):
            system.statuses.clear()
            assert system.node.trigger_configure() is ok
            pid = system.until(
                lambda: next((s.engine_pid for s in system.statuses[-1:] if s.engine_pid), 0)
            )
            assert camera.get_subscription_count() == 0
            assert system.node.trigger_activate() is ok
            count = len(system.results)
            system.until(
                lambda count=count: len(system.results) > count,
                lambda: camera.publish(system.image()),
            )
            assert system.node.trigger_deactivate() is ok
            system.until(lambda: camera.get_subscription_count() == 0)
            assert system.node.trigger_cleanup() is ok
            assert not Path(f"/proc/{pid}").exists()
        assert system.node.trigger_shutdown() is ok


def test_configuring_ends_at_once_for_a_clean_up_and_for_the_end_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while lanes are chosen, before there is an orchestrator."""
    begun, ended = threading.Event(), list[type]()

    def stay(one: LaneChooser | Orchestrator) -> None:
        queue = one.admissions if isinstance(one, Orchestrator) else one._admissions
        queue.open()
        begun.set()
        until(lambda: queue.closed)
        ended.append(type(one))
        raise StoppedError("it was stopped on request")

    def configuring(system: System) -> Asked:
        begun.clear()
        asked = system.ask_node(
            ChangeState, "change_state", transition=Transition(label="configure")
        )
        system.until(begun.is_set)
        return asked

    with running(tmp_path, autostart=False) as system:
        for kind, name in ((LaneChooser, "choose"), (Orchestrator, "configure")):
            with monkeypatch.context() as patch:
                patch.setattr(kind, name, stay)
                asked = configuring(system)
                cleaned = Transition(label="cleanup")
                system.ask_node(ChangeState, "change_state", transition=cleaned).result_in_time()
                assert not asked.result_in_time().success
            assert system.node.state == "unconfigured"
        monkeypatch.setattr(LaneChooser, "choose", stay)
        configuring(system)
    until(lambda: ended == [LaneChooser, Orchestrator, LaneChooser])


def test_a_node_that_ends_does_not_call_itself_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[OrchestratorStatus] = []
    with running(tmp_path) as system:
        node = system.node
        give_back = node._give_back

        def give_back_slowly() -> None:
            give_back()
            system.statuses.clear()
            # What comes first may have been said before it was asked to end.
            said.extend(system.until(lambda: system.statuses[2:4]))

        monkeypatch.setattr(node, "_give_back", give_back_slowly)
        system.until(lambda: [each for each in system.statuses if each.state == "active"])
    assert {(each.state, len(each.tasks)) for each in said} == {("shuttingdown", 0)}


def test_tasks_are_shown_with_the_state_they_are_of() -> None:
    """As when a node becomes active between the look at its tasks and that at its state."""

    class Node:
        states = iter(["configuring", "active", "active", "active"])

        @property
        def state(self) -> str:
            return next(self.states)

        class _orchestrator:
            looks: ClassVar = iter([[], ["near"]])

            @classmethod
            def status(cls) -> list[str]:
                return next(cls.looks)

    assert OrchestratorNode._seen(Node()) == ("active", ["near"])


def test_a_configuration_that_is_wrong_leaves_the_node_unconfigured(tmp_path: Path) -> None:
    with running(tmp_path, "  - {name: x, modell: y}\n", autostart=False) as system:
        assert system.node.trigger_configure() is TransitionCallbackReturn.FAILURE


def test_what_lies_in_memory_for_want_of_a_disk_goes_with_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aegis_ros.orchestrator.state_folder._why_not_written", lambda folder: "full"
    )
    with running(tmp_path, autostart=False) as system:
        for end in (system.node.trigger_cleanup, system.node.trigger_shutdown):
            assert system.node.trigger_configure() is TransitionCallbackReturn.SUCCESS
            assert system.node._orchestrator is not None
            state = system.node._orchestrator._state
            assert state.problem == "full" and state.cache.is_dir()
            end()
            assert not state.cache.parent.exists()
