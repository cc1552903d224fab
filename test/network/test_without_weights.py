"""What is wrong with a large network is found without its weights, and they change no verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import ModelFile, locate, open_model, outline, without_weights
from aegis_ros.network.graph import checked_graph, load_graph, read_graph
from aegis_ros.network.without_weights import content_without_weights, file_without_weights

_LARGE = 600_000  # float32: two megabytes and more
_FEW_BYTES = 64 * 1024


def _network(
    tensor: TensorProto | None = None, *, operator: str = "Add", rank: bool = True
) -> onnx.ModelProto:
    """A network that has one large tensor, and an ``If`` with another one."""
    inner = numpy_helper.from_array(np.ones(_LARGE, np.float32), "inner")
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"of_{name}"])],
            name,
            [],
            [helper.make_tensor_value_info(f"of_{name}", TensorProto.FLOAT, [_LARGE])],
            [inner] if name == "inner" else [],
        )
        for name in ("inner", "w")
    ]
    graph = helper.make_graph(
        [
            helper.make_node("If", ["which"], ["chosen"], then_branch=branches[0],
                             else_branch=branches[1]),
            helper.make_node(operator, ["x", "chosen"], ["y"]),
        ],
        "large",
        [
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [_LARGE]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [_LARGE] if rank else None)],
        [tensor or numpy_helper.from_array(np.zeros(_LARGE, np.float32), "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "large.onnx"
    onnx.save_model(model, str(path))
    return path


def _read(path: Path) -> onnx.ModelProto:
    with ModelFile(path) as file:
        return read_graph(file.descriptor, file.digest, path)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How much of files is read from here on."""
    read, really = [0], os.pread

    def counted(descriptor: int, length: int, at: int) -> bytes:
        found = really(descriptor, length, at)
        read[0] += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    yield lambda: read[0]


def test_a_valid_network_is_read_with_all_its_weights(tmp_path: Path) -> None:
    path = _saved(_network(), tmp_path)
    assert _read(path) == load_graph(path) == onnx.load_model(str(path))


def test_the_file_and_its_contents_are_the_same_without_weights(tmp_path: Path) -> None:
    path = _saved(_network(), tmp_path)
    light = content_without_weights(path.read_bytes(), "large")
    assert light is not None and len(light) < 2000
    with ModelFile(path) as file:
        assert file_without_weights(file.descriptor, file.size, "large") == light
    whole = onnx.load_model(str(path))
    bodies = [each.g for each in whole.graph.node[0].attribute]
    for graph in (whole.graph, *bodies):
        for tensor in graph.initializer:
            tensor.ClearField("raw_data")
            tensor.dims[:] = [0]
    assert onnx.ModelProto.FromString(light) == whole


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda model: model.ClearField("opset_import"), "opset_import"),
        (lambda model: model.graph.node[1].input.__setitem__(0, "nowhere"), "nowhere"),
        (lambda model: setattr(model.graph.node[1], "op_type", "Nonsense"), "Nonsense"),
        (lambda model: model.graph.initializer[0].dims.append(2), "needs 4,800,000"),
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, 5), "needs 20"),
        (
            lambda model: model.graph.input[1].type.tensor_type.ClearField("shape"),
            "how many extents",
        ),
    ],
    ids=["opset", "input", "operator", "fewer values", "more values", "rank"],
)
def test_what_is_wrong_beside_the_weights_is_found_before_they_are_read(
    broken: Callable[[onnx.ModelProto], object],
    says: str,
    tmp_path: Path,
    bytes_read: Callable[[], int],
) -> None:
    model = _network()
    broken(model)
    path = _saved(model, tmp_path)
    with ModelFile(path) as file, pytest.raises(ModelError, match=says) as early:
        read_graph(file.descriptor, "0" * 64, path)
    assert bytes_read() < _FEW_BYTES
    with pytest.raises(ModelError) as whole:
        load_graph(path)
    assert str(early.value) == str(whole.value)


def test_a_network_that_is_slow_to_hash_is_looked_at_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_read: Callable[[], int]
) -> None:
    model = _network(operator="Nonsense")
    path = _saved(model, tmp_path)
    monkeypatch.setattr(locate, "_SLOWER_BYTES", path.stat().st_size // 2)
    with pytest.raises(ModelError, match="Nonsense"):
        open_model(str(path), [str(tmp_path)])
    assert bytes_read() < _FEW_BYTES
    onnx.save_model(_network(), str(path))
    with open_model(str(path), [str(tmp_path)]) as file:
        assert file.size > locate._SLOWER_BYTES


def test_an_output_without_rank_gets_it_from_the_weights(tmp_path: Path) -> None:
    path = _saved(_network(rank=False), tmp_path)
    (output,) = _read(path).graph.output
    assert output.type.tensor_type.HasField("shape")


def test_contents_that_changed_after_they_were_hashed_are_refused(tmp_path: Path) -> None:
    path = _saved(_network(), tmp_path)
    with ModelFile(path) as file, pytest.raises(ModelError, match="changed while it was read"):
        read_graph(file.descriptor, "0" * 64, path)


@pytest.mark.parametrize(
    "tensor",
    [
        helper.make_tensor("w", TensorProto.FLOAT, [_LARGE], np.zeros(_LARGE, np.float32)),
        helper.make_tensor("w", TensorProto.INT4, [_LARGE * 8], bytes(_LARGE * 4), raw=True),
    ],
    ids=["as numbers", "two in a byte"],
)
def test_values_that_are_not_whole_bytes_stay(tensor: TensorProto) -> None:
    content = _network(tensor).SerializeToString()
    light = content_without_weights(content, "large")
    assert light is not None and onnx.ModelProto.FromString(light).graph.initializer[0] == tensor


def test_what_is_no_message_and_what_is_left_too_large_are_left_to_who_reads_it_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = _network().SerializeToString()
    for cut in (1, 100, len(content) // 2):
        assert content_without_weights(content[:-cut], "cut") is None
    assert content_without_weights(b"\x0b" + content, "group") is None
    monkeypatch.setattr(without_weights, "_MOST_BYTES", 100)
    assert content_without_weights(content, "large") is None


def test_bodies_in_bodies_without_end_are_left_to_who_reads_it_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = bytes(4)
    for _ in range(200):
        for number in (6, 5, 1):  # an attribute's g, a node's attribute, a graph's node
            body = without_weights._field(number, body)
    monkeypatch.setattr(without_weights, "LARGE_BYTES", 2)
    assert content_without_weights(without_weights._field(7, body), "deep") is None


def test_no_network_becomes_valid_or_invalid_without_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every tensor left out that may be, however small, the checker says what it said."""
    paths = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").rglob("*.onnx"))
    paths = [path for path in paths if path.stat().st_size < 100_000][::3]
    assert len(paths) > 40

    def verdict(content: bytes, path: Path) -> str:
        try:
            checked_graph(content, path)
        except ModelError as error:
            return str(error)
        return ""

    contents = {path: path.read_bytes() for path in paths}
    before = {path: verdict(content, path) for path, content in contents.items()}
    for module in (outline, without_weights):
        monkeypatch.setattr(module, "LARGE_BYTES", 0)
    monkeypatch.setattr("aegis_ros.network.graph.LARGE_BYTES", 0)
    left_out = [
        path
        for path, content in contents.items()
        if len(content_without_weights(content, path.name) or content) < len(content)
    ]
    assert left_out
    assert {path: verdict(content, path) for path, content in contents.items()} == before
