"""The files for other people's tools fit what this package publishes."""

from __future__ import annotations

import ast
import json
import re
import struct
from pathlib import Path
from typing import Any

import yaml
from aegis_ros.msg import OrchestratorStatus

from test.nodes.system import System, running

CONFIG = Path(__file__).resolve().parents[2] / "config"
_KEYS = {"type", "path", "contains", "expected", "timeout", "discard_stale"}


def _analyzers() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((CONFIG / "diagnostics_aggregator.yaml").read_text())
    found = document["analyzers"]["ros__parameters"]
    assert found.pop("path") == "Perception"
    return dict(found)


def _names(system: System) -> set[str]:
    return {entry.name for message in system.diagnostics for entry in message.status}


def test_every_diagnosis_falls_into_exactly_one_group_of_the_aggregator(tmp_path: Path) -> None:
    analyzers = _analyzers()
    task = (
        "  - {name: front, model: '%s', period_ms: 50, wcet_ms: 1, "
        "input: {topic: /front/image, max_size: [64, 64]}, preprocess: {size: [12, 16]}, "
        "output: {topic: /front/result}}\n"
    ) % (tmp_path / "identity.onnx")
    with running(tmp_path, task) as system:
        names = system.until(
            lambda: (found := _names(system)) and "/orchestrator: task front" in found and found
        )
    for name in names:
        groups = [
            key
            for key, analyzer in analyzers.items()
            if any(part in name for part in analyzer["contains"])
        ]
        assert len(groups) == 1, (name, groups)
    expected = {name for analyzer in analyzers.values() for name in analyzer.get("expected", ())}
    assert expected <= names


def test_the_aggregator_knows_every_key_that_is_used() -> None:
    for analyzer in _analyzers().values():
        assert analyzer.keys() <= _KEYS
        assert analyzer["type"] == "diagnostic_aggregator/GenericAnalyzer"
        assert isinstance(analyzer["timeout"], float)


def test_what_the_perspective_plots_are_numbers_of_the_status() -> None:
    perspective = json.loads((CONFIG / "rqt.perspective").read_text())
    manager = perspective["groups"]["pluginmanager"]
    running_plugins = ast.literal_eval(manager["keys"]["running-plugins"]["repr"])
    plots = running_plugins["rqt_plot/Plot"]
    for number in plots:
        plugin = manager["groups"][f"plugin__rqt_plot__Plot__{number}"]["groups"]["plugin"]
        for topic in ast.literal_eval(plugin["keys"]["topics"]["repr"]):
            path = topic.removeprefix("/orchestrator/status/").split("/")
            kind: Any = OrchestratorStatus
            for part in path[:-1]:
                kind = _type_of(kind, part)
            fields = kind.get_fields_and_field_types()
            assert fields[path[-1]] == "double", topic


def test_the_perspective_stacks_its_panels_on_a_screen_of_1280_pixels() -> None:
    keys = json.loads((CONFIG / "rqt.perspective").read_text())["groups"]["mainwindow"]["keys"]
    geometry, state = (
        bytes.fromhex(re.search(r"b'(\w+)'", keys[name]["repr(QByteArray.hex)"]).group(1))  # type: ignore[union-attr]
        for name in ("geometry", "state")
    )
    # QWidget.saveGeometry: magic, version, and the window's frame as left, top, right, bottom
    left, top, right, bottom = struct.unpack(">4i", geometry[8:24])
    assert right - left <= 1280 and bottom - top <= 768
    (left_width, left_panels), (right_width, right_panels) = _columns(state)
    assert left_width + right_width <= 1280
    assert [panel.split("__")[1] for panel in left_panels] == ["RobotMonitor", "TopicPlugin"]
    assert [panel.split("__")[1:3] for panel in right_panels] == [["Plot", "1"], ["Plot", "2"]]


def _columns(state: bytes) -> list[tuple[int, list[str]]]:
    """Return width and panels, from the top, of each column of what QMainWindow.saveState gives."""
    at = 0

    def number() -> int:
        nonlocal at
        at += 4
        return int(struct.unpack(">i", state[at - 4 : at])[0])

    def byte() -> int:
        nonlocal at
        at += 1
        return state[at - 1]

    assert (number(), number(), byte()) == (0xFF, 0, 0xFD)  # magic, version, docked panels
    columns = []
    for _ in range(number()):
        number()  # side of the window
        width, _, kind, orientation = number(), number(), byte(), byte()
        assert (kind, orientation) == (0xFC, 2), "panels in a sequence, one above the other"
        panels = []
        for _ in range(number()):
            assert byte() == 0xFB  # a panel, and no further sequence
            length = number()
            panels.append(state[at : at + length].decode("utf-16-be"))
            at += length + 1 + 4 * 4  # flags, position, sizes
        columns.append((width, panels))
    return columns


def _type_of(kind: Any, part: str) -> Any:
    import aegis_ros.msg as messages

    name, index = re.fullmatch(r"(\w+?)(\[0\])?", part).groups()  # type: ignore[union-attr]
    declared = kind.get_fields_and_field_types()[name]
    assert declared.startswith("sequence<") == bool(index)
    return getattr(messages, re.sub(r"sequence<(.*)>", r"\1", declared).rpartition("/")[2])
