"""Over real DDS: all that is quick is answered and reported while an admission takes its time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aegis_ros.action import ProfileModel
from aegis_ros.msg import AdmissionStatus
from aegis_ros.srv import ListModels, RegisterModel, SetTaskEnabled, UnregisterModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, ListParameters

from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine import EngineClient
from aegis_ros.orchestrator.journal_file import JournalFile
from aegis_ros.sandbox.stopping import Stop
from test.nodes.system import SIZE, WAIT_SECONDS, System, running

MANY = 5


def _fail(*arguments: Any) -> None:
    raise RuntimeError("a mistake of this package: half a character, \ud800")


class _Gate:
    """Has an admission stand still, at one of its stages, until it is opened."""

    def __init__(self, system: System, patch: pytest.MonkeyPatch, stage: str) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        owner = system.node._orchestrator
        assert owner is not None
        prepare, load = owner._judge._preparation.prepare, owner._engine.load

        def measured(compiled: CompiledNetwork, lane: int, runs: int, *_: Any, **__: Any) -> Any:
            self._wait_at(AdmissionStatus.STAGE_MEASURING)
            return np.full((runs, compiled.segments), 100_000, np.int64)

        def prepared(*arguments: Any) -> Any:
            self._wait_at(AdmissionStatus.STAGE_PREPARING)
            return prepare(*arguments)

        def loaded(*arguments: Any) -> Any:
            self._wait_at(AdmissionStatus.STAGE_LOADING)
            return load(*arguments)

        self._stage = stage
        patch.setattr(owner._engine, "profile", measured)
        patch.setattr(owner._judge._preparation, "prepare", prepared)
        patch.setattr(owner._engine, "load", loaded)

    def _wait_at(self, stage: str) -> None:
        if stage == self._stage:
            self.reached.set()
            assert self._open.wait(WAIT_SECONDS)

    def open(self) -> None:
        self._open.set()


@contextmanager
def measuring(
    folder: Path, patch: pytest.MonkeyPatch, stage: str = AdmissionStatus.STAGE_MEASURING
) -> Iterator[tuple[System, _Gate, Any]]:
    """A system with a task ``low``, where the registration of ``new`` stands at a stage."""
    with running(folder) as system:
        low = system.task("low", criticality="low")
        assert system.call(RegisterModel, task=low).admitted
        gate = _Gate(system, patch, stage)
        try:
            new = system.task("new", wcet_ms=0.0, period_ms=2000.0)  # measured beside other tests
            answer = system.ask(RegisterModel, task=new)
            system.until(gate.reached.is_set)
            yield system, gate, answer
        finally:
            gate.open()


@pytest.mark.parametrize(
    "stage",
    [
        AdmissionStatus.STAGE_PREPARING,
        AdmissionStatus.STAGE_MEASURING,
        AdmissionStatus.STAGE_LOADING,
    ],
)
def test_quick_requests_are_answered_and_everything_is_reported_while_an_admission_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    with measuring(tmp_path, monkeypatch, stage) as (system, gate, answer):
        waiting = system.ask(RegisterModel, task=system.task("next"))
        assert [each.spec.name for each in system.call(ListModels).tasks] == ["low"]
        assert system.call(SetTaskEnabled, name="low", enabled=False).success
        assert system.call(SetTaskEnabled, name="low", enabled=True).success
        assert system.ask_node(GetState, "get_state").result_in_time().current_state.label == (
            "active"
        )
        names = ["config"]
        values = system.ask_node(GetParameters, "get_parameters", names=names).result_in_time()
        assert len(values.values) == 1
        assert system.ask_node(ListParameters, "list_parameters").result_in_time().result.names
        for verb in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            changed = system.ask_node(ChangeState, "change_state", transition=Transition(id=verb))
            assert changed.result_in_time().success
        assert system.call(UnregisterModel, name="low").success
        # All that is published goes on meanwhile, and shows who has a turn and who waits.
        for heard in (system.statuses, system.diagnostics):
            count = len(heard)
            system.until(lambda heard=heard, count=count: len(heard) >= count + MANY)
        shown = system.statuses[-1].admissions
        assert [(each.task, each.request, each.stage) for each in shown] == [
            ("new", AdmissionStatus.REQUEST_REGISTER, stage),
            ("next", AdmissionStatus.REQUEST_REGISTER, AdmissionStatus.STAGE_WAITING),
        ]
        assert not answer.done() and not waiting.done()
        gate.open()
        assert answer.result_in_time().admitted
        assert waiting.result_in_time().admitted
        system.until(lambda: not system.statuses[-1].admissions)


def test_unregistering_cancels_what_is_measured_and_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with measuring(tmp_path, monkeypatch) as (system, gate, answer):
        waiting = system.ask(RegisterModel, task=system.task("next"))
        system.until(lambda: len(system.statuses[-1].admissions) == 2)
        assert "waited for its turn" in system.call(UnregisterModel, name="next").rationale.sentence
        assert not waiting.result_in_time().admitted
        assert "was measured" in system.call(UnregisterModel, name="new").rationale.sentence
        gate.open()
        refused = answer.result_in_time()
        assert not refused.admitted and refused.rationale.rule == "operator"
        assert [each.spec.name for each in system.call(ListModels).tasks] == ["low"]


def test_a_measurement_that_waits_for_its_turn_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with measuring(tmp_path, monkeypatch) as (system, gate, answer):
        goal = ProfileModel.Goal(task=system.task("other", wcet_ms=0.0), runs=20)
        handle = system.wait_for(system.profiler.send_goal_async(goal))
        system.until(lambda: len(system.statuses[-1].admissions) == 2)
        with monkeypatch.context() as patch:
            patch.setattr(Stop, "set", _fail)  # a mistake of this package: answered as well
            assert not system.wait_for(handle.cancel_goal_async()).goals_canceling
        system.wait_for(handle.cancel_goal_async())
        result = system.wait_for(handle.get_result_async()).result
        assert not result.success and "other was not measured" in result.rationale.sentence
        gate.open()
        assert answer.result_in_time().admitted


def test_quick_requests_are_answered_while_the_disk_keeps_a_removal_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, opened = threading.Event(), threading.Event()
    write = JournalFile.write

    def slow(*arguments: Any) -> None:
        reached.set()
        assert opened.wait(WAIT_SECONDS)
        write(*arguments)

    with running(tmp_path) as system:
        for name in ("left", "right"):
            task = system.task(name, criticality="low")
            assert system.call(RegisterModel, task=task).admitted
        with monkeypatch.context() as patch:
            patch.setattr(JournalFile, "write", slow)
            try:
                removal = system.ask(UnregisterModel, name="left")
                system.until(reached.is_set)
                assert [each.spec.name for each in system.call(ListModels).tasks] == ["right"]
                assert system.call(SetTaskEnabled, name="right", enabled=False).success
                assert system.call(SetTaskEnabled, name="right", enabled=True).success
                count = len(system.diagnostics)
                system.until(lambda: len(system.diagnostics) >= count + MANY)
                assert not removal.done()
            finally:
                opened.set()
            assert removal.result_in_time().success
        (journal,) = tmp_path.glob("state/**/journal.sqlite")
        assert [row.name for row in JournalFile(journal).read(1.0)] == ["right"]


def test_the_first_start_shows_how_far_it_is_while_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, opened = threading.Event(), threading.Event()

    def measured(
        self: Any, compiled: CompiledNetwork, lane: int, runs: int, *_: Any, **__: Any
    ) -> Any:
        reached.set()
        assert opened.wait(WAIT_SECONDS)
        return np.full((runs, compiled.segments), 100_000, np.int64)

    monkeypatch.setattr(EngineClient, "profile", measured)
    tasks = "".join(
        f"  - {{name: {name}, model: {tmp_path / 'identity.onnx'}, period_ms: 50,\n"
        f"     input: {{topic: /{name}/image, max_size: [64, 64]}},\n"
        f"     preprocess: {{size: {list(SIZE)}}}, output: {{topic: /{name}/result}}}}\n"
        for name in ("first", "second")
    )
    with running(tmp_path, tasks, autostart=False) as system:
        try:
            transition = Transition(id=Transition.TRANSITION_CONFIGURE)
            asked = system.ask_node(ChangeState, "change_state", transition=transition)
            system.until(reached.is_set)
            shown = system.until(
                lambda: (
                    (last := system.statuses[-1]).state == "configuring"
                    and any(
                        each.stage == AdmissionStatus.STAGE_MEASURING for each in last.admissions
                    )
                    and last
                )
            )
            assert [each.task for each in shown.admissions] == ["first", "second"]
            assert shown.engine_pid
            for label in ("configure", "activate", "deactivate"):  # none of these waits
                other = Transition(label=label)
                refused = system.ask_node(ChangeState, "change_state", transition=other)
                assert not refused.result_in_time().success
            assert system.ask_node(GetState, "get_state").result_in_time().current_state.label == (
                "configuring"
            )
            count = len(system.diagnostics)
            system.until(lambda: len(system.diagnostics) >= count + MANY)
            assert not asked.done()
        finally:
            opened.set()
        assert asked.result_in_time().success
        system.until(lambda: len(system.statuses[-1].tasks) == 2)
