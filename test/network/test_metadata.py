"""What a network's file says of itself reaches the node within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import pytest

from aegis_ros.decoders.labels import class_names
from aegis_ros.network import Feed, ModelFile, describe, prepare
from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.spec import PreprocessSpec
from test.network.builders import identity_network


@pytest.mark.parametrize(
    "text",
    ["{0: 'person', 1: 'car'}", "['person', 'car']", "('person', 'car')", '["person", "car"]'],
)
def test_class_names_are_read_as_exporters_write_them(text: str) -> None:
    metadata = bounded_metadata([("names", text), ("stride", "32")])
    assert metadata == {"names": '["person", "car"]', "stride": "32"}
    assert class_names("", metadata) == ("person", "car")


@pytest.mark.parametrize(
    "text",
    ["", "person", "{0: ", "{[]: 1}", "(" * 5000, "5", "-" * 9000 + "1", f"{list(range(40_000))}"],
)
def test_what_is_no_list_of_names_is_none(text: str) -> None:
    assert bounded_metadata([("names", text)]) == {"names": "[]"}


def test_megabytes_of_names_are_left_out() -> None:
    text = "{" + ", ".join(f"{index}: 'x'" for index in range(1_000_000)) + "}"
    assert bounded_metadata([("names", text)]) == {"names": "[]"}


def test_a_network_of_many_classes_keeps_its_names() -> None:
    names = [f"class number {index}" for index in range(21_841)]
    assert json.loads(bounded_metadata([("names", str(names))])["names"]) == names


def test_what_is_handed_on_is_bounded() -> None:
    entries = [("a", "x" * 300_000), *((str(index), "y" * 200_000) for index in range(20))]
    metadata = bounded_metadata(entries)
    assert list(metadata) == ["0", "1", "2", "3", "4"]
    many = bounded_metadata((str(index), "z") for index in range(100_000))
    assert len(many) == 256
    assert bounded_metadata([("k" * 300, "")]) == {}


def test_class_names_are_cut_and_a_text_too_long_for_them_is_not_read() -> None:
    (name,) = json.loads(bounded_metadata([("names", str(["x" * 500]))])["names"])
    assert name == "x" * 128
    assert bounded_metadata([("names", str(["x" * 2**20]))]) == {"names": "[]"}


def _described(path: Path) -> Mapping[str, str]:
    with ModelFile(path) as file:
        return describe(file).metadata


def _prepared(path: Path) -> Mapping[str, str]:
    feeds = [Feed(PreprocessSpec(size=(12, 16)), (12, 16, 3))]
    return prepare(path, feeds, cache_dir=path.parent / "cache").metadata


@pytest.mark.parametrize("metadata_of", [_described, _prepared])
def test_no_child_hands_on_metadata_beyond_its_bounds(
    metadata_of: Callable[[Path], Mapping[str, str]], tmp_path: Path
) -> None:
    path = identity_network(tmp_path / "net.onnx")
    model = onnx.load_model(str(path))
    entries = {"stride": "32", "names": "{0: 'person'}", "large": "x" * 300_000}
    onnx.helper.set_model_props(model, entries | {str(each): "y" * 10 for each in range(1000)})
    onnx.save_model(model, str(path))
    metadata = metadata_of(path)
    assert len(metadata) == 256
    assert metadata["stride"] == "32" and "large" not in metadata
    assert metadata["names"] == '["person"]'
