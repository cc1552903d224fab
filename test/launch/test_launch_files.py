"""The launch files start what they say, with the environment large images need."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip(
    "launch.actions", reason="`ros2 launch`, which the ROS wheels lack: source a ROS 2 installation"
)
pytest.importorskip(
    "launch_ros.actions",
    reason="`ros2 launch`, which the ROS wheels lack: source a ROS 2 installation",
)

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessStart
from launch.events import Shutdown
from launch.events.process import ProcessStarted
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


def _description(name: str) -> LaunchDescription:
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], LAUNCH / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description: LaunchDescription = module.generate_launch_description()
    return description


def _started(
    file: str, expected: int = 1, *, typed: Sequence[str] = (), **arguments: str
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Run a launch file up to the start of its nodes; return command and environment of each."""
    seen: dict[str, tuple[list[str], dict[str, str]]] = {}

    def on_start(event: ProcessStarted, _: LaunchContext) -> EmitEvent | None:
        program = Path(event.cmd[0]).name
        seen[program] = (list(event.cmd), dict(event.env or {}))
        return EmitEvent(event=Shutdown(reason="seen")) if len(seen) == expected else None

    service = LaunchService(argv=list(typed), noninteractive=True)
    service.include_launch_description(
        LaunchDescription(
            [
                RegisterEventHandler(OnProcessStart(on_start=on_start)),
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(LAUNCH / file)),
                    launch_arguments=arguments.items(),
                ),
            ]
        )
    )
    service.run()
    return seen


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_every_argument_is_described(path: Path) -> None:
    for entity in _description(path.name).entities:
        if isinstance(entity, DeclareLaunchArgument):
            assert entity.description != "no description given", entity.name


def test_the_orchestrator_starts_without_any_argument() -> None:
    for entity in _description("orchestrator.launch.py").entities:
        if isinstance(entity, DeclareLaunchArgument):
            assert entity.default_value is not None, entity.name


@pytest.mark.parametrize("name", ["orchestrator", "replay"])
def test_large_images_get_our_profile_unless_the_user_chose_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default() -> str:
        (argument,) = [
            entity
            for entity in _description(f"{name}.launch.py").entities
            if isinstance(entity, DeclareLaunchArgument) and entity.name == "fastdds_profile"
        ]
        assert argument.default_value is not None
        return perform_substitutions(LaunchContext(), argument.default_value)

    monkeypatch.delenv(_PROFILE, raising=False)
    assert Path(default()).is_file()
    monkeypatch.setenv(_PROFILE, "/robot/profile.xml")
    assert default() == "/robot/profile.xml"


def test_the_orchestrator_gets_its_arguments_as_parameters(tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    started = _started(
        "orchestrator.launch.py", config=str(config), autostart="false", namespace="robot1"
    )
    command, environment = started["orchestrator"]
    assert "__ns:=/robot1" in command
    assert command[command.index("--enclave") + 1] == "/aegis/orchestrator"
    parameters = yaml.safe_load(Path(command[command.index("--params-file") + 1]).read_text())
    (values,) = (node["ros__parameters"] for node in parameters.values())
    assert values["config"] == str(config)
    assert values["autostart"] is False
    assert Path(environment[_PROFILE]).name == "fastdds.xml"


def test_each_program_has_an_enclave_of_its_own() -> None:
    started = _started("orchestrator.launch.py", 2, dashboard="true", enclave="/robot1/aegis")
    started |= _started("replay.launch.py", config="/a/replay.yaml")
    enclaves = {
        program: command[command.index("--enclave") + 1]
        for program, (command, _) in started.items()
    }
    assert enclaves == {
        "orchestrator": "/robot1/aegis/orchestrator",
        "dashboard": "/robot1/aegis/dashboard",
        "replay": "/aegis/replay",
    }


def test_the_demo_gives_each_node_its_own_configuration(tmp_path: Path) -> None:
    started = _started("demo.launch.py", 2, config="/a/tasks.yaml", replay_config="/a/replay.yaml")
    written = {
        program: Path(command[command.index("--params-file") + 1]).read_text()
        for program, (command, _) in started.items()
    }
    assert "/a/tasks.yaml" in written["orchestrator"]
    assert "/a/replay.yaml" in written["replay"]


def test_an_argument_that_is_misspelled_is_named_once_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    logger = SimpleNamespace(warning=said.append)
    monkeypatch.setattr("aegis_ros.nodes.launching.get_logger", lambda name: logger)
    _started("demo.launch.py", 2, typed=["confg:=/robot.yaml", "log_level:=warn"])
    assert said == [
        "confg is no argument of these launch files and is ignored: did you mean config:=?"
    ]


def test_chats_are_served_beside_the_orchestrator_where_asked_for() -> None:
    started = _started("orchestrator.launch.py", 2, name="brain", chat="true", chat_port="8500")
    command, _ = started["chat"]
    assert command[command.index("--enclave") + 1] == "/aegis/chat"
    parameters = yaml.safe_load(Path(command[command.index("--params-file") + 1]).read_text())
    (values,) = (node["ros__parameters"] for node in parameters.values())
    assert values == {"target": "brain", "host": "127.0.0.1", "port": 8500, "token_file": ""}


def test_the_page_is_served_beside_the_orchestrator_it_shows_where_asked_for() -> None:
    started = _started(
        "orchestrator.launch.py", 2, name="brain", namespace="robot1", dashboard="true"
    )
    command, _ = started["dashboard"]
    parameters = yaml.safe_load(Path(command[command.index("--params-file") + 1]).read_text())
    (values,) = (node["ros__parameters"] for node in parameters.values())
    assert values == {
        "target": "brain",
        "host": "127.0.0.1",
        "port": 8470,
        "token_file": "",
        "page": True,
        "results": True,
        "metrics": False,
    }
