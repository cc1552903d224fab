"""Compiled code is loaded only where the user allows it and a lane's backend takes it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.orchestrator import ResultCode
from aegis_ros.rationale import Rule
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import House

DESCRIPTION = {
    "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 3, 8, 8]}],
    "outputs": [{"name": "out", "dtype": "float32", "shape": [1, 2]}],
}
CODE = b"machine code"


@pytest.fixture
def takes_code(monkeypatch: pytest.MonkeyPatch) -> None:
    able = replace(SimulatedBackend.capabilities, code=(".so",))
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    (tmp_path / "net.so").write_bytes(CODE)
    (tmp_path / "net.so.json").write_text(json.dumps(DESCRIPTION))
    return made


def allow(house: House, *, code: bool = True, pinned: bool = False) -> None:
    models = replace(house.spec.models, allow_code=code, require_sha256=pinned)
    house.spec = replace(house.spec, models=models)
    house.restart()


def compiled(house: House, **changes: object) -> TaskSpec:
    return house.task("compiled", model=str(house.folder / "net.so"), **changes)


@pytest.mark.usefixtures("takes_code")
def test_code_is_refused_until_it_is_allowed(house: House) -> None:
    house.start()
    answer = house.orchestrator.register(compiled(house))
    assert answer.result is ResultCode.MODEL_REFUSED
    assert answer.rationale.rule is Rule.MODEL_FILE
    assert "models: {allow_code: true}" in answer.rationale.sentence
    assert "model: compiled code is not taken" in answer.rationale.sentence  # a key of the task
    allow(house)
    assert house.orchestrator.register(compiled(house)).accepted


@pytest.mark.usefixtures("takes_code")
def test_a_task_of_the_journal_is_held_to_what_is_allowed_now(house: House) -> None:
    house.start()
    allow(house)
    assert house.orchestrator.register(compiled(house)).accepted
    allow(house)
    assert house.names() == ["compiled"]
    allow(house, code=False)
    assert house.names() == []


@pytest.mark.usefixtures("takes_code")
def test_the_digest_of_code_is_held_to_as_that_of_any_network(house: House) -> None:
    house.start()
    allow(house, pinned=True)
    assert house.orchestrator.register(compiled(house)).rationale.rule is Rule.MODEL_DIGEST
    wrong = house.orchestrator.register(compiled(house, sha256="0" * 64))
    assert wrong.rationale.rule is Rule.MODEL_DIGEST
    digest = hashlib.sha256(CODE).hexdigest()
    assert house.orchestrator.register(compiled(house, sha256=digest)).accepted


def test_code_that_no_lane_takes_is_refused_with_a_backend_that_does(house: House) -> None:
    house.start()
    allow(house)
    answer = house.orchestrator.register(compiled(house))
    assert answer.rationale.rule is Rule.MODEL_FILE
    assert "backend: tvm" in answer.rationale.sentence


@pytest.mark.usefixtures("takes_code")
def test_code_under_the_name_of_an_onnx_file_is_no_network(house: House) -> None:
    house.start()
    allow(house)
    (house.folder / "net.so").rename(house.folder / "other.onnx")
    answer = house.orchestrator.register(
        house.task("compiled", model=str(house.folder / "other.onnx"))
    )
    assert answer.rationale.rule is Rule.MODEL_VALID
