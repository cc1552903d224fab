"""`aegis check --lanes auto`: lanes chosen on paper, and what fell short."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import create_backends
from aegis_ros.cli.main import check
from aegis_ros.config import load_config
from aegis_ros.planning import lane_paper
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.task_set import ASSUMED_SLOWDOWN, read_task_set
from aegis_ros.spec import DeviceSpec
from aegis_ros.wcet import Batch, Condition, Neighbour, Place, Profile, ProfileKey, ProfileStore
from test.cli.conftest import Aegis, Write
from test.network.builders import identity_network

MS = 1_000_000

# Together they need more than one lane has; the detector cannot wait for the map.
BARE = """
tasks:
  - {name: detector, period_ms: 50, deadline_ms: 30, segments_ms: [20]}
  - {name: map, period_ms: 100, segments_ms: [45]}
  - {name: text, period_ms: 200, segments_ms: [60]}
"""


def test_the_table_says_what_each_number_of_lanes_would_do(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(BARE), "--lanes", "auto", "--slowdown", "1.1")
    assert said.code == 0
    shown = said.out[: said.out.index("lane lane1:")].rstrip()
    assert "\x1b" not in said.out
    table = [line.rstrip() for line in shown.splitlines() if line.strip(" ─")]
    assert table == [line for line in GOLDEN.splitlines() if line.strip(" ─")]


GOLDEN = """\
lanes: auto, the largest least slack is taken
 lanes    least slack  task
 ────────────────────────────────────────────────────────────────────────
 1 lane             -            the tasks of a lane need 115% of it
 2 lanes            -            map would be late by up to 15.50 ms
 3 lanes        19.3%  detector  chosen, 6 slowdowns assumed
 4 lanes        19.3%  detector  6 slowdowns assumed
