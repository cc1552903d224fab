"""Passes the tensors on as they are."""

from __future__ import annotations

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.results import RawTensors

__all__ = ["RawDecoder"]


class RawDecoder:
    """Passes the tensors on; fits every network."""

    OPTIONS = Options

    def __init__(self, context: DecoderContext) -> None:
        """Accept no options."""
        parse(Options, context.options)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> RawTensors:
        """Return the outputs themselves."""
        return RawTensors(outputs)
