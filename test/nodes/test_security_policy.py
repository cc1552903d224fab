"""A policy of SROS2 permits what running nodes use of the ROS graph, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import rclpy
from aegis_ros.srv import RegisterModel
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter

from aegis_ros.config import load_config
from aegis_ros.nodes.chat import ChatNode
from aegis_ros.nodes.companions import companion
from aegis_ros.nodes.dashboard import DashboardNode
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.monitor import Monitor
from aegis_ros.nodes.replay import ReplayNode
from aegis_ros.security import COMPANIONS, Names, enclaves, policy
from test.nodes.system import SIZE, System, running
from test.security.keystore import permissions

Use = tuple[str, str]  # publish, subscribe, reply or request; full name

_REMAPS = (("camera/image", "/front/image"), ("/perception/seen", "/robot/seen"))
_TASKS = f"""
  - name: seen
    model: {{folder}}/identity.onnx
    input: {{topic: camera/image, max_size: [64, 64]}}
    preprocess: {{size: [{SIZE[0]}, {SIZE[1]}]}}
    period_ms: 50
    wcet_ms: 1
    output: {{topic: /perception/seen, decoder: segmentation, annotate: true}}
  - name: private
    model: {{folder}}/identity.onnx
    input: {{topic: /rear/image, max_size: [64, 64]}}
    preprocess: {{size: [{SIZE[0]}, {SIZE[1]}]}}
    period_ms: 50
    wcet_ms: 1
    output: {{topic: ~/private}}
"""


def _permitted(text: str) -> dict[str, set[Use]]:
    """Return what a policy permits each node, by the node's name."""
    return {
        profile.attrib["node"]: {
            use
            for group in profile
            for kind in ("publish", "subscribe", "reply", "request", "execute", "call")
            if group.get(kind) == "ALLOW"
            for entry in group
            for use in _uses(kind, str(entry.text))
        }
        for profile in ElementTree.fromstring(text.encode()).iter("profile")
    }


def _uses(kind: str, name: str) -> Iterator[Use]:
    if kind not in ("execute", "call"):
        yield kind, name
        return
    for topic in ("feedback", "status"):
        yield "publish" if kind == "execute" else "subscribe", f"{name}/_action/{topic}"
    for service in ("cancel_goal", "get_result", "send_goal"):
        yield "reply" if kind == "execute" else "request", f"{name}/_action/{service}"


def _used(node: Node) -> set[Use]:
    """Return what a node uses, as the graph has it."""
    of = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    return {
        (kind, name)
        for kind, read in of.items()
        for name, _ in read(node.get_name(), node.get_namespace())
    }


@contextmanager
def _spun(context: Context, *nodes: Node) -> Iterator[None]:
    executor = NodeExecutor(context=context)
    for node in nodes:
        executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield
    executor.shutdown()
    thread.join(timeout=100.0)


def _words() -> list[str]:
    return [f"{old}:={new}" for old, new in _REMAPS]


def _replay(system: System) -> ReplayNode:
    folder = system.folder / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((*SIZE, 3), np.uint8))
    config = system.folder / "replay.yaml"
    config.write_text(
        "sources:\n"
        + "".join(
            f"  - {{images: '{folder}', topic: {topic}, rate_hz: 20}}\n"
            for topic in ("camera/image", "/rear/image")
        )
    )
    return ReplayNode(
        context=system.robot.context,
        cli_args=["--ros-args", *(word for rule in _words() for word in ("-r", rule))],
        parameter_overrides=[Parameter("config", value=str(config))],
    )


def test_every_node_uses_what_the_policy_permits_and_nothing_else(tmp_path: Path) -> None:
    tasks = _TASKS.replace("{folder}", str(tmp_path))
    with (
        running(tmp_path, tasks, remap=_words()) as system,
        closing(_replay(system)) as replay,
    ):
        context = system.robot.context
        dashboard = DashboardNode(
            context=context,
            cli_args=["--ros-args", *(word for rule in _words() for word in ("-r", rule))],
        )
        chat = ChatNode(
            context=context,
            cli_args=["--ros-args", *(word for rule in _words() for word in ("-r", rule))],
        )
        watching = rclpy.create_node("aegis_monitor", context=context)
        Monitor(watching, "/orchestrator")
        system.node.set_parameters([Parameter("use_sim_time", value=True)])
        nodes = (system.node, system.node.intake_node, dashboard, chat, watching, replay)
        spec = load_config(tmp_path / "robot.yaml")
        names = Names("orchestrator", "/", _REMAPS)
        permitted = _permitted(policy(enclaves(spec, names)))
        # Made when a decoder first gives something of the kind.
        made = {
            ("publish", topic)
            for task in spec.tasks
            for topic in names.beside(task.output.topic, COMPANIONS)
        }
        drawn = ("publish", "/robot/seen/mask")  # so that it is known to be made at all

        def unused() -> dict[str, set[Use]]:
            return {
                each.get_name(): (permitted[each.get_name()] - made | {drawn}) - _used(each)
                if each is system.node
                else permitted[each.get_name()] - _used(each)
                for each in nodes
            }

        with _spun(context, dashboard, chat, watching, replay):
            with suppress(AssertionError):
                system.until(lambda: not any(unused().values()))
            assert unused() == {each.get_name(): set() for each in nodes}
            for node in nodes:
                assert _used(node) <= permitted[node.get_name()], node.get_name()
            _check_dds(policy(enclaves(spec, names)), nodes)
        for node in (dashboard, chat, watching, replay):
            node.destroy_node()  # others of these names may follow in this process


