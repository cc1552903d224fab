"""What is no network is seen from its outline: little of it is read, however large it is."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import ModelError
from aegis_ros.network import ModelFile, resolve_model
from aegis_ros.network.locate import MOST_BYTES
from aegis_ros.network.outline import is_outline_of_network
from aegis_ros.sandbox.scratch import Scratch
from test.network.builders import identity_network, sum_network

_FEW_BYTES = 4096


def _number(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, length: int) -> bytes:
    """The beginning of a field that holds ``length`` bytes."""
    return _number(number << 3 | 2) + _number(length)


def _sparse(path: Path, *heads: bytes, size: int = MOST_BYTES) -> Path:
    with path.open("wb") as file:
        file.write(b"".join(heads))
        file.truncate(size)
    return path


def _taken(path: Path) -> bool:
    with ModelFile(path) as file:
        return is_outline_of_network(file.descriptor, file.size)


@pytest.mark.parametrize(
    "heads",
    [
        (),
        (b"\x08\x08",),
        (b"\x08\x08", _field(7, MOST_BYTES - 8)),
        (b"\x08\x08", _field(7, MOST_BYTES - 8), _field(1, MOST_BYTES - 20)),
        (b"\x08\x08", _field(7, MOST_BYTES - 8), _field(5, MOST_BYTES - 20)),
        (b"\x08\x08", _field(7, MOST_BYTES)),
        (b"PK\x03\x04",),
    ],
    ids=["zeros", "version", "graph", "node", "tensor", "cut short", "archive"],
)
def test_gigabytes_of_nothing_are_refused_before_they_are_read(
    heads: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _sparse(tmp_path / "sparse.onnx", *heads)
    read, really = [0], os.pread

    def counted(descriptor: int, length: int, at: int) -> bytes:
        found = really(descriptor, length, at)
        read[0] += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    with pytest.raises(ModelError, match="not an ONNX network"):
        resolve_model(str(path), [str(tmp_path)])
    assert read[0] < _FEW_BYTES


def test_weights_that_are_all_zero_are_weights(tmp_path: Path) -> None:
    weights = 2**30
    tensor = _field(9, weights)
    initializer = _field(5, len(tensor) + weights) + tensor
    graph = _field(7, len(initializer) + weights) + initializer
    path = _sparse(tmp_path / "zeros.onnx", graph, size=len(graph) + weights)
    assert _taken(path)


def test_fields_without_number_or_with_a_kind_that_there_is_not_are_no_network(
    tmp_path: Path,
) -> None:
    path = tmp_path / "net.onnx"
    for content in (
        b"\x00\x01",
        b"\x06",
        b"\x07",
        b"\x04",
        b"\x08",
        b"\x80" * 11,
        b"\x0d1",
        b"\x0a\x05a",
    ):
        path.write_bytes(content)
        assert not _taken(path), content
    for content in (b"\x08\x08", b"\x09" + bytes(8), b"\x0d" + bytes(4), b"\x0a\x01a", b"\x0b"):
        path.write_bytes(content)
        assert _taken(path), content


def test_a_file_of_very_many_fields_is_left_to_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "many.onnx"
    path.write_bytes(b"\x08\x08" * 200_000 + b"\x00")
    assert _taken(path)


def test_every_network_has_the_outline_of_one(tmp_path: Path) -> None:
    made = [
        identity_network(tmp_path / "identity.onnx"),
        sum_network(tmp_path / "sum.onnx", as_input=False),
        *(Path(onnx.__file__).parent / "backend" / "test" / "data").rglob("*.onnx"),
    ]
    assert len(made) > 100
    assert [path for path in made if not _taken(path)] == []


@given(st.binary(max_size=64))
def test_what_protocol_buffers_read_is_never_taken_for_something_else(content: bytes) -> None:
    with Scratch() as folder:
        path = folder / "any.onnx"
        path.write_bytes(content)
        try:
            onnx.ModelProto.FromString(content)
        except Exception:
            return
        assert _taken(path)