Assumed slowdowns: a task takes 1.1 times as long beside one that it was never measured with \
(--slowdown).
"""


def test_a_terminal_shows_what_was_chosen_in_green_and_what_fell_short_in_red(
    aegis: Aegis, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    said = aegis("check", write(BARE), "--lanes", "auto", "--slowdown", "1.1")
    lines = {
        line: text
        for text in said.out.splitlines()
        for line in ("1 lane", "3 lanes")
        if line in re.sub("\x1b\\[[0-9;]*m", "", text)
    }
    assert "\x1b[31m" in lines["1 lane"] and "\x1b[1;32m" in lines["3 lanes"]


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cores, whatever this machine has."""
    monkeypatch.setattr(lane_paper, "pinnable_cores", lambda: frozenset({0, 1, 2}))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two networks of 30 ms; each alone on a lane would leave half of its deadline."""
    path = tmp_path / "robot.yaml"
    text = f"device: {{backend: onnxruntime, switch_ms: 0}}\nmodels: {{roots: ['{tmp_path}']}}\n"
    text += "tasks:\n"
    for index, name in enumerate(("near", "far")):
        identity_network(tmp_path / f"{name}.onnx", (1, 3, 12 + index, 16))
        text += (
            f"  - {{name: {name}, model: '{tmp_path}/{name}.onnx', period_ms: 70,\n"
            "     input: {topic: /eye, max_size: [24, 32]}, "
            f"preprocess: {{size: [{12 + index}, 16]}},\n"
            f"     output: {{topic: /{name}}}}}\n"
        )
    path.write_text(text)
    return path


class Measured:
    """The store of a robot on which these networks were measured."""

    def __init__(self, config: Path, state: Path, alone_ms: float) -> None:
        self.state = state
        spec = load_config(config)
        self._profiles = ProfileStore(state / "profiles.sqlite")
        self._networks: dict[str, tuple[ProfileKey, str, str]] = {}
        preparation = Preparation(
            spec, create_backends(spec.device), self._profiles, state / "cache"
        )

        def measure(task: object, compiled: object, key: ProfileKey, digest: str) -> None:
            self._networks[task.name] = key, digest, compiled.key  # type: ignore[attr-defined]
            self._put(key, digest, alone_ms, Condition())

        for task in spec.tasks:
            preparation.prepare(task, measure)

    def beside(self, name: str, other: str, taken_ms: float) -> None:
        key, digest, _ = self._networks[name]
        neighbour = Neighbour(self._networks[other][2], Place.BESIDE, "", other)
        self._put(key, digest, taken_ms, Condition(neighbour=neighbour))

    def _put(self, key: ProfileKey, digest: str, taken_ms: float, condition: Condition) -> None:
        samples = np.full((50, 1), round(taken_ms * MS), np.int64)
        self._profiles.add(Profile(key, digest, (Batch(samples, 1, condition),)))


def auto(aegis: Aegis, config: Path, measured: Measured, *options: str) -> dict[str, object]:
    said = aegis(
        "check", str(config), "--lanes", "auto", "--state-dir", str(measured.state),
        "--format", "json", *options,
    )  # fmt: skip
    answer: dict[str, object] = json.loads(said.out)
    assert said.code == (0 if answer["schedulable"] else 1)
    return answer


def test_measured_slowdowns_decide(aegis: Aegis, config: Path, tmp_path: Path) -> None:
    measured = Measured(config, tmp_path / "state", 20.0)
    measured.beside("near", "far", 24.0)
    measured.beside("far", "near", 24.0)
    chosen = auto(aegis, config, measured)["lanes_chosen"]
    assert chosen["chosen"] == "2 lanes"  # type: ignore[index]
    assert set(chosen["places"]) == {"lane1", "lane2"}  # type: ignore[index]
    assert [each["slowdowns_assumed"] for each in chosen["alternatives"]] == [0, 0, 0]  # type: ignore[index]
    # Beside each other they now take longer than one after the other.
    measured.beside("near", "far", 50.0)
    measured.beside("far", "near", 50.0)
    chosen = auto(aegis, config, measured)["lanes_chosen"]
    assert chosen["chosen"] == "1 lane"  # type: ignore[index]


def test_what_was_never_measured_is_assumed_and_says_so(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    measured = Measured(config, tmp_path / "state", 20.0)
    chosen = auto(aegis, config, measured)["lanes_chosen"]
    assert chosen["assumed_slowdown"] == 2.0  # type: ignore[index]
    assert chosen["chosen"] == "1 lane"  # type: ignore[index]
    chosen = auto(aegis, config, measured, "--slowdown", "1.2")["lanes_chosen"]
    assert chosen["chosen"] == "2 lanes"  # type: ignore[index]
    by_label = {each["label"]: each for each in chosen["alternatives"]}  # type: ignore[index]
    assert by_label["1 lane"]["slowdowns_assumed"] == 0
    assert by_label["2 lanes"]["slowdowns_assumed"] == 2


def test_what_is_shown_is_what_is_checked(config: Path, tmp_path: Path) -> None:
    measured = Measured(config, tmp_path / "state", 20.0)
    measured.beside("near", "far", 24.0)
    measured.beside("far", "near", 24.0)
    asked = read_task_set(config, measured.state, choose_lanes=True)
    assert asked.lanes == ("lane1", "lane2")
    assert {task.lane for task in asked.tasks} == {"lane1", "lane2"}
    assert all(task.work_ns > 24 * MS for task in asked.tasks)
    assert all(name in asked.samples_ns for name in ("near", "far"))


def test_lanes_that_tasks_name_are_left_out(aegis: Aegis, config: Path, tmp_path: Path) -> None:
    measured = Measured(config, tmp_path / "state", 20.0)
    text = config.read_text().replace("name: near,", "name: near, lane: old,")
    config.write_text(text.replace("switch_ms: 0}", "switch_ms: 0, lanes: [{name: old}]}"))
    assert (
        "The lane that near names in the file is left out"
        in auto(aegis, config, measured)["warnings"]
    )


def test_without_any_profile_it_says_how_to_measure(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    said = aegis("check", str(config), "--lanes", "auto", "--state-dir", str(tmp_path / "none"))
    assert said.code == 2 and "no WCET profile" in said.err and "near, far" in said.err


@pytest.mark.parametrize(
    ("set_", "options", "problem"),
    [
        (BARE, ("--lanes", "3"), "auto"),
        (BARE, ("--lanes", "auto", "--slowdown", "0.5"), "slowdown"),
        ("policy: cw_edf" + BARE, ("--lanes", "auto"), "EDF"),
        (BARE.replace("[60]}", "[60], high_segments_ms: [70]}"), ("--lanes", "auto"), "text"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    aegis: Aegis, write: Write, set_: str, options: tuple[str, ...], problem: str
) -> None:
    said = aegis("check", write(set_), *options)
    assert said.code == 2 and problem in said.err


def test_the_slowdown_of_the_command_is_that_of_the_library() -> None:
    assert check.__defaults__ is None and check.__kwdefaults__ is not None
    assert check.__kwdefaults__["slowdown"] == float(ASSUMED_SLOWDOWN)


def test_a_file_keeps_its_own_lanes_without_the_option(config: Path, tmp_path: Path) -> None:
    measured = Measured(config, tmp_path / "state", 20.0)
    asked = read_task_set(config, measured.state)
    assert asked.lanes == tuple(lane.name for lane in DeviceSpec().lanes)
    assert asked.lanes_chosen is None
