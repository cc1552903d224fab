"""Who may change the set of tasks, and what the audit log says of who asked; over real DDS."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aegis_ros.action import ProfileModel
from aegis_ros.srv import (
    EvaluateModel,
    EvaluateRequests,
    ListModels,
    RegisterModel,
    SetTaskEnabled,
    UnregisterModel,
)

from aegis_ros.audit import AuditRecord, read, verify
from aegis_ros.nodes.callers import Callers
from aegis_ros.rationale import ResultCode
from aegis_ros.spec import Accept
from test.nodes.system import WAIT_SECONDS, System, running


def closed(accept: str) -> str:
    return f"  []\nservices: {{accept: {accept}}}\n"


def register(system: System, name: str = "faces") -> Any:
    return system.call(RegisterModel, task=system.task(name))


def records(folder: Path) -> list[AuditRecord]:
    (log,) = folder.rglob("audit")
    assert verify(log).damage == ()
    return [each for _, _, each in read(log) if isinstance(each, AuditRecord)]


def test_nobody_changes_what_the_file_alone_decides(tmp_path: Path) -> None:
    with running(tmp_path, closed("none")) as system:
        answer = register(system)
        assert answer.result == ResultCode.NOT_POSSIBLE_NOW
        assert "services.accept is 'none'" in answer.rationale.sentence
        assert answer.rationale.rule == "services"
        assert system.call(ListModels).tasks == []
        assert not system.call(UnregisterModel, name="faces").success
        for answer in (
            system.call(SetTaskEnabled, name="faces", enabled=False),
            system.call(EvaluateModel, task=system.task("faces")),
            system.ask_node(EvaluateRequests, "evaluate_requests").result_in_time(),
            _profiled(system),
        ):
            assert "services.accept is 'none'" in answer.rationale.sentence
    refused = [each for each in records(tmp_path) if each.event == "rejected"]
    assert [each.asked_by.partition(";")[0] for each in refused] == [
        "service register_model",
        "service unregister_model",
        "service set_task_enabled",
        "service evaluate_model",
        "service evaluate_requests",
        "service profile_model/_action/send_goal",
    ]


def test_clients_of_this_machine_are_local_and_all_changes_are_on_record(tmp_path: Path) -> None:
    with running(tmp_path, closed("local")) as system:
        assert register(system).result == ResultCode.ADMITTED
        for enabled in (False, True):
            assert system.call(SetTaskEnabled, name="faces", enabled=enabled).success
        assert system.call(UnregisterModel, name="faces").success
        assert not register(system, "No Name").admitted  # no task can be made of this one
        assert not _profiled(system, "No Name").success
        newest = system.until(lambda: _audit_values(system).get("audit_record") == "8")
        assert newest
        digest = _audit_values(system)["audit_digest"]
        robot = system.robot.get_name()
    kept = records(tmp_path)
    found = {each.event: each for each in kept}
    assert found["rejected"].digest == digest
    assert [each.event for each in kept] == [
        "configured",
        "activated",
        "admitted",
        "disabled",
        "enabled",
        "removed",
        "rejected",
        "rejected",
        "deactivated",
        "cleaned up",
    ]
    admitted, rejected, measured = (kept[index] for index in (2, 6, 7))
    assert (admitted.task, admitted.rule) == ("faces", "demand_bound")
    for each in (rejected, measured):
        assert (each.task, each.rule) == ("No Name", "schema")
    for each in (admitted, rejected):
        assert each.asked_by.startswith("service register_model; its clients: ")
        assert f"/{robot}" in each.asked_by
    assert measured.asked_by.startswith("service profile_model/_action/send_goal; its clients: ")
    assert found["configured"].asked_by == ""


def _profiled(system: System, name: str = "faces") -> Any:
    goal = ProfileModel.Goal(task=system.task(name), runs=10)
    assert system.profiler.wait_for_server(WAIT_SECONDS)
    handle = system.wait_for(system.profiler.send_goal_async(goal))
    return system.wait_for(handle.get_result_async()).result


def _audit_values(system: System) -> dict[str, str]:
    newest = [each for message in system.diagnostics[-3:] for each in message.status]
    engine = [each for each in newest if each.name.endswith("engine")]
    return {value.key: value.value for value in engine[-1].values} if engine else {}


class _Graph:
    """A node whose graph holds endpoints that this machine cannot make."""

    def __init__(self, clients: list[tuple[str, bytes]]) -> None:
        self._clients = [_endpoint(name, gid) for name, gid in clients]

    def resolve_service_name(self, name: str) -> str:
        return f"/orchestrator/{name[2:]}"

    def get_name(self) -> str:
        return "orchestrator"

    def get_namespace(self) -> str:
        return "/"

    def get_subscriptions_info_by_topic(self, topic: str, no_mangle: bool) -> list[Any]:
        assert (topic, no_mangle) == ("rq/orchestrator/register_modelRequest", True)
        return [_endpoint("orchestrator", b"\x01\x0f\x11\x22" + b"\1" * 12)]

    def get_node_names_and_namespaces_with_enclaves(self) -> list[tuple[str, str, str]]:
        return [("n1", "/", "/aegis/operator"), ("n3", "/", "/"), ("n3", "/", "/x")]

    def get_publishers_info_by_topic(self, topic: str, no_mangle: bool) -> list[Any]:
        return self._clients


def _endpoint(name: str, gid: bytes) -> Any:
    return SimpleNamespace(node_name=name, node_namespace="/", endpoint_gid=list(gid))


HERE = b"\x01\x0f\x11\x22" + b"\7" * 12


@pytest.mark.parametrize(
    ("clients", "elsewhere"),
    [
        ([("rqt", HERE)], None),
        ([("rqt", HERE), ("evil", b"\x01\x0f\x33\x44" + b"\7" * 12)], ("/evil",)),
        # Another vendor's numbers say nothing about the machine.
        ([("other", b"\x01\x10\x11\x22" + b"\7" * 12)], ("/other",)),
        ([], ("unknown",)),
    ],
)
def test_local_means_that_every_client_runs_here(
    clients: list[tuple[str, bytes]], elsewhere: tuple[str, ...] | None
) -> None:
    node: Any = _Graph(clients)
    refusal = Callers(node, lambda: Accept.LOCAL).refusal("register_model", "faces")
    assert (None if refusal is None else refusal.elsewhere) == elsewhere
    assert Callers(node, lambda: Accept.ALL).refusal("register_model", "faces") is None


def test_who_asked_is_listed_within_bounds() -> None:
    node: Any = _Graph([(f"n{number}", HERE) for number in range(9)])
    described = Callers(node, lambda: Accept.ALL).describe("register_model")
    who = "010f11220707070707070707"
    assert described == (
        f"service register_model; its clients: /n0 ({who}), /n1 ({who}, enclave /aegis/operator), "
        f"/n2 ({who}), /n3 ({who}, enclave / or /x), /n4 ({who}) and 4 more"
    )


def test_whoever_takes_anothers_name_or_hides_in_it_is_told_apart() -> None:
    there = b"\x01\x0f\x33\x44" + b"\7" * 12
    node: Any = _Graph([("n3", HERE), ("n3", there), ("\x1b[2J\n", HERE)])
    described = Callers(node, lambda: Accept.ALL).describe("register_model")
    assert described == (
        r"service register_model; its clients: /\x1b[2J\n (010f11220707070707070707), "
        "/n3 (010f11220707070707070707, enclave / or /x), "
        "/n3 (010f33440707070707070707, enclave / or /x, another machine)"
    )
