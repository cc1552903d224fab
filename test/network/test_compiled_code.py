"""Networks that somebody else compiled: described by a file beside them, and not run here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, PreparedNetwork, prepare
from aegis_ros.network.compiled_code import code_suffix, described_code
from aegis_ros.rationale import Rule
from aegis_ros.spec import Layout, PreprocessSpec

IMAGE = {"name": "image", "dtype": "float32", "shape": [1, 3, 4, 6]}
SCORES = {"name": "scores", "dtype": "float32", "shape": [1, 2]}
CODE = b"machine code, for all that anybody here knows"


def described(folder: Path, text: str | None = None, **keys: object) -> Path:
    path = folder / "network.so"
    path.write_bytes(CODE)
    whole = {"inputs": [IMAGE], "outputs": [SCORES]} | keys
    (folder / "network.so.json").write_text(json.dumps(whole) if text is None else text)
    return path


def prepared(path: Path, *feeds: Feed) -> PreparedNetwork:
    code = described_code(str(path), ".so", [str(path.parent)])
    return prepare(path, feeds, cache_dir=path.parent / "cache", code=code)


def test_it_is_prepared_as_what_feeds_it_and_itself(tmp_path: Path) -> None:
    path = described(tmp_path, labels=["door", "it's a wall"])
    made = prepared(path, Feed(PreprocessSpec(size=(4, 6), scale=0.5), (8, 8, 3)))
    assert made.code is not None
    assert made.code.path.read_bytes() == CODE and made.code.digest == made.digest
    assert (made.code.suffix, made.code.function) == (".so", "main")
    assert [(item.name, item.shape) for item in made.outputs] == [("scores", (1, 2))]
    assert json.loads(made.metadata["names"]) == ["door", "it's a wall"]
    assert made.weight_bytes >= len(CODE) and made.activation_bytes >= 4 * (72 + 2)
    session = onnxruntime.InferenceSession(str(made.path))
    (fed,) = session.run(None, {made.frame_input.name: np.full((4, 6, 3), 8, np.uint8)})
    assert fed.shape == (1, 3, 4, 6) and np.all(fed == 4.0)
    again = prepared(path, Feed(PreprocessSpec(size=(4, 6), scale=0.5), (8, 8, 3)))
    assert again == made


def test_it_takes_several_inputs_in_the_order_that_it_states(tmp_path: Path) -> None:
    one = {"name": "fed_0", "dtype": "float32", "shape": [2]}
    other = {"name": "b", "dtype": "int64", "shape": [3]}
    path = described(tmp_path, inputs=[one, other])
    tensor = PreprocessSpec(layout=Layout.TENSOR)
    whole = PreprocessSpec(layout=Layout.TENSOR, dtype="int64")
    made = prepared(path, Feed(whole, (3,), "b"), Feed(tensor, (2,), "fed_0"))
    session = onnxruntime.InferenceSession(str(made.path))
    assert [item.shape for item in session.get_outputs()] == [[2], [3]]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (PreprocessSpec(size=(8, 6)), r"4 x 6|\[4, 6\]|4x6"),
        (PreprocessSpec(size=(4, 6), dtype="float16"), r"preprocess\.dtype"),
        (PreprocessSpec(size=(4, 6), layout=Layout.NHWC), "takes images of 3 x 4"),
    ],
)
def test_a_task_that_feeds_it_something_else_is_refused(
    tmp_path: Path, spec: PreprocessSpec, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        prepared(described(tmp_path), Feed(spec, (8, 8, 3)))


def test_code_for_several_images_at_once_is_not_fed_one(tmp_path: Path) -> None:
    path = described(tmp_path, inputs=[IMAGE | {"shape": [2, 3, 4, 6]}])
    with pytest.raises(ModelError, match=r"compiled for an input 'image' of \[2, 3, 4, 6\]"):
        prepared(path, Feed(PreprocessSpec(size=(4, 6)), (8, 8, 3)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("{", "truncated"),
        ("[" * 100_000, "does not describe"),
        ("\xff\xfe", "does not describe"),
        ('{"inputs": [], "outputs": []}', r"inputs"),
        (json.dumps({"inputs": [IMAGE]}), "outputs"),
        (json.dumps({"inputs": [IMAGE], "outputs": [SCORES], "path": "/etc/passwd"}), "path"),
        (json.dumps({"inputs": [IMAGE | {"dtype": "object"}], "outputs": [SCORES]}), "object"),
        (json.dumps({"inputs": [IMAGE | {"shape": [0]}], "outputs": [SCORES]}), "shape"),
        (json.dumps({"inputs": [IMAGE | {"shape": [2**40]}], "outputs": [SCORES]}), "shape"),
        (json.dumps({"inputs": [IMAGE] * 2, "outputs": [SCORES]}), "two inputs have one name"),
        (json.dumps({"inputs": [IMAGE], "outputs": [SCORES], "labels": ["x" * 2**20]}), "at most"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = described(tmp_path, text)
    with pytest.raises(ModelError, match=said):
        described_code(str(path), ".so", [str(tmp_path)])


def test_extents_whose_product_nobody_has_memory_for_are_refused(tmp_path: Path) -> None:
    path = described(tmp_path, outputs=[SCORES | {"shape": [2**30, 2**30]}])
    with pytest.raises(ModelError, match="more than the arena"):
        prepared(path, Feed(PreprocessSpec(size=(4, 6)), (8, 8, 3)))


def test_code_without_a_description_is_refused_with_where_that_belongs(tmp_path: Path) -> None:
    path = described(tmp_path)
    (tmp_path / "network.so.json").unlink()
    with pytest.raises(ModelError, match=r"describes compiled code .*no such file .*so\.json\)"):
        described_code(str(path), ".so", [str(tmp_path)])
    path.unlink()
    with pytest.raises(ModelError, match=r"^model: there is no such file \(got .*network\.so\)"):
        described_code(str(path), ".so", [str(tmp_path)])


def test_a_description_that_a_link_brings_from_elsewhere_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "models"
    root.mkdir()
    path = described(root)
    elsewhere = (root / "network.so.json").rename(tmp_path / "elsewhere.json")
    (root / "network.so.json").symlink_to(elsewhere)
    with pytest.raises(ModelError) as caught:
        described_code(str(path), ".so", [str(root)])
    assert caught.value.rule is Rule.MODEL_ROOTS


@pytest.mark.parametrize(
    ("uri", "suffix"),
    [("a/b.onnx", ""), ("a/b.ONNX", ""), ("a/b.so", ".so"), ("pypi://d/b.SO", ".so"), ("a", "")],
)
def test_code_is_told_from_onnx_by_its_name(uri: str, suffix: str) -> None:
    assert code_suffix(uri) == suffix
