"""Makes a language model ready to run, once, and remembers it.

The work is done in a contained child process: a hostile or broken file can fail there, and nowhere
else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.config import read_json, read_text
from aegis_ros.errors import BackendError, ConfigError, ModelError
from aegis_ros.network.generator.beside import text_beside, text_of
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.generator.vision.published import VisionFiles
from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.runtime import runtime_version
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.artifacts import Artifact, ArtifactCache
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit
from aegis_ros.sandbox.verified import all_verified

__all__ = [
    "SUFFIXES",
    "PreparedGenerator",
    "TokenizerFiles",
    "is_gguf",
    "prepare_generator",
    "tokenizer_of",
]

SUFFIXES = frozenset({".gguf", ".onnx"})
_VERSION = 3  # of what is cached; raise it when parts or facts change
_GROWTH = 8  # weights of 4 bits may become float32
_MOST_TOKENIZER = 64 * 1024 * 1024  # bytes
_MOST_CONFIG = 1024 * 1024
_MOST_PIECES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Texts of the files that are published beside a model.

    Attributes:
        tokenizer: of tokenizer.json.
        config: of tokenizer_config.json; empty for none.
        context: longest sequence that config.json states, tokens; 0 for none.
        template: of a chat, where it has a file of its own; empty for none.
    """

    tokenizer: str
    config: str = ""
    context: int = 0
    template: str = ""


@dataclass(frozen=True, slots=True)
class PreparedGenerator:
    """A language model that is ready to run.

    Attributes:
        key: names it among all: file, parts, precision, and what made it.
        facts: what is known of it.
        parts: its networks, in order of execution, and those of its image encoder after them.
        tokenizer: a tokenizer.json.
        digests: SHA-256 of ``parts`` and of ``tokenizer``, in hex.
        pieces: the bytes that each token stands for.
    """

    key: str
    facts: GeneratorFacts
    parts: tuple[Path, ...]
    tokenizer: Path
    digests: tuple[str, ...]
    pieces: tuple[bytes, ...]

    @property
    def decoder_parts(self) -> int:
        """How many parts a decode has."""
        return len(self.parts) - self.facts.encoder_parts

    @contextmanager
    def opened(self) -> Iterator[tuple[str, ...]]:
        """Yield names under which the parts open, which are exactly those that were made.

        Raises:
            BackendError: a file is gone, or is not what was made.
        """
        parts = zip(map(str, self.parts), self.digests, strict=False)
        with all_verified(parts, BackendError) as files:
            yield files


def is_gguf(file: ModelFile) -> bool:
    """Return whether a file is read as GGUF: its contents or its name say so."""
    return file.head(4) == b"GGUF" or file.path.suffix.lower() == ".gguf"


def tokenizer_of(
    uri: str, roots: Sequence[str], named: Path | None = None, *, embedded: bool = False
) -> TokenizerFiles | None:
    """Return the tokenizer beside a model; ``None`` where there is none.

    Args:
        uri: of the model.
        roots: folders that models may be loaded from.
        named: a tokenizer.json that is to be used instead; it must be there.
        embedded: the model has one of its own, which only ``named`` replaces.

    Raises:
        ModelError: the one that is named cannot be read, or one is too large.
    """
    if named is not None:
        text = text_of(named, "--tokenizer", _MOST_TOKENIZER)
        beside = named.with_name("tokenizer_config.json")
        config = text_of(beside, beside.name, _MOST_CONFIG) if beside.is_file() else ""
        return TokenizerFiles(text, config)
    tokenizer = "" if embedded else text_beside(uri, roots, "tokenizer.json", _MOST_TOKENIZER)
    if not tokenizer:
        return None
    config = text_beside(uri, roots, "tokenizer_config.json", _MOST_CONFIG)
    context = _context(text_beside(uri, roots, "config.json", _MOST_CONFIG))
    return TokenizerFiles(tokenizer, config, context, _template(uri, roots))


