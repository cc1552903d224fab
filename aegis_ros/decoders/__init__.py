"""Decoders: from a network's tensors to boxes, masks, text and distances in the source frame."""

from aegis_ros.decoders.as_json import to_json
from aegis_ros.decoders.base import Decoder, DecoderContext, DecoderFactory
from aegis_ros.decoders.chaining import box_decoders, finds_boxes
from aegis_ros.decoders.crops import decode_crops, in_frame
from aegis_ros.decoders.drawing import draw
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.reading import outputs_read
from aegis_ros.decoders.registry import create_decoder, decoder_names, options_of
from aegis_ros.decoders.results import (
    Boxes3D,
    Classification,
    CropResults,
    Decoded,
    DepthMap,
    Detections,
    Embedding,
    Obstacles,
    RawTensors,
    SegmentationMask,
    TextRegions,
)

__all__ = [
    "Boxes3D",
    "Classification",
    "CropResults",
    "Decoded",
    "Decoder",
    "DecoderContext",
    "DecoderFactory",
    "DepthMap",
    "Detections",
    "Embedding",
    "FrameInfo",
    "Obstacles",
    "RawTensors",
    "SegmentationMask",
    "TextRegions",
    "box_decoders",
    "create_decoder",
    "decode_crops",
    "decoder_names",
    "draw",
    "finds_boxes",
    "in_frame",
    "options_of",
    "outputs_read",
    "to_json",
]
