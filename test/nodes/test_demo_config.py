"""The demo runs on the backend that it is asked to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.nodes.demo_config import with_backend

_CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo.yaml"


def test_only_the_backend_is_another(tmp_path: Path) -> None:
    shipped = load_config(_CONFIG)
    asked = load_config(with_backend(_CONFIG, "simulated", tmp_path))
    assert asked.device.backend == "simulated" != shipped.device.backend
    assert replace(asked, device=shipped.device) == shipped
    assert replace(asked.device, backend=shipped.device.backend) == shipped.device


def test_a_lane_that_names_another_backend_does_so_no_more(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.yaml"
    mixed.write_text("device: {lanes: [{name: one, backend: onnxruntime}, {name: two}]}\n")
    asked = load_config(with_backend(mixed, "simulated", tmp_path))
    assert asked.device.backend == "simulated"
    assert [lane.backend for lane in asked.device.lanes] == ["", ""]


def test_what_is_no_configuration_is_refused_with_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("device: nothing\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml.*device"):
        with_backend(broken, "simulated", tmp_path)
