"""`aegis buckets`: what it measures, `aegis check` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from test.cli.conftest import Aegis, Said
from test.cli.sets import BLOCKED

models = pytest.importorskip(
    "test.network.generator.models", reason="the extra `llm` is not installed"
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.write_gguf(tmp_path_factory.mktemp("model") / "model.gguf", "Q4_1"))


def measured(aegis: Aegis, model: str, state: str, *arguments: str) -> Said:
    return aegis("buckets", model, "--runs", "3", "--parts", "2", "--state-dir", state, *arguments)


def test_what_is_measured_is_an_entry_that_check_reads(
    aegis: Aegis, model: str, state: str, tmp_path: Path
) -> None:
    said = measured(aegis, model, state, "--slots", "2")
    assert said.code == 0
    (entry,) = yaml.safe_load(said.out)["generators"]
    assert (entry["name"], entry["slots"]) == ("generator", 2)
    assert entry["kv_bytes_per_token"] > 0 and entry["max_len"] > 2
    shapes = [("prefill" if "prefill" in each else "decode") for each in entry["buckets"]]
    assert shapes.count("decode") == 2 and shapes.count("prefill") >= 1
    assert all(each["precision"] == "quantised" for each in entry["buckets"])
    for each in entry["buckets"]:
        # Two groups of layers, and what turns the last layer into logits.
        assert 2 <= len(each["parts_ms"]) <= 3 and all(part > 0 for part in each["parts_ms"])
    path = tmp_path / "set.yaml"
    slow = BLOCKED.replace("period_ms: 10,", "period_ms: 100000,").replace("100,", "100000,")
    path.write_text(f"{slow}\n{said.out}")
    found = json.loads(aegis("check", str(path), "--format", "json").out)["generators"]
    assert [each["name"] for each in found] == ["generator"] and found[0]["admitted"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--slots", "3"), "--slots: not a size of batch (got 3)"),
        (("--runs", "0"), "--runs: out of range"),
        (("--precision", "int2"), "--precision: unknown precision"),
        (("--context", "2"), "context: too short for a chunk"),
    ],
)
def test_what_cannot_be_measured_is_named(
    aegis: Aegis, model: str, state: str, arguments: tuple[str, ...], message: str
) -> None:
    said = measured(aegis, model, state, *arguments)
    assert said.code == 2 and message in said.err, said.err
    assert said.out == ""