def prepare_generator(
    file: ModelFile,
    *,
    cache_dir: Path,
    tokenizer: TokenizerFiles | None = None,
    vision: VisionFiles | None = None,
    context: int = 0,
    parts: int = 1,
    image_parts: int = 1,
    precision: Precision = Precision.QUANTISED,
    timeout_s: float = 600.0,
) -> PreparedGenerator:
    """Validate a language model and write it as ONNX parts, unless that was done before.

    Args:
        file: a GGUF file or an ONNX export, already found to be allowed.
        cache_dir: where prepared models are kept.
        tokenizer: of the files beside it; a GGUF file has its own.
        vision: of the files beside a decoder that images can be shown to.
        context: longest sequence, tokens; 0 for the model's, or what is usual.
        parts: groups of layers that a step is cut into.
        image_parts: groups of layers that the image encoder is cut into.
        precision: of a GGUF file.
        timeout_s: how long the child process may take.

    Raises:
        ConfigError: ``context`` or ``parts`` is out of its range.
        ModelError: it is no language model that can be run; ``where`` names the field.
    """
    request = {
        "context": context,
        "digest": file.digest,
        "parts": parts,
        "precision": str(precision),
        "stated_context": 0 if tokenizer is None else tokenizer.context,
        "tokenizer": None
        if tokenizer is None
        else {"tokenizer": tokenizer.tokenizer, "config": tokenizer.config},
    }
    if tokenizer is not None and tokenizer.template:
        request["template"] = tokenizer.template
    if vision is not None:
        request |= {"vision": vision.identity(), "image_parts": image_parts}
    for name, value, valid, expected in (
        ("parts", parts, parts >= 1, "at least 1"),
        ("image_parts", image_parts, image_parts >= 1, "at least 1"),
        ("context", context, context == 0 or context >= 2, "0, or at least 2 tokens"),
    ):
        if not valid:
            raise ConfigError("out of range", where=name, value=value, expected=expected)
    gguf = is_gguf(file)
    _require_libraries(file.path, gguf=gguf)
    named = {"version": _VERSION, "runtime": runtime_version(), **request}
    key = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]

    size = file.size + (0 if vision is None else vision.size)

    def build(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        facts = run_child(
            "aegis_ros.network.generator.conversion_child",
            {
                **request,
                "descriptor": file.descriptor,
                "name": file.path.name,
                "gguf": gguf,
                "folder": str(folder),
                **({} if vision is None else {"vision": vision.request()}),
            },
            allowed=Containment(memory_bytes=memory_limit(_GROWTH * size), writes=(str(folder),)),
            timeout_s=timeout_s,
            subject=file.path.name,
            descriptors=(file.descriptor, *(() if vision is None else vision.descriptors)),
        )
        names = [f"{number}.onnx" for number in range(int(facts["parts"]))]
        return facts, [folder / name for name in (*names, "tokenizer.json", "pieces.json")]

    cache = ArtifactCache(cache_dir / "generators")
    found = cache.find(key)
    if found is not None:
        with suppress(msgspec.ValidationError, ConfigError, KeyError, TypeError, ValueError):
            return _described(key, found)  # else damaged: made again
    return _described(key, cache.make(key, build))


def _described(key: str, made: Artifact) -> PreparedGenerator:
    """Return what was prepared; raises in some way where the facts are not those of a model."""
    *parts, tokenizer, pieces = made.paths
    text = read_text(pieces, most_bytes=_MOST_PIECES)
    listed = read_json(text, pieces.name, most_bytes=_MOST_PIECES)
    return PreparedGenerator(
        key,
        msgspec.convert(made.facts["facts"], GeneratorFacts),
        tuple(parts),
        tokenizer,
        made.digests[:-1],
        tuple(str(piece).encode("latin-1") for piece in listed),
    )


def _require_libraries(path: Path, *, gguf: bool) -> None:
    for name in ("tokenizers", "jinja2", *(("gguf",) if gguf else ())):
        try:
            version(name)
        except PackageNotFoundError as error:
            raise ModelError(
                f"language models need the package {name!r}, which is not installed",
                where="model",
                value=path.name,
                hint="Install it: pip install 'aegis_ros[llm]'",
                rule=Rule.MODEL_FILE,
            ) from error


def _context(text: str) -> int:
    """Return the longest sequence that a config.json states, 0 for none."""
    if not text:
        return 0
    found = _mapping(text, "config.json")
    decoder = found.get("text_config")  # of a model that also takes images
    for each in (found, decoder if isinstance(decoder, dict) else {}):
        stated = each.get("max_position_embeddings", 0)
        if isinstance(stated, int) and stated > 0:
            return stated
    return 0


def _template(uri: str, roots: Sequence[str]) -> str:
    """Return the chat template that has a file of its own; empty where there is none."""
    text = text_beside(uri, roots, "chat_template.jinja", _MOST_CONFIG)
    if text:
        return text
    name = "chat_template.json"
    text = text_beside(uri, roots, name, _MOST_CONFIG)
    template = _mapping(text, name).get("chat_template") if text else ""
    return template if isinstance(template, str) else ""


def _mapping(text: str, where: str) -> Mapping[str, Any]:
    try:
        found = read_json(text, where, any_number=True)
    except ConfigError as error:
        raise ModelError("not a mapping in JSON", where=where) from error
    if not isinstance(found, dict):
        raise ModelError("not a mapping in JSON", where=where)
    return found
