"""Finds decoders by name: those of the house, and those others bring as entry points."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from aegis_ros.decoders.base import Decoder, DecoderContext, DecoderFactory
from aegis_ros.decoders.boxes import BoxesDecoder
from aegis_ros.decoders.centerface import CenterFaceDecoder
from aegis_ros.decoders.classification import ClassificationDecoder
from aegis_ros.decoders.obstacles import ObstaclesDecoder
from aegis_ros.decoders.raw import RawDecoder
from aegis_ros.decoders.segmentation import SegmentationDecoder
from aegis_ros.decoders.text import TextDecoder
from aegis_ros.decoders.text_regions import TextRegionsDecoder
from aegis_ros.errors import AegisError, ConfigError, DecodeError
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import PreprocessSpec

__all__ = ["ENTRY_POINT_GROUP", "create_decoder", "decoder_names"]

ENTRY_POINT_GROUP = "aegis_ros.decoders"

_BUILT_IN: Mapping[str, DecoderFactory] = {
    "raw": RawDecoder,
    "boxes": BoxesDecoder,
    "centerface": CenterFaceDecoder,
    "classification": ClassificationDecoder,
    "segmentation": SegmentationDecoder,
    "text_regions": TextRegionsDecoder,
    "text": TextDecoder,
    "bev_obstacles": ObstaclesDecoder,
}


def decoder_names() -> tuple[str, ...]:
    """Return the names of all decoders, sorted."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in _points())}))


def create_decoder(
    name: str,
    options: Mapping[str, object],
    preprocess: PreprocessSpec,
    outputs: Sequence[TensorInfo],
    metadata: Mapping[str, str] | None = None,
) -> Decoder:
    """Return a decoder whose options fit the network.

    Args:
        name: built-in name, or that of an entry point in group ``aegis_ros.decoders``.
        options: ``output.options`` of the task.
        preprocess: what lies in front of the network.
        outputs: the network's outputs.
        metadata: the ONNX file's own metadata.

    Raises:
        ConfigError: no such decoder, or an option that cannot be.
        DecodeError: the network's outputs are not what this decoder reads, or the decoder's own
            code failed.
    """
    context = DecoderContext(options, preprocess, tuple(outputs), metadata or {})
    factory = _BUILT_IN.get(name)
    try:
        if factory is None:
            point = next((point for point in _points() if point.name == name), None)
            if point is None:
                names = decoder_names()
                close = difflib.get_close_matches(name, names, 1)
                raise ConfigError(
                    "there is no such decoder",
                    where="output.decoder",
                    value=name,
                    expected="one of " + ", ".join(names),
                    hint=f"Did you mean {close[0]!r}?" if close else "",
                )
            factory = point.load()
        return factory(context)
    except AegisError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise DecodeError(
            f"the decoder could not be made ({type(error).__name__}: {error})",
            where="output.decoder",
            value=name,
        ) from error


@cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))