def _check_dds(text: str, nodes: Iterable[Node]) -> None:
    """Hold what DDS is told of a policy to the topics of DDS that running nodes have."""
    enclaves_of = {
        profile.attrib["node"]: enclave.attrib["path"]
        for enclave in ElementTree.fromstring(text.encode()).iter("enclave")
        for profile in enclave.iter("profile")
    }
    granted = permissions(text)
    for node in nodes:
        publish, subscribe = granted[enclaves_of[node.get_name()]]
        of = (node.get_name(), node.get_namespace(), True)  # as DDS names them
        written = {topic for topic, _ in node.get_publisher_names_and_types_by_node(*of)}
        read = {topic for topic, _ in node.get_subscriber_names_and_types_by_node(*of)}
        assert {topic[:3] for topic in written} <= {"rt/", "rr/", "rq/"}
        assert any(topic.startswith("rt/") for topic in written), node.get_name()
        assert any(topic.startswith("rr/") for topic in written), node.get_name()
        assert written <= publish, node.get_name()
        assert read <= subscribe, node.get_name()


_FOR_NO_OPERATOR = {
    ("publish", "/parameter_events"),
    ("publish", "/rosout"),
    ("publish", "/orchestrator/transition_event"),
    ("reply", "/orchestrator/get_type_description"),
}


_OFFERS = {"request": "reply", "subscribe": "publish"}


def test_an_operator_may_use_what_the_orchestrator_offers_and_nothing_else(tmp_path: Path) -> None:
    permitted = _permitted(policy(enclaves(load_config(_config(tmp_path)), _names())))
    operator = permitted["_ros2cli_*"]
    asked = {(_OFFERS[kind], name) for kind, name in operator if kind in _OFFERS}
    offered = {use for use in permitted["orchestrator"] if use[0] in _OFFERS.values()}
    assert asked == offered - _FOR_NO_OPERATOR
    assert {use for use in operator if use[0] not in _OFFERS} == {
        ("publish", "/parameter_events"),
        ("publish", "/rosout"),
        ("reply", "/_ros2cli_*/get_type_description"),
    }


def test_what_an_operator_may_use_is_enough(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        command = Node("_ros2cli_17", context=system.robot.context, start_parameter_services=False)
        permitted = _permitted(policy(enclaves(load_config(tmp_path / "robot.yaml"), _names())))
        (mine,) = (name for name in permitted if fnmatchcase(command.get_name(), name))
        offered = {use for use in permitted[mine] if use[0] in _OFFERS}
        others = permitted[mine] - offered
        for kind, name in _used(command):
            assert any(kind == use and fnmatchcase(name, text) for use, text in others), name
        assert system.call(RegisterModel, task=system.task("a")).admitted


def _names() -> Names:
    return Names("orchestrator")


_RULES = (
    ("image", "/front/image"),
    ("~/status", "health"),
    ("/robot1/brain/out", "elsewhere"),
    ("/perception/a/mask", "/masks"),
    ("/perception/b", "~/b"),
)


@pytest.mark.parametrize("namespace", ["/", "/robot1", "/site/robot1"])
@pytest.mark.parametrize(
    "name",
    [
        *("image", "/image", "~/image", "~/status", "~/out", "out", "/front/image"),
        *("/perception/a", "/perception/b", "/perception/c", "~/a/b"),
    ],
)
def test_names_are_resolved_as_ros_does(namespace: str, name: str) -> None:
    names = Names("brain", namespace, _RULES)
    context = Context()
    rclpy.init(context=context)
    try:
        rules = [word for old, new in _RULES for word in ("-r", f"{old}:={new}")]
        node = Node(
            "brain",
            namespace=namespace,
            context=context,
            cli_args=["--ros-args", *rules],
            start_parameter_services=False,
        )
        assert node.get_fully_qualified_name() == names.own
        assert node.resolve_topic_name(name) == names.resolved(name)
        assert node.resolve_service_name(name) == names.resolved(name)
        assert [companion(node, name, each) for each in COMPANIONS] == [
            *names.beside(name, COMPANIONS)
        ]
    finally:
        rclpy.try_shutdown(context=context)


def test_what_a_policy_permits_ends_with_what_it_names(tmp_path: Path) -> None:
    permitted = _permitted(policy(enclaves(load_config(_config(tmp_path)), _names())))
    wild = {name for uses in permitted.values() for _, name in uses if "*" in name}
    assert wild == {"/_ros2cli_*/get_type_description"}


def _config(folder: Path) -> Path:
    path = folder / "robot.yaml"
    path.write_text("tasks:" + _TASKS.replace("{folder}", str(folder)))
    return path
