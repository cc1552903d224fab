"""`aegis check` shows memory beside time: the bytes of admission, by holder, and who lacks room."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from aegis_ros.cli.memory_table import memory_as_json, print_memory
from aegis_ros.config import load_config
from aegis_ros.planning.answer import judge
from aegis_ros.planning.task_set import read_task_set
from test.cli.conftest import Aegis
from test.orchestrator.house import House
from test.planning.streams import let_it_stream

MIB = 1024 * 1024
_TASK = (
    "  - {{name: {name}, model: {folder}/net.onnx, period_ms: 100, wcet_ms: 10,\n"
    "     input: {{topic: /eye, max_size: [480, 640]}}, preprocess: {{size: [8, 8]}},\n"
    "     output: {{topic: /{name}/out}}}}\n"
)


def configured(folder: Path, *names: str, arena_mib: float = 64) -> Path:
    """A file whose tasks share a camera; what they take is their frames above all."""
    path = folder / "robot.yaml"
    path.write_text(
        f"device: {{backend: simulated, arena_mib: {arena_mib}}}\nmodels: {{roots: ['{folder}']}}\n"
        "tasks:\n" + "".join(_TASK.format(name=name, folder=folder) for name in names)
    )
    return path


def test_what_is_shown_is_what_an_orchestrator_of_the_file_takes(tmp_path: Path) -> None:
    house = House(tmp_path)
    path = configured(tmp_path, "left", "right")
    house.spec = load_config(path)
    house.orchestrator = house._open()
    house.start()
    answer = judge(read_task_set(path, tmp_path / "paper"))
    assert answer.admitted and answer.memory is not None
    assert answer.memory.plan.nbytes == house.orchestrator.status().arena_used_bytes
    (frames,) = answer.memory.plan.shared
    (channel,) = house.engine.channels.values()
    assert frames.holders == ("left", "right")
    assert frames.nbytes == 480 * 640 * 3 * channel.spec.slots > 8 * MIB


def test_a_task_without_room_is_told_by_whom_and_what_would_admit_it(
    aegis: Aegis, tmp_path: Path
) -> None:
    House(tmp_path)  # writes the network
    state = ("--state-dir", str(tmp_path / "state"))
    whole = judge(read_task_set(configured(tmp_path, "left", "right"), tmp_path / "state")).memory
    assert whole is not None and whole.fits and whole.room_bytes == 64 * MIB - whole.plan.nbytes
    path = configured(tmp_path, "left", "right", arena_mib=(whole.plan.nbytes - 1) / MIB)
    said = aegis("check", str(path), *state)
    assert said.code == 1 and "memory: does NOT fit" in said.out
    assert "right needs" in said.out and "or without left" in said.out
    memory = json.loads(aegis("check", str(path), *state, "--format", "json").out)["memory"]
    assert [each["task"] for each in memory["refused"]] == ["right"] and not memory["fits"]
    assert [each["task"] for each in memory["holders"]] == ["left"]
    changes = {each["change"]: each for each in memory["refused"][0]["counterfactuals"]}
    assert (changes["drop"]["task"], list(changes)) == ("left", ["arena_mib", "drop"])
    without = aegis("whatif", str(path), *state, "--drop", "left")
    assert without.code == 0 and "memory: fits" in without.out
    larger = configured(tmp_path, "left", "right", arena_mib=changes["arena_mib"]["value"])
    assert aegis("check", str(larger), *state).code == 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_set_of_written_budgets_has_no_memory_to_show(
    aegis: Aegis, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "set.yaml"
    path.write_text("tasks: [{name: a, period_ms: 10, segments_ms: [1]}]\n")
    said = aegis("check", str(path), "--format", form)
    assert said.code == 0
    assert json.loads(said.out)["memory"] is None if form == "json" else "memory" not in said.out


def test_weights_that_take_turns_are_told_with_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_stream(monkeypatch, most_parts=4)
    House(tmp_path)  # writes the network
    path = configured(tmp_path, "eye")
    path.write_text(path.read_text().replace("wcet_ms: 10,", "wcet_ms: 90, resident: 2,"))
    memory = judge(read_task_set(path, tmp_path / "state")).memory
    told = memory_as_json(memory)
    assert told is not None
    (turns,) = told["streamed"]
    assert (turns["task"], turns["segments"], turns["resident"]) == ("eye", 4, 2)
    assert (turns["weights_mib"], turns["all_weights_mib"], turns["load_ms"]) == (20, 40, 60)
    console = Console(record=True, width=300)
    print_memory(console, memory)
    assert f"eye: {turns['sentence']}" in console.export_text()
