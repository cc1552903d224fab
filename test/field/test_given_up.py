"""An engine that is lost too often is given up: who reads log, status or diagnostics can go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aegis_ros.msg import TaskStatus
from aegis_ros.srv import RegisterModel
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from test.nodes.system import System, running

_ADVICE = "is not restarted; deactivate and activate the orchestrator to try again"


def _change(system: System, transition: int) -> bool:
    asked = system.ask_node(ChangeState, "change_state", transition=Transition(id=transition))
    return bool(asked.result_in_time().success)


def _crash_until_given_up(system: System) -> None:
    """Have the engine end by a fault of its own, each time it is back, until it stays away.

    Not while it comes back: the task that it loads then would be blamed for it.
    """

    def engine_status() -> Any:
        assert system.node._orchestrator is not None
        return system.node._orchestrator.status().engine_status

    def crash() -> None:
        engine = engine_status()
        if engine.pid and engine.pid not in crashed and engine.restarts == len(crashed):
            os.kill(engine.pid, signal.SIGSEGV)
            crashed.add(engine.pid)

    crashed: set[int] = set()
    system.until(lambda: engine_status().given_up, crash)


def _health(system: System, name: str) -> tuple[bytes, str]:
    return next(
        (
            (each.level, each.message)
            for message in reversed(system.diagnostics)
            for each in message.status
            if each.name == f"/orchestrator: {name}"
        ),
        (DiagnosticStatus.STALE, ""),
    )


def test_the_advice_that_is_given_works(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path) as system:
        assert system.call(RegisterModel, task=system.task("eye")).admitted
        system.listen("eye")
        camera = system.camera("eye")
        system.until(lambda: camera.get_subscription_count() > 0)

        def feed() -> None:
            camera.publish(system.image())

        def states() -> list[str]:
            return [each.state for each in system.statuses[-1].tasks]

        system.until(lambda: system.results, feed)
        _crash_until_given_up(system)
        system.until(lambda: states() == [TaskStatus.STATE_FAILED], feed)
        system.until(lambda: _health(system, "engine")[0] == DiagnosticStatus.ERROR)
        assert "deactivate and activate" in _health(system, "engine")[1]
        system.until(lambda: _ADVICE in _health(system, "task eye")[1])
        refused = system.call(RegisterModel, task=system.task("late"))
        assert not refused.admitted
        assert "deactivate and activate" in refused.rationale.sentence
        assert _change(system, Transition.TRANSITION_DEACTIVATE)
        assert _change(system, Transition.TRANSITION_ACTIVATE)
        count = len(system.results)
        system.until(lambda: len(system.results) > count, feed)
        system.until(lambda: states() == [TaskStatus.STATE_RUNNING], feed)
    log = capfd.readouterr().err
    assert any("[ERROR]" in line and _ADVICE in line for line in log.splitlines()), log
