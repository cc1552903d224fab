"""Tokenizers out of GGUF files and tokenizer.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from tokenizers import Tokenizer

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.vocabulary import Vocabulary, of_gguf, of_json
from test.network.generator.models import CHAT, CONTROL, tokens, write_gguf

_COUNT = len(tokens())


@contextmanager
def opened(path: Path) -> Iterator[GgufFile]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield GgufFile(descriptor)
    finally:
        os.close(descriptor)


def made(path: Path, rows: int = _COUNT, **said: object) -> Vocabulary:
    names = {f"tokenizer.ggml.{name}": value for name, value in said.items()}
    with opened(write_gguf(path, said=names)) as file:
        return of_gguf(file, rows)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return made(tmp_path_factory.mktemp("vocabulary") / "model.gguf")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_pieces_of_a_text_are_the_text(vocabulary: Vocabulary, text: str) -> None:
    ids = Tokenizer.from_str(vocabulary.tokenizer).encode(text, add_special_tokens=False).ids
    own = {each for each in CONTROL if each in text}
    if not own:
        assert b"".join(vocabulary.pieces[each] for each in ids) == text.encode()


def test_texts_are_cut_and_merged_as_the_file_says(vocabulary: Vocabulary) -> None:
    tokenizer = Tokenizer.from_str(vocabulary.tokenizer)
    assert tokenizer.encode("in the 42 <|end|>a").tokens == [
        *("in", "Ġthe", "Ġ", "4", "2", "Ġ", "<|end|>", "a"),
    ]


def test_it_knows_what_begins_and_ends_an_answer(vocabulary: Vocabulary, tmp_path: Path) -> None:
    names = tokens()
    assert set(vocabulary.ends) == {names.index("<|end|>"), names.index("<|endoftext|>")}
    assert (vocabulary.begin, vocabulary.begin_text) == (-1, "<|start|>")
    assert vocabulary.end_text == "<|end|>" and vocabulary.template == CHAT
    assert all(not vocabulary.pieces[names.index(each)] for each in CONTROL)
    starts = made(tmp_path / "model.gguf", add_bos_token=True)
    assert starts.begin == names.index("<|start|>")


def test_a_tokenizer_json_stands_for_the_same(vocabulary: Vocabulary) -> None:
    config = json.dumps({"eos_token": "<|end|>", "bos_token": {"content": "<|start|>"}})
    found = of_json(vocabulary.tokenizer, config, _COUNT)
    assert found.pieces == vocabulary.pieces and found.ends == vocabulary.ends
    assert (found.begin, found.begin_text, found.end_text) == (-1, "<|start|>", "<|end|>")
    assert of_json(vocabulary.tokenizer, "", _COUNT + 3).template == ""
    starts = of_json(vocabulary.tokenizer, '{"bos_token": "A", "add_bos_token": true}', _COUNT)
    assert starts.begin == tokens().index("A")


# -- SentencePiece: pieces with scores --------------------------------------------------------

_PIECES = [
    *("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))),
    *(
        "\u2581",
        "a",
        "b",
        "c",
        "ab",
        "bc",
        "abc",
        "\u2581a",
        "\u2581ab",
        "\u2581b",
        "cc",
        "aa",
        "\u00e9",
    ),
]
_SCORES = [0.0] * 259 + [
    -9.0,
    -9.0,
    -9.0,
    -9.0,
    -3.0,
    -2.0,
    -4.0,
    -1.0,
    -5.0,
    -2.5,
    -6.0,
    -7.0,
    -9.0,
]


def scored(path: Path, **said: object) -> Vocabulary:
    types = [2, 3, 3] + [6] * 256 + [1] * 13
    given = {"model": "llama", "tokens": _PIECES, "scores": _SCORES, "token_type": types}
    given |= {"bos_token_id": 1, "eos_token_id": 2, "merges": None}
    return made(path, len(_PIECES), **(given | said))


def joined(text: str) -> list[str]:
    """As SentencePiece does it: of all neighbours, those with the highest score, leftmost first."""
    parts = list(text)
    while True:
        found = [
            (-_SCORES[_PIECES.index(parts[at] + parts[at + 1])], at)
            for at in range(len(parts) - 1)
            if parts[at] + parts[at + 1] in _PIECES[259:]
        ]
        if not found:
            break
        _, at = min(found)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    shown = []
    for part in parts:
        bytes_of = [f"<0x{byte:02X}>" for byte in part.encode()]
        shown += [part] if part in _PIECES[259:] else bytes_of
    return shown


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return scored(tmp_path_factory.mktemp("scored") / "model.gguf")


@given(st.text("abc x\u00e9\n"))
def test_pieces_are_joined_by_their_scores(pieces: Vocabulary, text: str) -> None:
    found = Tokenizer.from_str(pieces.tokenizer).encode(text, add_special_tokens=False)
    wanted = "\u2581" + text.replace(" ", "\u2581") if text else ""
    assert found.tokens == joined(wanted)
    told = b"".join(pieces.pieces[each] for each in found.ids).decode()
    assert told == (" " + text if text else "")


def test_a_tokenizer_of_pieces_puts_its_first_token_in_front(
    pieces: Vocabulary, tmp_path: Path
) -> None:
    assert (pieces.begin, pieces.begin_text, pieces.ends) == (1, "<s>", (2,))
    assert scored(tmp_path / "off.gguf", add_bos_token=False).begin == -1
    bare = scored(tmp_path / "bare.gguf", add_space_prefix=False)
    assert Tokenizer.from_str(bare.tokenizer).encode("ab").tokens == ["ab"]
    again = of_json(pieces.tokenizer, '{"eos_token": "</s>"}', len(_PIECES))
    assert again.pieces == pieces.pieces and again.ends == (2,)
    with pytest.raises(ModelError, match="not that of the network") as told:
        scored(tmp_path / "short.gguf", scores=[1.0])
    assert told.value.where == "tokenizer.ggml.scores"
    with pytest.raises(ModelError, match="not valid"):
        scored(tmp_path / "nan.gguf", scores=[float("nan")] * len(_PIECES))


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "gpt-2"])
def test_ways_to_cut_texts_are_known_by_their_names(tmp_path: Path, pre: str) -> None:
    tokenizer = Tokenizer.from_str(made(tmp_path / "model.gguf", pre=pre).tokenizer)
    words = [text for text, _ in tokenizer.pre_tokenizer.pre_tokenize_str("It's 1234 o'clock")]
    rest = {
        "llama-bpe": ["Ġ", "123", "4", "Ġo", "'clock"],
        "qwen2": ["Ġ", *"1234", "Ġo", "'clock"],
        "gpt-2": ["Ġ1234", "Ġo", "'", "clock"],
    }
    assert words == ["It", "'s", *rest[pre]]


@pytest.mark.parametrize(
    ("said", "rows", "where", "says"),
    [
        ({"tokens": None}, _COUNT, "tokenizer.ggml.tokens", "no tokenizer"),
        ({}, _COUNT - 1, "tokenizer.ggml.tokens", "not that of the network"),
        ({"model": "bert"}, _COUNT, "tokenizer.ggml.model", "not supported"),
        ({"model": None}, _COUNT, "tokenizer.ggml.model", "not supported"),
        ({"pre": "klingon"}, _COUNT, "tokenizer.ggml.pre", "not known"),
        ({"token_type": [1]}, _COUNT, "tokenizer.ggml.token_type", "not that of the network"),
        ({"eos_token_id": _COUNT}, _COUNT, "tokenizer.ggml.eos_token_id", "not valid"),
        ({"merges": ["nosuch token"]}, _COUNT, "tokenizer.ggml.merges", "does not fit together"),
        ({"merges": 5}, _COUNT, "tokenizer.ggml.merges", "not valid"),
        ({"tokens": [1, 2]}, _COUNT, "tokenizer.ggml.tokens", "not valid"),
        ({"token_type": ["a"]}, _COUNT, "tokenizer.ggml.token_type", "not valid"),
    ],
)
def test_what_does_not_fit_is_told_by_its_field(
    tmp_path: Path, said: dict[str, object], rows: int, where: str, says: str
) -> None:
    with pytest.raises(ModelError) as told:
        made(tmp_path / "model.gguf", rows, **said)
    assert told.value.where == where and says in told.value.problem


@pytest.mark.parametrize(
    ("text", "config", "where"),
    [
        ("{", "", "tokenizer.json"),
        (None, "[]", "tokenizer_config.json"),
        (None, "{", "tokenizer_config.json"),
        ("other decoder", "", "tokenizer.json: decoder"),
    ],
)
def test_a_tokenizer_json_that_cannot_be_used_is_told(
    vocabulary: Vocabulary, text: str | None, config: str, where: str
) -> None:
    if text == "other decoder":
        text = json.dumps(json.loads(vocabulary.tokenizer) | {"decoder": {"type": "Fuse"}})
    with pytest.raises(ModelError) as told:
        of_json(text or vocabulary.tokenizer, config, _COUNT)
    assert told.value.where == where
    with pytest.raises(ModelError, match="not that of the network"):
        of_json(vocabulary.tokenizer, "", _COUNT - 1)
