"""The tokenizer of a language model, from a GGUF file or a tokenizer.json; runs in a child."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.network.generator.gguf_file import GgufFile

__all__ = ["MOST_BYTES", "Vocabulary", "of_gguf", "of_json"]

MOST_BYTES = 64 * 1024 * 1024  # of a tokenizer.json
_MOST_TOKENS = 1 << 20
_MOST_CONFIG = 1024 * 1024
_LONGEST_PIECE = 256  # characters
_SPACE = "\u2581"  # stands for a space in SentencePiece
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_CONTROL, _OWN = 3, 4  # types of tokens in GGUF
_OWN_FILE = "Put a tokenizer.json beside the model, or name one with --tokenizer"

# What ends an answer in the chats of well-known models, whatever the file calls the end.
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>", "</s>")

# How texts are cut before tokens are looked for; the names are those of llama.cpp.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CUT_BY = {
    "llama-bpe": _WORDS.format(digits="{1,3}"),
    "qwen2": _WORDS.format(digits=""),
}
_PLAIN = ("gpt-2", "default", "smollm")
_SINGLE_DIGITS = ("smollm",)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer.

    Attributes:
        tokenizer: as ``tokenizer.json`` holds it.
        pieces: what each token stands for, in bytes; nothing for those that steer the model.
        ends: tokens that end an answer.
        begin: token in front of a text, -1 for none.
        begin_text, end_text: texts of those two tokens, for templates.
        template: of a chat; empty for none.
    """

    tokenizer: str
    pieces: list[bytes] = field(repr=False)
    ends: tuple[int, ...]
    begin: int
    begin_text: str
    end_text: str
    template: str


def of_gguf(file: GgufFile, rows: int) -> Vocabulary:
    """Return the tokenizer that a GGUF file holds.

    Args:
        file: the model.
        rows: how many tokens the network has.

    Raises:
        ModelError: there is none, it is of a kind that is not known, or it has other tokens.
    """
    tokens = file.texts("tokenizer.ggml.tokens", _MOST_TOKENS)
    if not tokens:
        raise ModelError("the file has no tokenizer", where="tokenizer.ggml.tokens", hint=_OWN_FILE)
    if len(tokens) > rows:
        raise _mismatch("tokenizer.ggml.tokens", len(tokens), rows)
    scored = _is_scored(file)
    types = file.integers("tokenizer.ggml.token_type", _MOST_TOKENS) or [1] * len(tokens)
    if len(types) != len(tokens):
        raise _mismatch("tokenizer.ggml.token_type", len(types), len(tokens))
    own = [number for number, kind in enumerate(types) if kind in (_CONTROL, _OWN)]
    if scored:
        scores = file.reals("tokenizer.ggml.scores", _MOST_TOKENS)
        if len(scores) != len(tokens):
            raise _mismatch("tokenizer.ggml.scores", len(scores), len(tokens))
        prefix = file.value("tokenizer.ggml.add_space_prefix") is not False
        tokenizer = _scored(tokens, scores, prefix=prefix)
    else:
        tokenizer = _pairs(
            tokens,
            file.texts("tokenizer.ggml.merges", 4 * _MOST_TOKENS),
            file.text("tokenizer.ggml.pre", "default"),
        )
    _add(tokenizer, [(tokens[number], types[number] == _CONTROL) for number in own])

    def token(key: str) -> int:
        return file.integer(f"tokenizer.ggml.{key}_token_id", -1, len(tokens) - 1, -1)

    begin, end = token("bos"), token("eos")
    control = {tokens[number]: number for number in own if types[number] == _CONTROL}
    ends = {end, token("eot"), token("eom"), *(control.get(text, -1) for text in _ENDS)} - {-1}
    starts = file.value("tokenizer.ggml.add_bos_token")
    return Vocabulary(
        tokenizer.to_str(),
        _pieces(
            tokens, {tokens[number]: types[number] == _CONTROL for number in own}, scored=scored
        ),
        tuple(sorted(ends)),
        begin if starts is True or (starts is None and scored) else -1,
        tokens[begin] if begin >= 0 else "",
        tokens[end] if end >= 0 else "",
        file.text("tokenizer.chat_template"),
    )


