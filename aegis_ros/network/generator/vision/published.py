"""Finds the files of a vision-language model beside its decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.beside import addresses, text_beside
from aegis_ros.network.locate import open_model, resolve_resource
from aegis_ros.network.model_file import ModelFile

__all__ = ["DECODER", "EMBEDDING", "ENCODER", "VisionFiles", "vision_of"]

ENCODER, EMBEDDING, DECODER = "vision_encoder", "embed_tokens", "decoder_model_merged"
_MOST_CONFIG = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class VisionFiles:
    """What is published beside the decoder of a vision-language model.

    Attributes:
        encoder: from pixels to rows, the projector included.
        embedding: from tokens to what the decoder takes.
        config, preprocessor, processor: texts of the files of these names; may be empty.
    """

    encoder: ModelFile
    embedding: ModelFile
    config: str
    preprocessor: str
    processor: str

    @property
    def size(self) -> int:
        """Bytes of the two graphs."""
        return self.encoder.size + self.embedding.size

    @property
    def descriptors(self) -> tuple[int, int]:
        """Of the two graphs, for a child process to read."""
        return self.encoder.descriptor, self.embedding.descriptor

    def request(self) -> Mapping[str, Any]:
        """Return what a child process is told of them."""
        return self.identity() | {
            "descriptors": self.descriptors,
            "names": [self.encoder.path.name, self.embedding.path.name],
        }

    def identity(self) -> dict[str, Any]:
        """Return what names them among all: contents, not places."""
        return {
            "digests": [self.encoder.digest, self.embedding.digest],
            "config": self.config,
            "preprocessor": self.preprocessor,
            "processor": self.processor,
        }


@contextmanager
def vision_of(uri: str, roots: Sequence[str]) -> Iterator[VisionFiles | None]:
    """Yield the open files of a vision-language model; ``None`` where no encoder lies there.

    The encoder beside ``decoder_model_merged_q4.onnx`` is ``vision_encoder_q4.onnx``, or else
    ``vision_encoder.onnx``; and so with the embeddings.

    Args:
        uri: of the decoder.
        roots: folders that models may be loaded from.

    Raises:
        ModelError: the embeddings or a description is missing, or a file cannot be read.
    """
    encoder = _found(uri, roots, ENCODER)
    if encoder is None:
        yield None
        return
    embedding = _found(uri, roots, EMBEDDING)
    if embedding is None:
        raise _missing(f"{EMBEDDING}.onnx")
    config, preprocessor, processor = (
        text_beside(uri, roots, f"{name}.json", _MOST_CONFIG)
        for name in ("config", "preprocessor_config", "processor_config")
    )
    if not config:
        raise _missing("config.json")
    if not preprocessor and not processor:
        raise _missing("preprocessor_config.json")
    with ExitStack() as opened:
        first = opened.enter_context(open_model(encoder, roots))
        second = opened.enter_context(open_model(embedding, roots))
        yield VisionFiles(first, second, config, preprocessor, processor)


def _found(uri: str, roots: Sequence[str], name: str) -> str | None:
    """Return the address of a graph beside a decoder, of its own variant where there is one."""
    stem = PurePosixPath(uri.rpartition("://")[2]).stem
    variant = stem.removeprefix(DECODER) if stem.startswith(DECODER) else ""
    for each in dict.fromkeys((f"{name}{variant}.onnx", f"{name}.onnx")):
        address = addresses(uri, each)[0]
        try:
            resolve_resource(address, roots)
        except ModelError:
            continue
        return address
    return None


def _missing(name: str) -> ModelError:
    return ModelError(
        f"there is no {name} beside the model, though there is a {ENCODER}",
        where=name,
        expected=f"{ENCODER}.onnx, {EMBEDDING}.onnx, config.json and preprocessor_config.json "
        "beside the decoder",
        hint="Copy it there from where the model was published",
    )
