"""The dashboard beside a running orchestrator, over real DDS."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from aegis_ros.msg import GeneratorStatus, ModelTask, OrchestratorStatus, TaskStatus
from aegis_ros.srv import RegisterModel
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter

from aegis_ros.nodes.executor import NodeExecutor

pytest.importorskip("fastapi", reason="the extra `dashboard` is not installed")
pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `dashboard` is not installed")

from aegis_ros.dashboard import Cursor, GeneratorView, WhatIf
from aegis_ros.dashboard.server import Server
from aegis_ros.errors import ConfigError
from aegis_ros.nodes.dashboard import DashboardNode, main
from aegis_ros.nodes.dashboard_messages import question_to_task, status_view
from test.nodes.system import System, running

TOKEN = "0123456789abcdef"


class Beside:
    """The dashboard's node, spun on a thread of its own, with its server."""

    def __init__(self, system: System, **parameters: Any) -> None:
        token = system.folder / "token"
        token.touch(0o600)
        token.write_text(TOKEN)
        given = {"port": 0, "token_file": str(token), "metrics": True, **parameters}
        self.node = DashboardNode(
            context=system.robot.context,
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        self.server = Server(self.node.feed, self.node, self.node.settings)
        self._executor = NodeExecutor(context=system.robot.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        port = int(self.server.url.rstrip("/").rpartition(":")[2])
        with closing(HTTPConnection("127.0.0.1", port, timeout=100.0)) as connection:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def close(self) -> None:
        self.server.close()
        self._executor.shutdown()
        self._thread.join(timeout=100.0)
        self.node.destroy_node()  # else it would be in the graph for as long as it is not collected


@contextmanager
def _beside(system: System, **parameters: Any) -> Iterator[Beside]:
    beside = Beside(system, **parameters)
    try:
        yield beside
    finally:
        beside.close()


def test_status_decisions_and_jobs_of_a_robot_reach_the_page(tmp_path: Path) -> None:
    with running(tmp_path) as system, _beside(system) as beside:
        camera = system.camera("front")
        assert system.call(RegisterModel, task=system.task("front")).admitted
        feed = beside.node.feed
        system.until(
            lambda: feed.since(Cursor())[0].jobs,
            meanwhile=lambda: camera.publish(system.image()),
        )
        batch = feed.since(Cursor())[0]
        assert batch.status is not None
        (task,) = batch.status.tasks
        assert (task.name, task.lane, task.deadline_ms) == ("front", "main", 50.0)
        job = batch.jobs[0]
        assert job.stamped_ms <= job.received_ms <= job.started_ms <= job.finished_ms
        assert job.published_ms - job.stamped_ms == pytest.approx(job.response_ms, abs=0.01)
        assert job.deadline_ms - job.stamped_ms == pytest.approx(50.0, abs=0.01)
        admitted = next(each for each in batch.decisions if each.decision == "admitted")
        assert admitted.relation == "<="
        assert admitted.witness is not None
        status, text = beside.ask("GET", "/metrics")
        assert status == 200
        assert 'aegis_task_deadline_seconds{lane="main",orchestrator="/orchestrator"' in text


def test_a_topic_that_is_refused_is_reported_once_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make = DashboardNode.create_subscription

    def refuse(self: DashboardNode, kind: Any, topic: str, *more: Any, **named: Any) -> Any:
        if topic == "/a/result":
            raise RuntimeError("could not create subscription: not allowed")
        return make(self, kind, topic, *more, **named)

    monkeypatch.setattr(DashboardNode, "create_subscription", refuse)
    with running(tmp_path) as system, _beside(system) as beside:
        camera = system.camera("b")
        for name in ("a", "b"):
            assert system.call(RegisterModel, task=system.task(name)).admitted
        feed = beside.node.feed
        system.until(
            lambda: feed.since(Cursor())[0].jobs,
            meanwhile=lambda: camera.publish(system.image()),
        )
        heard = len(system.statuses)
        system.until(lambda: len(system.statuses) > heard + 3)
        assert {job.task for job in feed.since(Cursor())[0].jobs} == {"b"}
    said = capfd.readouterr().err
    assert said.count("/a/result cannot be shown: RuntimeError: could not create") == 1


def test_a_question_changes_nothing_and_a_stop_is_carried_out(tmp_path: Path) -> None:
    with running(tmp_path) as system, _beside(system, results=False) as beside:
        assert system.call(RegisterModel, task=system.task("front")).admitted
        feed = beside.node.feed
        system.until(lambda: feed.status and feed.status.tasks)
        question = {"name": "rear", "like": "front", "period_ms": 40.0, "deadline_ms": 40.0}
        answers = [
            json.loads(beside.ask("POST", "/what-if", asked)[1])
            for asked in (
                {**question, "wcet_ms": 32.5},
                {**question, "period_ms": 200.0, "deadline_ms": 200.0},
                {**question, "like": "nobody"},
            )
        ]
        assert answers[0]["admitted"] is False
        assert answers[0]["decision"]["relation"]
        assert answers[1]["admitted"] is True
        for answer, late in zip(answers[:2], (True, False), strict=True):
            assert "rear" in answer["window"]["tasks"]
            assert any(due["late"] for due in answer["window"]["dues"]) is late
        assert answers[2]["error"].startswith("like: there is no such task")
        status, text = beside.ask("POST", "/enabled", {"task": "front", "enabled": False})
        assert (status, json.loads(text)["done"]) == (200, True)
        tasks = system.until(
            lambda: feed.status and feed.status.tasks[0].state == "disabled" and feed.status.tasks
        )
        assert [task.name for task in tasks] == ["front"]
        assert beside.ask("POST", "/enabled", {"task": "nobody", "enabled": True})[0] == 409


def test_relative_names_are_those_of_the_orchestrator(tmp_path: Path) -> None:
    with (
        running(tmp_path, autostart=False) as system,
        _beside(system, target="/robot1/brain") as beside,
    ):
        node = beside.node
        assert node._absolute("faces") == "/robot1/faces"
        assert node._absolute("~/faces") == "/robot1/brain/faces"
        assert node._absolute("/faces") == "/faces"
        status, text = beside.ask("POST", "/what-if", {"name": "a", "model": "x"})
        assert status == 503
        assert "/robot1/brain/evaluate_model" in text


def test_every_parameter_says_what_it_is_for(tmp_path: Path) -> None:
    with running(tmp_path, autostart=False) as system, _beside(system) as beside:
        for name in ("target", "host", "port", "token", "page", "metrics", "results", "batch_s"):
            assert beside.node.describe_parameter(name).description, name


def test_like_takes_over_a_whole_task_and_changes_only_what_was_asked() -> None:
    spec = ModelTask(name="front", model="package://a/b.onnx", sha256="1" * 64, lane="main")
    spec.period_ms, spec.deadline_ms, spec.criticality = 50.0, 40.0, "low"
    spec.preprocess.size = [224, 320]
    spec.output.topic, spec.output.decoder = "/faces", "boxes"
    status = OrchestratorStatus(tasks=[TaskStatus(spec=spec)])
    task = question_to_task(WhatIf(name="rear", like="front", period_ms=25.0), status)
    assert (task.name, task.period_ms, task.deadline_ms) == ("rear", 25.0, 40.0)
    assert task.sha256 == "1" * 64
    assert list(task.preprocess.size) == [224, 320]
    assert (task.output.decoder, task.criticality, task.lane) == ("boxes", "low", "")
    assert spec.name == "front"
    other = question_to_task(WhatIf(name="rear", like="front", model="/b.onnx"), status)
    assert (other.model, other.sha256) == ("/b.onnx", "")
    with pytest.raises(ConfigError, match=r"expected front"):
        question_to_task(WhatIf(name="rear", like="back"), status)


def test_the_page_shows_of_a_generator_what_the_status_says() -> None:
    message = GeneratorStatus()
    for number, (name, kind) in enumerate(message.get_fields_and_field_types().items(), 1):
        value: Any = {"string": f"text {number}", "double": number / 2}.get(kind, number)
        setattr(message, name, [f"step {number}"] if kind.startswith("sequence") else value)
    (view,) = status_view(OrchestratorStatus(generators=[message])).generators
    shown = {field.name for field in fields(GeneratorView)}
    assert shown == set(message.get_fields_and_field_types())
    for name in shown:
        value = getattr(message, name)
        value = tuple(value) if isinstance(value, list) else value
        assert getattr(view, name) == value, name


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("port:=99999", "port"),
        ("token:=0123456789abcdef", "token"),
        ("token_file:=/nothing", "token_file"),
        ("host:=192.0.2.1", "host, port"),
    ],
)
def test_a_parameter_that_would_not_work_ends_the_program_with_its_name(
    parameter: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--ros-args", "-p", parameter]) == 1
    gc.collect()  # until then, other tests of this process would find its node in the graph
    error = capsys.readouterr().err
    assert error.startswith(named)
    assert "Traceback" not in error


def test_missing_packages_are_named_with_what_brings_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "aegis_ros.dashboard.server", raising=False)
    monkeypatch.delitem(sys.modules, "aegis_ros.dashboard.app", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main([]) == 1
    assert "pip install 'aegis_ros[dashboard]'" in capsys.readouterr().err
