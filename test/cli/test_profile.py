"""`aegis profile`, from the file on disk to the budget that `aegis check` reads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.cli import profile as module
from aegis_ros.cli.check import run as check
from aegis_ros.cli.profile import run
from aegis_ros.cli.profile_inputs import image_frames, model_spec
from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError, EngineError
from aegis_ros.network.heavy import arithmetic_heavy, memory_heavy
from aegis_ros.planning import device_load
from aegis_ros.wcet import Stress
from test.network.builders import detector, identity_network


@pytest.fixture
def config(tmp_path: Path) -> Path:
    identity_network(tmp_path / "identity.onnx", (1, 3, 12, 16))
    path = tmp_path / "robot.yaml"
    path.write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], realtime_priority: 0}\n"
        f"models: {{roots: ['{tmp_path}']}}\n"
        "tasks:\n"
        + "".join(
            f"  - {{name: {name}, model: {tmp_path}/{model}.onnx, period_ms: 1000,\n"
            f"     input: {{topic: /{name}, max_size: [24, 32]}}, preprocess: {{size: [12, 16]}},\n"
            f"     output: {{topic: /{name}/out}}}}\n"
            for name, model in (("good", "identity"), ("gone", "absent"))
        )
    )
    return path


Captured = pytest.CaptureFixture[str]


def measured(capsys: Captured, path: Path, state: Path, runs: int, **more: Any) -> dict[str, Any]:
    """Measure the one task that can be, and return the answer."""
    names = ["good"] if path.suffix == ".yaml" else []
    assert run(path, names, runs, state, form="json", **{"cold_runs": 0, **more}) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_with_lanes_of_two_classes_each_has_a_budget_that_check_reads(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    state = tmp_path / "state"
    two = "lanes: [{name: main}, {name: spare, backend: simulated}]"
    config.write_text(config.read_text().replace("lanes: [{name: main}]", two))
    assert run(config, ["good"], 20, state, form="json", cold_runs=0, pair_runs=10) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [each["task"] for each in answers] == ["good on main", "good on spare"]
    assert [each["backend"] for each in answers] == ["onnxruntime", "simulated"]
    assert all(each["measured"] for each in answers)
    only = config.read_text().split("  - {name: gone")[0]
    config.write_text(only)
    assert check(config, form="json", state_dir=state) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [len(lane["tasks"]) for lane in answer["lanes"]] == [1, 0]


def test_what_was_measured_is_what_check_reads(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    state = tmp_path / "state"
    answer = measured(capsys, config, state, 20)
    assert (answer["task"], answer["measured"], answer["runs"]) == ("good", True, 20)
    assert 0.0 < answer["p50_ms"] <= answer["max_ms"] < answer["wcet_ms"]
    text = config.read_text()
    config.write_text(text[: text.index("  - {name: gone")])
    assert check(config, "json", state, None) == 0
    (lane,) = json.loads(capsys.readouterr().out)["lanes"]
    assert answer["wcet_ms"] / 1000 <= lane["utilization"] < 0.5


def test_a_network_that_is_refused_does_not_keep_the_others_out(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run(config, [], 20, tmp_path / "state", form="text") == 1
    printed = capsys.readouterr().out
    assert "good was measured" in printed
    assert "absent.onnx" in printed


def test_an_unknown_task_is_named_beside_those_there_are(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nobody.*one of good, gone"):
        run(config, ["nobody"], 20, tmp_path / "state", form="text")


def test_runs_that_are_there_are_not_measured_again(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    state = tmp_path / "state"
    first = measured(capsys, config, state, 20)
    assert measured(capsys, config, state, 20)["measured_at"] == first["measured_at"]
    more = measured(capsys, config, state, 50)
    assert more["runs"] == 50
    assert more["max_ms"] >= first["max_ms"]
    assert measured(capsys, config, state, 10, fresh=True)["runs"] == 10


def test_cold_caches_and_loads_are_conditions_of_their_own(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    answer = measured(capsys, config, tmp_path / "state", 120, cold_runs=5, stress="compute")
    kinds = [(item["stress"], item["cache"], item["runs"]) for item in answer["conditions"]]
    assert kinds == [
        ("none", "warm", 120),
        ("none", "cold", 5),
        ("compute", "warm", 120),
        ("compute", "cold", 5),
    ]
    assert answer["wcet_ms"] == max(item["wcet_ms"] for item in answer["conditions"])
    assert answer["machine"]["kernel"] == os.uname().release
    (warm,) = answer["conditions"][0]["segments"]
    assert isinstance(warm["iid"], bool)


@pytest.fixture
def device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let lanes of the simulated backend share a device; return the loads of the host."""
    meeting = replace(SimulatedBackend.capabilities, on_cores=False, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", meeting)
    small = {
        Stress.MEMORY: partial(memory_heavy, rows=64, columns=16, passes=2),
        Stress.COMPUTE: partial(arithmetic_heavy, rows=64, width=16, times=2),
    }
    monkeypatch.setattr(device_load, "_WRITERS", small)
    loaded: list[str] = []

    @contextmanager
    def stressed(stress: Stress, cores: Sequence[int]) -> Iterator[None]:
        if stress is not Stress.NONE:
            loaded.append(stress)
        yield

    monkeypatch.setattr(module, "stressed", stressed)
    return loaded


def test_a_device_of_its_own_is_loaded_from_its_other_lanes_and_the_host_is_not(
    config: Path, tmp_path: Path, capsys: Captured, device_of_its_own: list[str]
) -> None:
    lanes = "lanes: [{name: a}, {name: b}]"
    text = config.read_text().replace("lanes: [{name: main}]", lanes)
    config.write_text(text.replace("backend: onnxruntime", "backend: simulated"))
    state = tmp_path / "state"
    answer = measured(capsys, config, state, 20, cold_runs=5, stress="both")
    kinds = [
        (item["stress"], item["cache"], item.get("neighbour"), item.get("lane"), item["runs"])
        for item in answer["conditions"]
    ]
    assert kinds == [
        ("none", "warm", None, None, 20),
        ("none", "cold", None, None, 5),
        ("memory", "warm", "memory load", "more urgent lane", 20),
        ("memory", "warm", "memory load", "less urgent lane", 20),
        ("compute", "warm", "compute load", "more urgent lane", 20),
        ("compute", "warm", "compute load", "less urgent lane", 20),
    ]
    assert device_of_its_own == []
    again = measured(capsys, config, state, 20, cold_runs=5, stress="both")
    assert again["measured_at"] == answer["measured_at"]


def test_one_lane_of_a_device_meets_nobody_there_and_the_host_is_loaded(
    config: Path, tmp_path: Path, capsys: Captured, device_of_its_own: list[str]
) -> None:
    config.write_text(config.read_text().replace("backend: onnxruntime", "backend: simulated"))
    answer = measured(capsys, config, tmp_path / "state", 20, stress="memory")
    kinds = [(item["stress"], item.get("neighbour")) for item in answer["conditions"]]
    assert kinds == [("none", None), ("memory", None)]
    assert set(device_of_its_own) == {Stress.MEMORY}


def test_the_host_is_not_loaded_for_one_lane_where_several_may_be_chosen(
    config: Path, tmp_path: Path, capsys: Captured, device_of_its_own: list[str]
) -> None:
    text = config.read_text().replace("lanes: [{name: main}]", "lanes: auto")
    config.write_text(text.replace("backend: onnxruntime", "backend: simulated"))
    state = tmp_path / "state"
    assert run(config, ["good"], 20, state, form="json", cold_runs=0, stress="memory") == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 4, "one, two, three and four lanes"
    kinds = {
        (item["stress"], item.get("neighbour"))
        for answer in answers
        for item in answer["conditions"]
    }
    assert kinds == {("none", None), ("memory", "memory load")}
    assert device_of_its_own == []


def test_a_device_that_cannot_be_loaded_says_so(
    config: Path, tmp_path: Path, device_of_its_own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = "lanes: [{name: a}, {name: b}]"
    text = config.read_text().replace("lanes: [{name: main}]", lanes)
    config.write_text(text.replace("backend: onnxruntime", "backend: simulated"))
    monkeypatch.setitem(
        device_load._WRITERS,  # type: ignore[arg-type]
        Stress.MEMORY,
        lambda path: path.write_bytes(b"no network"),
    )
    with pytest.raises(ConfigError, match=r"--stress.*cannot be loaded.*--stress none"):
        run(config, ["good"], 20, tmp_path / "state", form="json", stress="memory")


def test_each_network_is_measured_with_each_other_one(tmp_path: Path, capsys: Captured) -> None:
    networks = [identity_network(tmp_path / f"{size}.onnx", (1, 3, size, 16)) for size in (8, 12)]
    path = tmp_path / "robot.yaml"
    path.write_text(
        "device: {backend: onnxruntime, lanes: [{name: a}, {name: b}], realtime_priority: 0}\n"
        f"models: {{roots: ['{tmp_path}']}}\n"
        "tasks:\n"
        + "".join(
            f"  - {{name: {name}, model: {model}, period_ms: 1000, {more}\n"
            f"     input: {{topic: /{name}, max_size: [24, 32]}},\n"
            f"     preprocess: {{size: [{size}, 16]}}, output: {{topic: /{name}/out}}}}\n"
            for name, model, size, more in (
                ("free", networks[0], 8, ""),
                ("also", networks[1], 12, ""),
                ("bound", networks[1], 12, "lane: b,"),
            )
        )
    )

    def ask(runs: int) -> dict[str, Any]:
        assert run(path, [], 20, tmp_path / "state", form="json", cold_runs=0, pair_runs=runs) == 0
        return {item["task"]: item for item in json.loads(capsys.readouterr().out)}

    def met(answer: dict[str, Any]) -> set[tuple[str, str, str]]:
        return {
            (item["place"], item["neighbour"], item["lane"])
            for item in answer["conditions"]
            if "place" in item
        }

    found = ask(10)
    # One that is bound to another lane is never right before; two tasks of one network are one.
    assert met(found["free"]) == {("after", "also", ""), ("beside", "also", "")}
    assert met(found["also"]) == {
        ("after", "free", ""),
        ("beside", "free", ""),  # cores are alike
        ("beside", "bound", ""),
    }
    assert {item["runs"] for item in found["free"]["conditions"]} == {20, 10}
    again = ask(10)
    assert again["free"]["measured_at"] == found["free"]["measured_at"]
    assert run(path, [], 20, tmp_path / "state", form="text", cold_runs=0, pair_runs=10) == 0
    printed = capsys.readouterr().out
    assert "Right after another network" in printed and "Beside another one" in printed
    # What is checked on paper needs no further measurement.
    assert check(path, "json", tmp_path / "state", None) == 0


def test_check_says_which_pair_was_never_measured(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    text = config.read_text().split("  - {name: gone")[0]
    text = text.replace("[{name: main}]", "[{name: a}, {name: b}]")
    task = text.split("tasks:\n")[1]
    config.write_text(
        text.replace("name: good,", "name: good, lane: a,")
        + task.replace("name: good,", "name: other, lane: b,").replace("/good", "/other")
    )
    state = tmp_path / "state"
    assert run(config, [], 20, state, form="json", cold_runs=0, pair_runs=0) == 0
    with pytest.raises(ConfigError, match=r"never measured beside other .*aegis profile") as error:
        check(config, "json", state, None)
    assert "other on lane b was never measured beside good" in str(error.value)
    assert run(config, [], 20, state, form="json", cold_runs=0, pair_runs=10) == 0
    assert check(config, "json", state, None) == 0


def test_what_is_measured_before_an_interruption_is_kept_and_gone_on_from(
    config: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._Campaign._reporter

    def reporter(self: Any, row: Any, before: int) -> Any:
        report = real(self, row, before)

        def interrupt(done: int, worst_ns: int) -> bool:
            stop = signal.getsignal(signal.SIGINT)
            if done and callable(stop) and not self.stopped:
                stop(signal.SIGINT, None)
                stop(signal.SIGINT, None)  # as `timeout` does: to us and to our group
            return bool(report(done, worst_ns))

        return interrupt

    state = tmp_path / "state"
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(module._Campaign, "_reporter", reporter)
        assert run(config, ["good"], 1_000_000, state, form="json") == 130
    kept, more = capsys.readouterr()
    (answer,) = json.loads(kept)
    assert "runs measured so far are kept" in more
    assert 0 < answer["runs"] < 1_000_000
    assert measured(capsys, config, state, answer["runs"] + 7)["runs"] == answer["runs"] + 7
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_engine_that_ends_with_the_command_is_no_fault(
    config: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def configure(self: Any, **_: Any) -> None:
        stop = signal.getsignal(signal.SIGTERM)
        assert callable(stop)
        stop(signal.SIGTERM, None)  # as a system that goes down does: to us and to our children
        raise EngineError("the engine did not start (exit code -15)")

    monkeypatch.setattr(module.Orchestrator, "configure", configure)
    assert run(config, ["good"], 20, tmp_path / "state", form="json") == 130
    answer, more = capsys.readouterr()
    assert "interrupted before" in json.loads(answer)[0]["sentence"]
    assert "runs measured so far are kept" in more


def test_a_bare_network_is_measured_without_a_configuration(
    tmp_path: Path, capsys: Captured
) -> None:
    path = identity_network(tmp_path / "My-Net.onnx", (1, 3, 12, 16))
    answer = measured(capsys, path, tmp_path / "state", 20)
    assert (answer["task"], answer["runs"]) == ("my_net", 20)


def test_a_bare_network_of_open_size_asks_for_one(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "net.onnx", (1, 3, "h", "w"))
    with pytest.raises(ConfigError, match=r"--size 480x640"):
        model_spec(path)
    (task,) = model_spec(path, "48x64").tasks
    assert task.preprocess.size == task.input.max_size == (48, 64)
    with pytest.raises(ConfigError, match="not a size"):
        model_spec(path, "48")


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x00nonsense")
    with pytest.raises(ConfigError, match=r"net\.onnx.*cannot be read as a network"):
        model_spec(path)


def test_a_network_that_takes_no_image_is_distinguished_from_one_that_does(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "net.onnx", (1, 5))
    with pytest.raises(ConfigError, match=r"input \[1, 5\]"):
        model_spec(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "street"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((9, 9, 3), (10, 20, index), np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_images_become_frames_of_the_largest_size(config: Path, images: Path) -> None:
    task = load_config(config).tasks[0]
    frames = image_frames(images, task, (24, 32, 3), "uint8")
    assert frames.shape == (3, 24, 32, 3)
    assert frames.dtype == np.uint8
    assert frames[:, 0, 0].tolist() == [[index, 20, 10] for index in range(3)]  # RGB


def test_a_network_is_fed_the_images_of_a_folder(
    config: Path, tmp_path: Path, images: Path, capsys: Captured
) -> None:
    answer = measured(capsys, config, tmp_path / "state", 20, inputs=images)
    assert [item["inputs"] for item in answer["conditions"]] == ["3 images of street"]


@pytest.mark.parametrize("padded", [False, True])
def test_images_are_measured_on_with_how_much_is_found_and_not_where_that_is_nothing(
    config: Path, tmp_path: Path, capsys: Captured, padded: bool
) -> None:
    detector(tmp_path / "identity.onnx", (1, 3, 12, 16), most=10, padded=padded)
    config.write_text(config.read_text().replace("max_size: [24, 32]", "max_size: [12, 16]"))
    for name, objects in (("empty", (0, 0)), ("street", (0, 3))):
        (tmp_path / name).mkdir()
        for index, count in enumerate(objects):
            frame = np.zeros((12, 16, 3), np.uint8)
            frame.reshape(-1, 3)[: 7 * count : 7] = 255
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), frame)
    state = tmp_path / "state"
    answer = measured(capsys, config, state, 20, inputs=tmp_path / "street")
    (fed,) = {each["inputs"] for each in answer["conditions"]}
    assert fed == "2 images of street in which it finds up to 3"
    more = {"cold_runs": 0, "inputs": tmp_path / "empty"}
    assert run(config, ["good"], 20, state, form="json", **more) == 1
    (answer,) = json.loads(capsys.readouterr().out)
    assert not answer["measured"]
    assert "the network finds nothing in these images" in answer["sentence"]


def test_a_folder_without_images_is_named(config: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    task = load_config(config).tasks[0]
    with pytest.raises(ConfigError, match="no image in the folder"):
        image_frames(tmp_path / "empty", task, (24, 32, 3), "uint8")
    with pytest.raises(ConfigError, match="cannot be read"):
        image_frames(tmp_path / "absent", task, (24, 32, 3), "uint8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stress": "all"}, r"--stress.*none, memory, compute, both"),
        ({"report": Path("report.txt")}, r"--report.*\.html or \.png"),
        ({"report": Path("no/such/folder/report.png")}, "folder that exists"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    config: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        run(config, ["good"], 20, tmp_path / "state", form="text", **options)
    assert not (tmp_path / "state").exists()


def test_where_lanes_are_to_be_chosen_all_is_measured_that_the_choice_rests_on(
    config: Path, tmp_path: Path, capsys: Captured
) -> None:
    state = tmp_path / "state"
    text = config.read_text().replace("lanes: [{name: main}]", "lanes: auto")
    good, gone = text.split("  - {name: gone")
    identity_network(tmp_path / "wide.onnx", (1, 3, 12, 20))
    wide = gone.replace("absent", "wide").replace("size: [12, 16]", "size: [12, 20]")
    config.write_text(f"{good}  - {{name: wide{wide}")
    assert run(config, [], 20, state, form="json", cold_runs=0, pair_runs=10) == 0
    assert {each["task"] for each in json.loads(capsys.readouterr().out)} == {"good", "wide"}
    assert check(config, form="json", state_dir=state) == 0
    chosen = json.loads(capsys.readouterr().out)["lanes_chosen"]
    assert all(each["slowdowns_assumed"] == 0 for each in chosen["alternatives"])
    assert all(not each["falls_short"] for each in chosen["alternatives"])