def of_json(text: str, config: str, rows: int) -> Vocabulary:
    """Return the tokenizer that a tokenizer.json holds.

    Args:
        text: the file's.
        config: text of the tokenizer_config.json beside it; empty for none.
        rows: how many tokens the network has.

    Raises:
        ModelError: it is none, of a kind that is not known, or has other tokens.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # what it raises has no type of its own
        raise ModelError(
            f"the tokenizer cannot be read ({str(error)[:200]})", where="tokenizer.json"
        ) from error
    found = tokenizer.get_vocab(with_added_tokens=True)
    count = max(found.values(), default=-1) + 1
    if not 0 < count <= rows:
        raise _mismatch("tokenizer.json", count, rows)
    tokens = [""] * count
    for token, number in found.items():
        tokens[number] = token
    own = {each.content: each.special for each in tokenizer.get_added_tokens_decoder().values()}
    decoder = json.loads(text).get("decoder")
    scored = "ByteFallback" in json.dumps(decoder)
    if not scored and "ByteLevel" not in json.dumps(decoder):
        raise ModelError(
            "this kind of tokenizer is not supported",
            where="tokenizer.json: decoder",
            value=decoder.get("type", "nothing") if isinstance(decoder, dict) else "nothing",
            expected="ByteLevel or ByteFallback",
        )
    named = _config(config)
    begin_text, end_text = _named(named, "bos_token"), _named(named, "eos_token")
    ends = {found.get(each, -1) for each in (end_text, *_ENDS) if own.get(each)} - {-1}
    template = named.get("chat_template")
    return Vocabulary(
        text,
        _pieces(tokens, own, scored=scored),
        tuple(sorted(ends)),
        found.get(begin_text, -1) if named.get("add_bos_token") is True else -1,
        begin_text,
        end_text,
        template if isinstance(template, str) else "",
    )


def _is_scored(file: GgufFile) -> bool:
    """Return whether pieces of text have scores (SentencePiece), rather than pairs an order."""
    kind = file.text("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise ModelError(
            "this kind of tokenizer is not supported",
            where="tokenizer.ggml.model",
            value=kind or "nothing",
            expected="gpt2 or llama",
            hint=_OWN_FILE,
        )
    return kind == "llama"


def _config(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = read_json(text, "tokenizer_config.json", most_bytes=_MOST_CONFIG)
    except ConfigError as error:
        raise ModelError(error.problem, where=error.where) from error
    if not isinstance(found, dict):
        raise ModelError("not a mapping", where="tokenizer_config.json")
    return found


def _named(config: dict[str, Any], key: str) -> str:
    """Return the text of a token, which files hold as it is or with what is done with it."""
    found = config.get(key)
    if isinstance(found, dict):
        found = found.get("content")
    return found if isinstance(found, str) else ""


def _pairs(tokens: Sequence[str], merges: Sequence[str], cut_by: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    halves = [each.partition(" ") for each in merges]
    pairs = [(first, second) for first, _, second in halves]
    try:
        model = models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=pairs,
            ignore_merges=cut_by == "llama-bpe",
        )
    except Exception as error:  # what it raises has no type of its own
        raise ModelError(
            f"the tokenizer does not fit together ({str(error)[:200]})",
            where="tokenizer.ggml.merges",
            hint=_OWN_FILE,
        ) from error
    tokenizer = Tokenizer(model)
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut_by in _PLAIN)
    if cut_by in _CUT_BY:
        first = pre_tokenizers.Split(Regex(_CUT_BY[cut_by]), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, level])
    elif cut_by in _SINGLE_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, level])
    elif cut_by in _PLAIN:
        tokenizer.pre_tokenizer = level
    else:
        raise ModelError(
            "texts are cut in a way that is not known",
            where="tokenizer.ggml.pre",
            value=cut_by,
            expected=", ".join((*_PLAIN, *_CUT_BY)),
            hint=_OWN_FILE,
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _scored(tokens: Sequence[str], scores: Sequence[float], *, prefix: bool) -> Any:
    """Return a tokenizer that joins the neighbours first whose piece has the highest score."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    number = {token: at for at, token in enumerate(tokens)}
    pairs = [
        (-scores[at], number[token[:cut]], number[token[cut:]], token[:cut], token[cut:])
        for at, token in enumerate(tokens)
        if len(token) <= _LONGEST_PIECE
        for cut in range(1, len(token))
        if token[:cut] in number and token[cut:] in number
    ]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=number,
            merges=[(first, second) for *_, first, second in sorted(pairs)],
            byte_fallback=True,
        )
    )
    steps: list[Any] = [normalizers.Prepend(_SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])
    tokenizer.decoder = decoders.ByteFallback()
    return tokenizer


def _add(tokenizer: Any, tokens: Sequence[tuple[str, bool]]) -> None:
    from tokenizers import AddedToken

    for special in (True, False):
        chosen = [AddedToken(text, special=special) for text, each in tokens if each is special]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(chosen)


def _pieces(tokens: Sequence[str], own: dict[str, bool], *, scored: bool) -> list[bytes]:
    """Return the bytes of each token.

    Args:
        tokens: their texts.
        own: those whose text is meant as it is, and whether they steer the model.
        scored: texts are those of SentencePiece; else a character stands for a byte.
    """
    byte_of = _byte_of_character()
    found = []
    for token in tokens:
        if token in own:
            found.append(b"" if own[token] else token.encode(errors="replace"))
        elif scored:
            byte = _BYTE.fullmatch(token)
            text = token.replace(_SPACE, " ").encode(errors="replace")
            found.append(bytes([int(byte[1], 16)]) if byte else text)
        else:
            found.append(bytes(byte_of[each] for each in token if each in byte_of))
    return found


def _byte_of_character() -> dict[str, int]:
    """Return which byte each character stands for: itself if it can be seen, else one from 256."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {
        chr(256 + number): byte for number, byte in enumerate(hidden)
    }


def _mismatch(where: str, found: int, rows: int) -> ModelError:
    return ModelError(
        "the tokenizer is not that of the network",
        where=where,
        value=f"{found:,} tokens",
        expected=f"1 to {rows:,} tokens, as the network has",
        hint="Use the tokenizer that the model was published with",
    )
