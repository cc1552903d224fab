"""Weights that are to take turns on a backend that keeps them all in memory."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.rationale import Rule
from test.orchestrator.house import House


def test_a_number_of_segments_is_refused_and_auto_keeps_all(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    answer = house.orchestrator.register(house.task(resident=2))
    assert answer.rationale.rule is Rule.SCHEMA
    assert "backend simulated keeps all weights in memory" in answer.rationale.sentence
    assert "a lane of backend onnxruntime" in answer.rationale.sentence
    assert house.orchestrator.register(house.task(resident="auto")).accepted
