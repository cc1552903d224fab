"""What `ros2 security` would make of our policy keeps strangers out: no tool of ROS is needed."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from aegis_ros.config import load_config, parse_config
from aegis_ros.security import COMPANIONS, Names, enclaves, policy
from test.security.keystore import GOVERNANCE, permissions

_CONFIG = Path(__file__).resolve().parents[2] / "config"
_GRAPH = "ros_discovery_info"
_GRANTED = permissions((_CONFIG / "demo_policy.xml").read_text())
_PUBLISHED = {path: publish - {_GRAPH} for path, (publish, _) in _GRANTED.items()}
_HEARD = {path: subscribe - {_GRAPH} for path, (_, subscribe) in _GRANTED.items()}
_TASKS = load_config(_CONFIG / "demo.yaml").tasks
_NODE = "/orchestrator"


def _who(granted: dict[str, set[str]], topic: str) -> set[str]:
    return {path.removeprefix("/aegis/") for path, topics in granted.items() if topic in topics}


def test_governance_lets_nobody_in_without_keys_and_protects_everything() -> None:
    found = ElementTree.fromstring(GOVERNANCE.format(domain=7).encode())
    said = {each.tag: (each.text or "").strip() for each in found.iter() if not len(each)}
    assert said == {
        "id": "7",
        "allow_unauthenticated_participants": "false",
        "enable_join_access_control": "true",
        "discovery_protection_kind": "ENCRYPT",
        "liveliness_protection_kind": "ENCRYPT",
        "rtps_protection_kind": "SIGN",
        "topic_expression": "*",
        "enable_discovery_protection": "true",
        "enable_liveliness_protection": "true",
        "enable_read_access_control": "true",
        "enable_write_access_control": "true",
        "metadata_protection_kind": "ENCRYPT",
        "data_protection_kind": "ENCRYPT",
    }


def test_there_is_an_enclave_for_each_program() -> None:
    names = ("orchestrator", "dashboard", "chat", "monitor", "replay", "operator")
    assert set(_GRANTED) == {f"/aegis/{name}" for name in names}


def test_every_enclave_takes_part_in_the_graph() -> None:
    assert all(_GRAPH in topics for granted in _GRANTED.values() for topics in granted)


@pytest.mark.parametrize("task", _TASKS, ids=lambda task: task.name)
def test_only_sensors_publish_frames_and_only_the_orchestrator_results(task: object) -> None:
    for _, source, _ in task.sources:  # type: ignore[attr-defined]
        assert _who(_PUBLISHED, f"rt{source.topic}") == {"replay"}
        assert _who(_HEARD, f"rt{source.topic}") == {"orchestrator"}
    topic = task.output.topic  # type: ignore[attr-defined]
    assert _who(_HEARD, f"rt{topic}") == {"dashboard", "operator"}
    for name in ("", *(f"/{each}" for each in COMPANIONS)):
        assert _who(_PUBLISHED, f"rt{topic}{name}") == {"orchestrator"}


@pytest.mark.parametrize(
    ("service", "callers"),
    [
        ("register_model", {"operator"}),
        ("unregister_model", {"operator"}),
        ("list_models", {"operator"}),
        ("set_task_enabled", {"dashboard", "operator"}),
        ("evaluate_model", {"dashboard", "operator"}),
        ("evaluate_requests", {"operator"}),
        ("change_state", {"operator"}),
        ("set_parameters", {"operator"}),
        ("profile_model/_action/send_goal", {"operator"}),
        ("generate/_action/send_goal", {"chat", "operator"}),
    ],
)
def test_only_who_is_meant_to_calls_a_service(service: str, callers: set[str]) -> None:
    request, reply = f"rq{_NODE}/{service}Request", f"rr{_NODE}/{service}Reply"
    assert _who(_PUBLISHED, request) == _who(_HEARD, reply) == callers
    assert _who(_HEARD, request) == _who(_PUBLISHED, reply) == {"orchestrator"}


@pytest.mark.parametrize(
    ("topic", "listeners"),
    [
        ("status", {"chat", "dashboard", "monitor", "operator"}),
        ("rationale", {"dashboard", "monitor", "operator"}),
    ],
)
def test_only_the_orchestrator_publishes_news_of_itself(topic: str, listeners: set[str]) -> None:
    assert _who(_PUBLISHED, f"rt{_NODE}/{topic}") == {"orchestrator"}
    assert _who(_HEARD, f"rt{_NODE}/{topic}") == listeners


def test_prompts_go_from_the_operator_to_the_orchestrator_and_answers_back() -> None:
    prompts = "{topic: /ask, answers: ~/said}"
    spec = parse_config(f"generators: [{{name: llm, model: /llm.gguf, prompts: {prompts}}}]")
    granted = permissions(policy(enclaves(spec, Names("orchestrator"))))
    published = {path: publish for path, (publish, _) in granted.items()}
    heard = {path: subscribe for path, (_, subscribe) in granted.items()}
    for topic, sender, receiver in (
        ("/ask", "operator", "orchestrator"),
        (f"{_NODE}/said", "orchestrator", "operator"),
    ):
        assert _who(published, f"rt{topic}") == {sender}
        assert _who(heard, f"rt{topic}") == {receiver}


def test_images_that_prompts_are_about_are_heard_by_the_orchestrator_alone() -> None:
    image = "{topic: /eye}"
    spec = parse_config(f"generators: [{{name: llm, model: /llm.onnx, image: {image}}}]")
    granted = permissions(policy(enclaves(spec, Names("orchestrator"))))
    assert _who({path: heard for path, (_, heard) in granted.items()}, "rt/eye") == {"orchestrator"}


def test_nothing_is_granted_to_patterns_but_the_names_of_commands() -> None:
    granted = {topic for topics in _GRANTED.values() for each in topics for topic in each}
    assert {topic for topic in granted if set(topic) & set("*?[")} == {
        "rq/_ros2cli_*/get_type_descriptionRequest",
        "rr/_ros2cli_*/get_type_descriptionReply",
    }
