"""What the launch files ask for exists, in the nodes and in the declarations; needs no `launch`."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2: `make build`, then `make unit`")
pytest.importorskip("aegis_ros.msg", reason="ROS 2: `make build`, then `make unit`")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from aegis_ros.nodes.chat import ChatNode
from aegis_ros.nodes.dashboard import DashboardNode
from aegis_ros.nodes.launch_arguments import ARGUMENTS, PARAMETERS, misspelled
from aegis_ros.nodes.orchestrator import OrchestratorNode
from aegis_ros.nodes.replay import ReplayNode
from aegis_ros.security import Names, enclaves
from aegis_ros.spec import OrchestratorSpec

_LAUNCH = Path(__file__).resolve().parents[2] / "launch"
_FILES = sorted(_LAUNCH.glob("*.launch.py"))
_NODES = {
    "orchestrator": OrchestratorNode,
    "dashboard": DashboardNode,
    "chat": ChatNode,
    "replay": ReplayNode,
}
_TYPES = {Parameter.Type.STRING: str, Parameter.Type.BOOL: bool, Parameter.Type.INTEGER: int}


@contextmanager
def _context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    try:
        yield context
    finally:
        rclpy.try_shutdown(context=context)


def _calls(path: Path, function: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function
    ]


def _declared(path: Path) -> set[str]:
    return {
        str(name)
        for call in _calls(path, "declare")
        for name in (
            *(argument.value for argument in call.args if isinstance(argument, ast.Constant)),
            *(keyword.arg for keyword in call.keywords),
        )
    }


def _texts(calls: list[ast.Call]) -> list[str]:
    return [str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)]


@pytest.mark.parametrize("program", sorted(PARAMETERS))
def test_every_parameter_that_a_launch_file_sets_is_the_nodes_and_of_its_type(
    program: str, tmp_path: Path
) -> None:
    arguments = {}
    if program == "replay":  # it begins to play at once
        cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
        config = tmp_path / "replay.yaml"
        config.write_text(
            f"sources: [{{images: '{tmp_path}', topic: /camera, rate_hz: 1, loop: false}}]"
        )
        arguments["parameter_overrides"] = [Parameter("config", value=str(config))]
    with _context() as context:
        made: Any = _NODES[program]
        node = made(context=context, **arguments)
        try:
            for parameter, argument in PARAMETERS[program].items():
                there = node.get_parameter(parameter)
                assert _TYPES[there.type_] is ARGUMENTS[argument].kind, parameter
        finally:
            # Others of these names may follow in this process.
            if hasattr(node, "close"):
                node.close()
            if program == "orchestrator":
                node.intake_node.destroy_node()
            node.destroy_node()
            del node
            gc.collect()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_a_launch_file_uses_only_what_is_declared(path: Path) -> None:
    declared = _declared(path)
    assert declared <= ARGUMENTS.keys()
    assert set(_texts(_calls(path, "LaunchConfiguration"))) <= declared
    for program in _texts(_calls(path, "start")):
        common = {"namespace", "enclave", "log_level", "fastdds_profile"}
        assert {*PARAMETERS[program].values(), *common} <= declared


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_what_a_launch_file_includes_and_hands_over_exists(path: Path) -> None:
    for call in _calls(path, "include"):
        (file,) = _texts([call])
        given = {keyword.arg for keyword in call.keywords if keyword.arg}
        assert given <= _declared(_LAUNCH / file)
    for relative in _texts(_calls(path, "share")):
        assert (_LAUNCH.parent / relative).is_file()


def test_every_argument_is_described_and_its_default_is_one_of_its_choices() -> None:
    for argument in ARGUMENTS.values():
        assert argument.description
        assert not argument.choices or argument.default in argument.choices


def test_enclaves_are_those_of_the_policy_unless_others_are_given() -> None:
    root = ARGUMENTS["enclave"].default
    named = {each.path for each in enclaves(OrchestratorSpec(), Names("orchestrator"))}
    assert {f"{root}/{program}" for program in PARAMETERS} <= named


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["confg:=robot.yaml"], {"confg": "config"}),
        (["config:=robot.yaml", "log_lvl:=debug"], {"log_lvl": "log_level"}),
        (["dashbord:=true", "dashboard_port:=1"], {"dashbord": "dashboard"}),
        (["config:=a.yaml", "configs:=b.yaml"], {}),  # somebody else's: ours is given
        (["camera:=left", "--debug", "config"], {}),
        ([f"{name}:=x" for name in ARGUMENTS], {}),
    ],
)
def test_an_argument_that_is_nearly_one_of_ours_is_found(
    given: list[str], found: dict[str, str]
) -> None:
    assert misspelled(given) == found


def test_every_launch_file_that_starts_a_node_checks_its_arguments() -> None:
    for path in _FILES:
        assert len(_calls(path, "checked")) == bool(_calls(path, "start")), path.name
