"""Builds the decoder and the image encoder of a vision-language model; runs in a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.generator.pieces import optimised_pieces
from aegis_ros.network.generator.vision.facts import ImageFacts
from aegis_ros.network.generator.vision.graphs import Numbers, embedded, encoder_of, numbers_of
from aegis_ros.network.generator.vision.names import PIXELS, ROW_OF_TOKEN, ROWS
from aegis_ros.network.generator.vision.published import DECODER, EMBEDDING, ENCODER
from aegis_ros.network.generator.vision.settings import ImageSettings, image_settings
from aegis_ros.network.generator.vocabulary import Vocabulary
from aegis_ros.network.graph import read_graph, tensor_infos
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["SHOWN", "Seeing", "image_facts", "require_tokens", "seen"]

SHOWN = (ROWS, ROW_OF_TOKEN)
"""Inputs of a decoder through which it is shown an image."""


@dataclass(frozen=True, slots=True)
class Seeing:
    """The graphs of a vision-language model.

    Attributes:
        decoder: takes tokens, and rows of an image.
        encoder: its parts, from pixels to rows.
        settings: how it takes images.
        rows: of one image.
        numbers: of a row.
    """

    decoder: onnx.ModelProto
    encoder: Sequence[onnx.ModelProto]
    settings: ImageSettings
    rows: int
    numbers: Numbers


def require_tokens(model: onnx.ModelProto) -> None:
    """Refuse a decoder that takes embeddings, of a model whose other files are not there.

    Raises:
        ModelError: says which files they are.
    """
    names = {item.name for item in tensor_infos(model.graph.input)}
    if "inputs_embeds" in names and "input_ids" not in names:
        raise ModelError(
            "the decoder takes embeddings, and what makes them is not there",
            where="model: inputs_embeds",
            expected=f"{ENCODER}.onnx and {EMBEDDING}.onnx beside {DECODER}.onnx",
            hint="Copy them there from where the model was published",
        )


def seen(decoder: onnx.ModelProto, vision: Mapping[str, Any], parts: int, folder: Path) -> Seeing:
    """Return the graphs of a vision-language model, built from its export.

    Args:
        decoder: of the export, checked.
        vision: the other files, as :meth:`VisionFiles.request` tells of them.
        parts: groups of layers that the encoder is cut into.
        folder: for files that are needed meanwhile.

    Raises:
        ModelError: something does not fit together; ``where`` names the file.
    """
    settings = image_settings(vision["config"], vision["preprocessor"], vision["processor"])
    numbers = numbers_of(decoder)
    encoder, embedding = (
        read_graph(descriptor, digest, Path(name))
        for descriptor, digest, name in zip(
            vision["descriptors"], vision["digests"], vision["names"], strict=True
        )
    )
    whole = encoder_of(encoder, settings, numbers)
    rows = _rows(whole, settings, numbers.width)
    return Seeing(
        embedded(decoder, embedding, rows, numbers),
        optimised_pieces(whole, folder, parts),
        settings,
        rows,
        numbers,
    )


def image_facts(seeing: Seeing, vocabulary: Vocabulary, context: int) -> ImageFacts:
    """Return what is known of the images, held to the tokens of the model.

    Raises:
        ModelError: a token is missing, or an image leaves no room for a prompt.
    """
    from tokenizers import Tokenizer

    settings, rows = seeing.settings, seeing.rows
    tokenizer = Tokenizer.from_str(vocabulary.tokenizer)
    text = tokenizer.id_to_token(settings.token)
    if not text or tokenizer.encode(text, add_special_tokens=False).ids != [settings.token]:
        raise ModelError(
            "the tokenizer has no token that stands for an image",
            where="tokenizer.json: added_tokens",
            value=None if text is None else f"{text!r} is several tokens",
            expected=f"token {settings.token}, as config.json says",
            hint="Use the tokenizer.json that the model was published with",
        )
    for around in (settings.before, settings.after):
        ids = tokenizer.encode(around, add_special_tokens=False).ids
        if len(ids) != around.count("<"):
            raise ModelError(
                "a token that stands around images is missing",
                where="tokenizer.json: added_tokens",
                expected=around,
                hint="Use the tokenizer.json that the model was published with",
            )
    if rows + 2 > context:
        raise ModelError(
            "the context has no room for an image",
            where="context",
            value=f"{context:,} tokens",
            expected=f"more than the {rows:,} tokens of an image, with its prompt and an answer",
            hint="Ask for more",
        )
    return ImageFacts(
        token=settings.token,
        text=text,
        before=settings.before,
        after=settings.after,
        rows=rows,
        width=seeing.numbers.width,
        dtype=seeing.numbers.dtype,
        height=settings.height,
        columns=settings.columns,
        crop=settings.crop,
        parts=len(seeing.encoder),
    )


def _rows(encoder: onnx.ModelProto, settings: ImageSettings, width: int) -> int:
    """Return how many rows an encoder makes of an image."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    image = np.zeros((settings.height, settings.columns, 3), np.uint8)
    try:
        session = onnxruntime.InferenceSession(
            encoder.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (found,) = session.run([ROWS], {PIXELS: image})
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), ModelError, ENCODER) from error
    if found.ndim != 2 or found.shape[1] != width:
        raise ModelError(
            "the vision encoder is not that of the decoder",
            where=f"{ENCODER}: image_features",
            value=f"rows of {found.shape[-1]} numbers",
            expected=f"rows of {width} numbers, as inputs_embeds of the decoder",
            hint="Use the three files of one export",
        )
    rows = int(found.shape[0])
    if settings.rows and rows != settings.rows:
        raise ModelError(
            "the vision encoder makes another number of rows than its files say",
            where="processor_config.json: image_seq_len",
            value=settings.rows,
            expected=f"{rows}",
            hint="Use the files of one export",
        )
    return rows
