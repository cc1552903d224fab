"""The work of the child process that makes a language model ready."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.exported import exported
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.graph import transformer
from aegis_ros.network.generator.vision.building import SHOWN, image_facts, require_tokens, seen
from aegis_ros.network.generator.vocabulary import Vocabulary, of_gguf, of_json
from aegis_ros.network.graph import read_graph
from aegis_ros.rationale.loading import FileChanged

__all__ = ["answer"]

_MOST_CONTEXT = 1 << 22
_USUAL_CONTEXT = 2048  # of which the cache of a small model takes about as much as its weights
_PART_BYTES = 2 * 1024**3 - 1  # of a message of protocol buffers


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the parts and the tokens of a model into a folder; return its facts.

    Raises:
        ModelError: the file is no language model that can be run.
    """
    folder, own = Path(request["folder"]), request["tokenizer"]
    if request["gguf"]:
        facts, parts, vocabulary = _of_gguf(request, own)
    else:
        facts, parts, vocabulary = _of_onnx(request, own)
    paths = [folder / f"{number}.onnx" for number in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        if part.ByteSize() > _PART_BYTES:
            raise ModelError(
                "a part of the model is larger than an ONNX file can be",
                where="parts",
                value=len(parts) - 1,
                expected="more parts",
                hint="Cut it into more parts with --parts",
            )
        onnx.save_model(part, str(path))
    (folder / "tokenizer.json").write_text(vocabulary.tokenizer, encoding="utf-8")
    (folder / "pieces.json").write_text(
        json.dumps([piece.decode("latin-1") for piece in vocabulary.pieces]), encoding="utf-8"
    )
    _try(facts, paths)
    return {"facts": asdict(facts), "parts": len(paths)}


def _of_gguf(
    request: Mapping[str, Any], own: Mapping[str, str] | None
) -> tuple[GeneratorFacts, Sequence[onnx.ModelProto], Vocabulary]:
    file = GgufFile(request["descriptor"])
    architecture = file.text("general.architecture")
    stated = file.integer(f"{architecture}.context_length", 1, _MOST_CONTEXT, _MOST_CONTEXT)
    context = _context(request["context"], stated, f"{architecture}.context_length")
    built = transformer(file, context=context, precision=Precision(request["precision"]))
    if own is None:
        vocabulary = of_gguf(file, built.vocabulary)
    else:
        vocabulary = of_json(own["tokenizer"], own["config"], built.vocabulary)
    _require_unchanged(request)
    groups = request["parts"]
    facts = GeneratorFacts(
        layers=built.layers,
        kv_heads=built.kv_heads,
        head_dim=built.head_dim,
        vocabulary=built.vocabulary,
        context=context,
        kv_dtype="float32",
        grows=False,
        cached_by=groups,
        **_of_tokens(vocabulary),
    )
    return facts, built.parts(groups), vocabulary


def _of_onnx(
    request: Mapping[str, Any], own: Mapping[str, str] | None
) -> tuple[GeneratorFacts, Sequence[onnx.ModelProto], Vocabulary]:
    name, folder = str(request["name"]), Path(request["folder"])
    model = read_graph(request["descriptor"], request["digest"], Path(name))
    vision, seeing = request.get("vision"), None
    if vision is None:
        require_tokens(model)
    else:
        seeing = seen(model, vision, request["image_parts"], folder)
        model = seeing.decoder
    found = exported(model, folder, request["parts"], () if seeing is None else SHOWN)
    if own is None:
        raise ModelError(
            "an ONNX file holds no tokenizer, and none lies beside it",
            where="tokenizer",
            expected="a tokenizer.json beside the model",
            hint="Copy the tokenizer.json of the model there, or name one with --tokenizer",
        )
    vocabulary = of_json(own["tokenizer"], own["config"], found.vocabulary)
    if not vocabulary.template:
        vocabulary = replace(vocabulary, template=str(request.get("template", "")))
    stated = int(request["stated_context"]) or _MOST_CONTEXT
    context = _context(request["context"], stated, "config.json: max_position_embeddings")
    facts = GeneratorFacts(
        layers=found.layers,
        kv_heads=found.kv_heads,
        head_dim=found.head_dim,
        vocabulary=found.vocabulary,
        context=context,
        kv_dtype=found.kv_dtype,
        grows=True,
        cached_by=found.cached_by,
        image=None if seeing is None else image_facts(seeing, vocabulary, context),
        **_of_tokens(vocabulary),
    )
    return facts, [*found.parts, *(() if seeing is None else seeing.encoder)], vocabulary


def _of_tokens(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "ends": vocabulary.ends,
        "begin": vocabulary.begin,
        "begin_text": vocabulary.begin_text,
        "end_text": vocabulary.end_text,
        "template": vocabulary.template,
    }


def _context(asked: int, stated: int, where: str) -> int:
    """Return the longest sequence: as asked for, or as usual where nobody asked."""
    if asked > stated:
        raise ModelError(
            "the context is longer than the model's",
            where="context",
            value=f"{asked:,} tokens",
            expected=f"at most {stated:,} tokens ({where})",
            hint="Ask for less: the model was not trained beyond that",
        )
    return asked or min(stated, _USUAL_CONTEXT)


def _require_unchanged(request: Mapping[str, Any]) -> None:
    """Refuse a file that is not, after it was read, what it was when it was hashed."""
    digest = hashlib.sha256()
    at = 0
    while chunk := os.pread(request["descriptor"], 1 << 20, at):
        digest.update(chunk)
        at += len(chunk)
    if digest.hexdigest() != request["digest"]:
        raise load_error(FileChanged(), ModelError, request["name"])


def _try(facts: GeneratorFacts, paths: Sequence[Path]) -> None:
    """Run a chunk and a token, as the answers to come will."""
    decoder = Decoder(facts, [str(path) for path in paths], context=min(8, facts.context))
    if facts.image is not None and decoder.encoder is not None:
        decoder.show(decoder.encoder.encode(np.zeros(facts.image.shape, np.uint8)), slot=0)
    if facts.context > 2:
        decoder.prefill([0, 0], slot=0)
    logits = decoder.decode([0], slot=0)
    if not np.isfinite(logits).all():
        raise ModelError(
            "the model computes logits that are no finite numbers",
            where="model",
            hint="Convert the model again, in float32",
        )
