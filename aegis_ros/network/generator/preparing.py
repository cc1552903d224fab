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
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from aegis_ros.config import read_json, read_text
from aegis_ros.errors import BackendError, ConfigError, ModelError
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.locate import resolve_resource
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
    """

    tokenizer: str
    config: str = ""
    context: int = 0


@dataclass(frozen=True, slots=True)
class PreparedGenerator:
    """A language model that is ready to run.

    Attributes:
        key: names it among all: file, parts, precision, and what made it.
        facts: what is known of it.
        parts: its networks, in order of execution.
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
        text = _read(named, "--tokenizer", _MOST_TOKENIZER)
        beside = named.with_name("tokenizer_config.json")
        config = _read(beside, beside.name, _MOST_CONFIG) if beside.is_file() else ""
        return TokenizerFiles(text, config)
    tokenizer = "" if embedded else _beside(uri, roots, "tokenizer.json", _MOST_TOKENIZER)
    if not tokenizer:
        return None
    config = _beside(uri, roots, "tokenizer_config.json", _MOST_CONFIG)
    context = _context(_beside(uri, roots, "config.json", _MOST_CONFIG))
    return TokenizerFiles(tokenizer, config, context)


def prepare_generator(
    file: ModelFile,
    *,
    cache_dir: Path,
    tokenizer: TokenizerFiles | None = None,
    context: int = 0,
    parts: int = 1,
    precision: Precision = Precision.QUANTISED,
    timeout_s: float = 600.0,
) -> PreparedGenerator:
    """Validate a language model and write it as ONNX parts, unless that was done before.

    Args:
        file: a GGUF file or an ONNX export, already found to be allowed.
        cache_dir: where prepared models are kept.
        tokenizer: of the files beside it; a GGUF file has its own.
        context: longest sequence, tokens; 0 for the model's, or what is usual.
        parts: groups of layers that a step is cut into.
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
    for name, value, valid, expected in (
        ("parts", parts, parts >= 1, "at least 1"),
        ("context", context, context == 0 or context >= 2, "0, or at least 2 tokens"),
    ):
        if not valid:
            raise ConfigError("out of range", where=name, value=value, expected=expected)
    gguf = is_gguf(file)
    _require_libraries(file.path, gguf=gguf)
    named = {"version": _VERSION, "runtime": runtime_version(), **request}
    key = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]

    def build(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        facts = run_child(
            "aegis_ros.network.generator.conversion_child",
            {
                **request,
                "descriptor": file.descriptor,
                "name": file.path.name,
                "gguf": gguf,
                "folder": str(folder),
            },
            allowed=Containment(
                memory_bytes=memory_limit(_GROWTH * file.size), writes=(str(folder),)
            ),
            timeout_s=timeout_s,
            subject=file.path.name,
            descriptors=(file.descriptor,),
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


def _beside(uri: str, roots: Sequence[str], name: str, most_bytes: int) -> str:
    """Return the text of a file beside a model; empty where there is none."""
    scheme, found, path = uri.rpartition("://")
    sibling = f"{scheme}{found}{PurePosixPath(path).with_name(name)}"
    try:
        place = resolve_resource(sibling, roots)
    except ModelError:
        return ""
    return _read(place, name, most_bytes)


def _read(path: Path, where: str, most_bytes: int) -> str:
    try:
        return read_text(path, most_bytes=most_bytes)
    except ConfigError as error:
        raise ModelError(
            error.problem, where=where, value=path, expected=error.expected, hint=error.hint
        ) from error


def _context(text: str) -> int:
    """Return the longest sequence that a config.json states, 0 for none."""
    if not text:
        return 0
    try:
        found: Mapping[str, Any] = read_json(text, "config.json", any_number=True)
        stated = found.get("max_position_embeddings", 0)
    except (ConfigError, AttributeError) as error:
        raise ModelError("not a mapping in JSON", where="config.json") from error
    return stated if isinstance(stated, int) and stated > 0 else 0
