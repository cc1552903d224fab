"""The same node is started twice, where no lock can see it: both say so at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from aegis_ros.nodes.namesakes import Namesakes
from test.field.orchestrators import Orchestrators

_OWN = ("orchestrator", "/robot")
_HERE, _THERE = b"\x01\x0f\x11\x22", b"\x01\x0f\x33\x44"
_LAST = 6
# As long as that, others list whoever leaves without a word.
_LISTED_FOR_AN_HOUR = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com">
  <participant profile_name="patient" is_default_profile="true"><rtps><builtin><discovery_config>
    <leaseDuration><sec>3600</sec></leaseDuration>
  </discovery_config></builtin></rtps></participant>
</profiles>
"""


class _Robot(Orchestrators):
    """Listens to what orchestrators of one name say of it on /diagnostics."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._said: list[DiagnosticStatus] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)

    def _keep(self, message: DiagnosticArray) -> None:
        name = f"{self.root}/orchestrator: name"
        self._said += [each for each in message.status if each.name == name]

    def until_all_say(self, level: bytes) -> str:
        """Wait until the next diagnoses of the name are of this level, whoever publishes them."""

        def alike() -> bool:
            said = self._said[-_LAST:]
            return len(said) == _LAST and all(each.level == level for each in said)

        self.until(alike)
        said = str(self._said[-1].message)
        self._said.clear()
        return said


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[_Robot]:
    each = _Robot(tmp_path)
    yield each
    each.close()


def test_both_nodes_of_one_name_report_it_until_one_of_them_ends(
    robot: _Robot, tmp_path: Path
) -> None:
    robot.start("first")
    robot.until_all_say(DiagnosticStatus.OK)
    profile = tmp_path / "profile.xml"
    profile.write_text(_LISTED_FOR_AN_HOUR)
    second = robot.start("second", environment={"FASTRTPS_DEFAULT_PROFILES_FILE": str(profile)})
    said = robot.until_all_say(DiagnosticStatus.ERROR)
    expected = f"another node named {robot.root}/orchestrator can be heard on this machine: "
    assert said.startswith(expected)
    robot.end(second)
    robot.until_all_say(DiagnosticStatus.OK)
    for name in ("first", "second"):
        assert robot.log(name).count(expected) == 1, "and in the log, once"


def test_nodes_that_are_not_configured_report_it_as_well(robot: _Robot) -> None:
    for name in ("first", "second"):
        robot.start(name, autostart=False)
    robot.until_all_say(DiagnosticStatus.ERROR)


class _Graph:
    """A node in a graph of others."""

    def __init__(self) -> None:
        self.nodes = [_OWN]
        self.publishers: list[Any] = []
        self.logged: list[tuple[str, str]] = []

    def get_name(self) -> str:
        return _OWN[0]

    def get_namespace(self) -> str:
        return _OWN[1]

    def get_fully_qualified_name(self) -> str:
        return "/".join(reversed(_OWN))

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        return self.nodes

    def resolve_topic_name(self, name: str) -> str:
        return name.replace("~", self.get_fully_qualified_name())

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        assert topic == "/robot/orchestrator/status"
        return self.publishers

    def get_logger(self) -> Any:
        return SimpleNamespace(
            error=lambda text: self.logged.append(("error", text)),
            info=lambda text: self.logged.append(("info", text)),
        )

    def publishes(self, *machines: bytes) -> None:
        self.publishers = [
            SimpleNamespace(
                node_name=_OWN[0], node_namespace=_OWN[1], endpoint_gid=[*machine, *range(12)]
            )
            for machine in machines
        ]


@pytest.mark.parametrize(
    ("machines", "says"),
    [
        ((_HERE, _HERE), "can be heard on this machine: both"),
        ((_HERE, _THERE), "can be heard on another machine: both"),
        ((_HERE,), "can be heard: both"),
    ],
    ids=["the same machine", "another machine", "a node of another kind"],
)
def test_says_where_the_other_one_is_and_once(machines: tuple[bytes, ...], says: str) -> None:
    graph: Any = _Graph()
    watch = Namesakes(graph)
    watch.look()
    assert not watch.problem and not graph.logged
    graph.nodes = [_OWN, ("orchestrator", "/other"), _OWN]
    graph.publishes(_HERE)  # at first it shows the other's name alone
    watch.look()
    assert not watch.problem and not graph.logged
    graph.publishes(*machines)
    for _ in range(5):
        watch.look()
    assert says in watch.problem
    assert graph.logged == [("error", watch.problem)]
    graph.nodes = [_OWN]
    watch.look()
    assert not watch.problem
    assert graph.logged[-1] == ("info", "this is the only node named /robot/orchestrator again")
