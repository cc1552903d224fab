"""GGUF files that claim more than they hold, refused before anything is made of the claim."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.gguf_header import require_held
from aegis_ros.network.generator.preparing import prepare_generator
from aegis_ros.network.model_file import ModelFile
from test.network.generator.models import write_gguf

_LIST, _INT8, _TEXT = 9, 1, 8


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_gguf(tmp_path_factory.mktemp("model") / "model.gguf").read_bytes()


def bent(content: bytes, key: str, put: bytes, after: int) -> bytes:
    """A file in which other bytes lie so far behind the name of a key."""
    at = content.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key) + after
    return content[:at] + put + content[at + len(put) :]


def listed(content: bytes, key: str, count: int, kind: int | None = None) -> bytes:
    """A file with a list that claims so many elements."""
    found = bent(content, key, struct.pack("<Q", count), 8)
    return found if kind is None else bent(found, key, struct.pack("<I", kind), 4)


def required(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        require_held(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("count", [2**23, 2**40, 2**63 + 1])
@pytest.mark.parametrize("kind", [None, _INT8])
@pytest.mark.parametrize("name", ["tokens", "token_type", "merges"])
def test_a_list_longer_than_the_file_takes_no_memory(
    tmp_path: Path, content: bytes, name: str, kind: int | None, count: int
) -> None:
    key = f"tokenizer.ggml.{name}"
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=f"{count:,} elements") as told:
            required(tmp_path / "bent.gguf", listed(content, key, count, kind))
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told.value.where == key and "the file holds no more" in told.value.expected
    assert taken < 4 * len(content)  # of which two are this test's


def test_the_refusal_names_the_key_wherever_a_model_is_prepared(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bent.gguf"
    path.write_bytes(listed(content, "tokenizer.ggml.token_type", 2**40, _INT8))
    with ModelFile(path) as file, pytest.raises(ModelError) as told:
        prepare_generator(file, cache_dir=tmp_path / "cache")
    assert told.value.where == "tokenizer.ggml.token_type"
    assert "lists what it does not hold" in told.value.problem


@pytest.mark.parametrize(
    ("key", "put", "after", "where", "value"),
    [
        ("tokenizer.chat_template", b"\xff" * 8, 4, "tokenizer.chat_template", "bytes"),
        ("tokenizer.ggml.tokens", b"\xff" * 8, 16, "tokenizer.ggml.tokens", "bytes"),
        ("tokenizer.ggml.merges", struct.pack("<I", _LIST), 4, "tokenizer.ggml.merges", "kind 9"),
        ("llama.block_count", struct.pack("<I", 13), 0, "llama.block_count", "kind 13"),
        ("output_norm.weight", struct.pack("<I", 5), 0, "output_norm.weight", "5 extents"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_key(
    tmp_path: Path, content: bytes, key: str, put: bytes, after: int, where: str, value: str
) -> None:
    with pytest.raises(ModelError) as told:
        required(tmp_path / "bent.gguf", bent(content, key, put, after))
    assert told.value.where == where and value in told.value.value


@pytest.mark.parametrize(("at", "what"), [(8, "tensors"), (16, "keys")])
@pytest.mark.parametrize("count", [2**16 + 1, 2**63])
def test_counts_are_bounded(tmp_path: Path, content: bytes, at: int, what: str, count: int) -> None:
    head = content[:at] + struct.pack("<Q", count) + content[at + 8 :]
    with pytest.raises(ModelError, match=f"{count:,} {what}"):
        required(tmp_path / "bent.gguf", head + bytes(2**21))


def test_lists_are_bounded_together_even_where_the_file_holds_them(tmp_path: Path) -> None:
    count = 5 * 2**20
    lists = [
        struct.pack("<Q", 1) + name + struct.pack("<IIQ", _LIST, _INT8, count) + bytes(count)
        for name in (b"a", b"b")
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 2)
    with pytest.raises(ModelError) as told:
        required(tmp_path / "long.gguf", head + b"".join(lists))
    assert told.value.where == "b" and told.value.expected == f"at most {3 * 2**20:,}"
    required(tmp_path / "short.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + lists[0])


def test_a_file_may_end_nowhere_in_its_head(tmp_path: Path, content: bytes) -> None:
    end = content.index(b"output_norm.weight") + 18 + 4 + 8 + 4 + 8
    required(tmp_path / "head.gguf", content[:end])
    for length in (*range(4, 600), *range(600, end, 97), end - 1):
        with pytest.raises(ModelError):
            required(tmp_path / "cut.gguf", content[:length])


def test_a_file_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    item = struct.pack(">Q", 1) + b"a" + struct.pack(">IIQ", _LIST, _TEXT, 1)
    item += struct.pack(">Q", 2) + b"xy"
    head = b"GGUF" + struct.pack(">IQQ", 3, 0, 1)
    required(tmp_path / "big.gguf", head + item)
    with pytest.raises(ModelError):
        required(tmp_path / "cut.gguf", head + item[:-1])
