"""Finds decoders by name: those of the house, and those others bring as entry points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis_ros.decoders.base import Decoder, DecoderContext, Options
from aegis_ros.errors import AegisError, DecodeError
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.plugins import Plugins
from aegis_ros.spec import PreprocessSpec

__all__ = ["create_decoder", "decoder_class", "decoder_names", "options_of"]

_OURS = {
    "raw": "raw:RawDecoder",
    "boxes": "boxes:BoxesDecoder",
    "boxes_3d": "boxes_3d:Boxes3DDecoder",
    "centerface": "centerface:CenterFaceDecoder",
    "centernet": "centernet:CenterNetDecoder",
    "centerpoint": "centerpoint:CenterPointDecoder",
    "depth": "depth:DepthDecoder",
    "embedding": "embedding:EmbeddingDecoder",
    "instances": "instances:InstancesDecoder",
    "oriented": "oriented:OrientedDecoder",
    "anchors_3d": "anchors_3d:Anchors3DDecoder",
    "keypoints": "keypoints:KeypointsDecoder",
    "single_pose": "single_pose:SinglePoseDecoder",
    "detections": "detections:DetectionsDecoder",
    "detr": "detr:DetrDecoder",
    "fastestdet": "fastestdet:FastestDetDecoder",
    "nanodet": "nanodet:NanoDetDecoder",
    "classification": "classification:ClassificationDecoder",
    "segmentation": "segmentation:SegmentationDecoder",
    "text_regions": "text_regions:TextRegionsDecoder",
    "text": "text:TextDecoder",
    "bev_obstacles": "obstacles:ObstaclesDecoder",
}
_DECODERS = Plugins(
    "decoder",
    "aegis_ros.decoders",
    "output.decoder",
    {name: f"aegis_ros.decoders.{target}" for name, target in _OURS.items()},
)


def decoder_names() -> tuple[str, ...]:
    """Return the names of all decoders, sorted."""
    return _DECODERS.names()


def decoder_class(name: str) -> Any:
    """Return what makes a decoder: its class, or another factory.

    Raises:
        ConfigError: no such decoder.
    """
    return _DECODERS.load(name)


def options_of(name: str) -> type[Options] | None:
    """Return the options that a decoder declares in ``OPTIONS``; ``None`` where it declares none.

    Raises:
        ConfigError: no such decoder.
    """
    found = getattr(decoder_class(name), "OPTIONS", None)
    return found if isinstance(found, type) and issubclass(found, Options) else None


def create_decoder(
    name: str,
    options: Mapping[str, object],
    preprocess: PreprocessSpec,
    outputs: Sequence[TensorInfo],
    *,
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
    try:
        made: Decoder = decoder_class(name)(context)
        return made
    except AegisError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise DecodeError(
            f"the decoder could not be made ({type(error).__name__}: {error})",
            where="output.decoder",
            value=name,
        ) from error
