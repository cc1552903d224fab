"""The analysis commands on an orchestrator's YAML, whose budgets are measured ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import create_backends
from aegis_ros.config import load_config
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.task_set import read_task_set
from aegis_ros.wcet import Batch, Profile, ProfileStore
from test.cli.conftest import Aegis
from test.network.builders import identity_network


@pytest.fixture
def config(tmp_path: Path) -> Path:
    identity_network(tmp_path / "identity.onnx", (1, 3, 12, 16))
    path = tmp_path / "robot.yaml"
    path.write_text(
        "device: {backend: onnxruntime, switch_ms: 0.1}\n"
        f"models: {{roots: ['{tmp_path}']}}\n"
        f"tasks:\n  - {{name: eye, model: {tmp_path}/identity.onnx, period_ms: 20,\n"
        "     input: {topic: /eye, max_size: [24, 32]}, preprocess: {size: [12, 16]},\n"
        "     output: {topic: /eye/out, publish_ms: 3}}\n"
    )
    return path


def _remember(config: Path, state: Path, taken_ns: int) -> None:
    """Put a profile into the store as if the network had been measured."""
    spec = load_config(config)
    profiles = ProfileStore(state / "profiles.sqlite")
    preparation = Preparation(spec, create_backends(spec.device), profiles, state / "cache")

    def measure(_: object, compiled: object, key: object, digest: str) -> None:
        samples = np.full((50, 1), taken_ns, np.int64)
        profiles.put(Profile(key, digest, (Batch(samples, 1),)))  # type: ignore[arg-type]

    try:
        preparation.prepare(spec.tasks[0], measure)
    except Refusal as refusal:  # pragma: no cover - tells why the test cannot be run
        raise AssertionError(refusal.sentence) from refusal


def test_a_missing_profile_says_how_to_measure_it(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    said = aegis("check", str(config), "--state-dir", str(tmp_path / "state"))
    assert said.code == 2
    assert f"aegis profile {config}" in said.err
    assert "eye" in said.err and "--state-dir" in said.err


def test_budgets_and_deadlines_are_those_of_admission(config: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    _remember(config, state, 2_000_000)
    asked = read_task_set(config, state)
    assert asked.tasks[0].deadline_ns == 17_000_000  # three are kept for publishing
    assert asked.tasks[0].segments_ns[0] >= 2_000_000
    assert asked.switch_ns == 100_000


def test_measured_times_can_be_simulated(aegis: Aegis, config: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    _remember(config, state, 2_000_000)
    said = aegis(
        "simulate", str(config), "--state-dir", str(state), "--execution", "profile",
        "--format", "json", "--duration", "1s",
    )  # fmt: skip
    task = json.loads(said.out)["lanes"][0]["tasks"][0]
    assert said.code == 0
    assert task["response_max_ms"] == pytest.approx(2.1)


def test_a_file_for_a_machine_with_more_cores_is_checked_with_a_warning(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    _remember(config, state, 2_000_000)
    config.write_text(
        config.read_text().replace("onnxruntime,", "onnxruntime, lanes: [{name: m, cpu: 4095}],")
    )
    said = aegis("check", str(config), "--state-dir", str(state))
    assert said.code == 0
    assert (
        f"An orchestrator on this machine would refuse the file: {config}:1: device.lanes[0].cpu: "
        "lane m is pinned to a core that is not there" in said.out
    )
    said = aegis("check", str(config), "--state-dir", str(state), "--format", "json")
    (warning,) = json.loads(said.out)["warnings"]
    assert "4095" in warning


@pytest.mark.parametrize("command", ["check", "simulate", "build", "profile"])
def test_two_lanes_on_one_core_are_refused_on_any_machine(
    aegis: Aegis, config: Path, tmp_path: Path, command: str
) -> None:
    lanes = "lanes: [{name: a, cpu: 4095}, {name: b, cpu: 4095, backend: simulated}], "
    config.write_text(config.read_text().replace("switch_ms", lanes + "switch_ms"))
    said = aegis(command, str(config), "--state-dir", str(tmp_path / "state"))
    assert said.code == 2
    assert (
        f"{config}:1: device.lanes[1].cpu: lane b is pinned to the core of lane a "
        "(device.lanes[0]), and the proof of each counts on having it alone (got 4095); expected "
        "a core of its own. Choose another core" in said.err
    )


def test_a_declared_deadline_is_what_is_set(aegis: Aegis, config: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    _remember(config, state, 2_000_000)
    base = ("whatif", str(config), "--state-dir", str(state), "--format", "json")
    after = json.loads(aegis(*base, "--set", "eye.deadline_ms=10").out)["after"]
    assert after["lanes"][0]["tasks"][0]["deadline_ms"] == 7.0
    after = json.loads(aegis(*base, "--set", "eye.period_ms=50").out)["after"]
    assert after["lanes"][0]["tasks"][0]["deadline_ms"] == 47.0


def test_advice_is_what_can_be_declared(aegis: Aegis, config: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    _remember(config, state, 30_000_000)
    said = aegis("check", str(config), "--state-dir", str(state), "--format", "json")
    assert said.code == 1
    advice = {item["change"]: item["value"] for item in json.loads(said.out)["counterfactuals"]}
    assert "segments" not in advice
    config.write_text(
        config.read_text().replace("period_ms: 20", f"period_ms: {advice['period_ms']}")
    )
    assert aegis("check", str(config), "--state-dir", str(state)).code == 0


def test_networks_are_cut_as_they_will_be_when_they_are_registered(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    text = config.read_text().replace("onnxruntime", "simulated")
    eye = text[text.index("  - {name: eye") :]
    slow = eye.replace("eye", "slow").replace("period_ms: 20", "period_ms: 400, wcet_ms: 30")
    config.write_text(
        text[: text.index("  - {name: eye")]
        + slow
        + eye.replace("period_ms: 20", "period_ms: 20, wcet_ms: 1")
    )
    asked = read_task_set(config, tmp_path / "state")
    assert [len(task.segments_ns) for task in asked.tasks] == [2, 1]
    assert aegis("check", str(config), "--state-dir", str(tmp_path / "state")).code == 0
    config.write_text(config.read_text().replace("wcet_ms: 30", "wcet_ms: 30, segments: 1"))
    assert aegis("check", str(config), "--state-dir", str(tmp_path / "state")).code == 1


_CHAIN = (
    "device: {{backend: onnxruntime}}\n"
    "models: {{roots: ['{folder}']}}\n"
    "tasks:\n"
    "  - {{name: finder, model: '{folder}/finder.onnx', period_ms: 100, wcet_ms: 20,\n"
    "     input: {{topic: /eye, max_size: [24, 32]}}, preprocess: {{size: [12, 16]}},\n"
    "     output: {{topic: /finder, decoder: text_regions}}}}\n"
    "  - {{name: reader, model: '{folder}/reader.onnx', period_ms: 100, wcet_ms: 5,\n"
    "     deadline_ms: 150, trigger: {{task: finder}}, preprocess: {{size: [12, 16]}},\n"
    "     output: {{topic: /reader}}}}\n"
)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    identity_network(tmp_path / "finder.onnx", (1, 3, 12, 16))
    identity_network(tmp_path / "reader.onnx", ("n", 3, 12, 16))
    path = tmp_path / "chain.yaml"
    path.write_text(_CHAIN.format(folder=tmp_path))
    return path


def test_a_chain_says_where_its_times_count_from(aegis: Aegis, chain: Path) -> None:
    said = aegis("check", str(chain))
    assert said.code == 0, said.err
    assert "reader runs on results of finder" in " ".join(said.out.split())


@pytest.mark.parametrize("command", ["check", "simulate"])
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "{task: finder}",
            "{task: findr}",
            "tasks[1].trigger.task: there is no such task (got findr); expected one of finder. "
            "Did you mean 'finder'?",
        ),
        ("{task: finder}", "{task: reader}", "trigger each other in a loop (got reader → reader)"),
        (
            "wcet_ms: 20",
            "wcet_ms: 20, criticality: best_effort",
            "tasks[1].trigger.task: finder is of best effort",
        ),
        (
            "period_ms: 100, wcet_ms: 5",
            "period_ms: 120, wcet_ms: 5",
            "tasks[1].period_ms: reader is triggered more often than its period says (got 120); "
            "expected at most 100, the period of finder",
        ),
        (
            "decoder: text_regions",
            "decoder: raw",
            "tasks[1].trigger.task: results of finder hold no boxes that choose crops (got finder "
            "with decoder raw); expected a task with decoder boxes, ",
        ),
    ],
)
def test_a_chain_that_cannot_run_is_refused_at_its_key(
    aegis: Aegis, chain: Path, command: str, right: str, wrong: str, message: str
) -> None:
    chain.write_text(chain.read_text().replace(right, wrong))
    said = aegis(command, str(chain))
    assert said.code == 2 and said.out == ""
    assert message in said.err


def test_an_unknown_backend_is_named_at_its_lane(aegis: Aegis, config: Path) -> None:
    text = "lanes: [{name: a}, {name: b, backend: onnxruntim}], "
    config.write_text(config.read_text().replace("switch_ms", text + "switch_ms"))
    said = aegis("check", str(config))
    assert said.code == 2
    assert "device.lanes[1].backend: there is no such backend (got onnxruntim)" in said.err
    assert f"{config}:1: device.lanes[1].backend" in said.err


@pytest.mark.parametrize("command", ["check", "simulate", "build", "profile"])
def test_all_missing_networks_are_named_at_once_with_their_lines(
    aegis: Aegis, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(
        "tasks:\n"
        + "".join(
            f"  - name: {name}\n    model: {tmp_path}/{name}.onnx\n    period_ms: 100\n"
            f"    input: {{topic: /camera}}\n    output: {{topic: /{name}}}\n"
            for name in ("near", "far")
        )
        + f"models: {{roots: ['{tmp_path}']}}\n"
    )
    said = aegis(command, str(path))
    assert said.code
    for line, name in ((3, "near"), (8, "far")):
        place = f"{path}:{line}: tasks[{line // 5}].model ({name}): there is no such file"
        assert place in said.err + said.out


def test_a_configuration_is_checked_with_its_generators(
    aegis: Aegis, config: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gguf", reason="the extra `llm` is not installed")
    from aegis_ros.planning.generator_preparation import GeneratorPreparation
    from test.network.generator.models import write_gguf

    write_gguf(tmp_path / "tiny.gguf")
    config.write_text(
        f"{config.read_text()}generators:\n  - {{name: llm, model: {tmp_path}/tiny.gguf, "
        "max_chunk: 2, max_len: 64}\n"
    )
    state = tmp_path / "state"
    _remember(config, state, 2_000_000)
    said = aegis("check", str(config), "--state-dir", str(state))
    assert said.code == 2
    assert "the steps are not measured of: llm" in said.err

    spec = load_config(config)
    profiles = ProfileStore(state / "profiles.sqlite")
    preparation = GeneratorPreparation(
        spec, create_backends(spec.device), profiles, state / "cache"
    )

    def measure(_: object, model: object, keys: dict[object, object]) -> None:
        for parts, taken_ns, key in zip((1, 2), (9_000_000, 3_000_000), keys.values(), strict=True):
            batch = Batch(np.full((50, parts), taken_ns, np.int64), 1)
            profiles.put(Profile(key, "", (batch,)))  # type: ignore[arg-type]

    preparation.prepare(spec.generators[0], measure)  # type: ignore[arg-type]
    said = aegis("check", str(config), "--state-dir", str(state), "--format", "json")
    assert said.code == 0, said.err
    (found,) = json.loads(said.out)["generators"]
    assert found["admitted"]
    assert [each["name"] for each in found["buckets"]] == ["prefill 2", "decode 1"]
    assert found["buckets"][0]["longest_ms"] > 9.0
    memory = json.loads(said.out)["memory"]
    holders = {each["task"]: each for each in memory["holders"]}
    assert set(holders) == {"eye", "llm"} and holders["llm"]["weights_mib"] > 0
    assert holders["llm"]["state_mib"] == found["kv_mib"]
    assert memory["held_mib"] == pytest.approx(
        sum(value for each in holders.values() for key, value in each.items() if key != "task")
    )
    small = f"onnxruntime, arena_mib: {memory['held_mib'] - 0.001},"
    config.write_text(config.read_text().replace("onnxruntime,", small))
    said = aegis("check", str(config), "--state-dir", str(state), "--format", "json")
    (refused,) = json.loads(said.out)["generators"]
    assert said.code == 1 and not refused["admitted"] and refused["rule"] == "arena"
    assert [each["change"] for each in refused["counterfactuals"]] == ["arena_mib", "drop"]
    assert [each["task"] for each in json.loads(said.out)["memory"]["holders"]] == ["eye"]
