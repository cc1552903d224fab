"""A distance for every pixel, from one camera."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.options import TensorName
from aegis_ros.decoders.overlay import lay
from aegis_ros.decoders.results import DepthMap
from aegis_ros.errors import ConfigError, DecodeError

__all__ = ["DepthDecoder", "DepthOptions"]

_LARGEST = np.float32(1e30)  # infinities cannot be interpolated


class DepthOptions(Options):
    """Options of the ``depth`` decoder."""

    format: Literal["depth", "inverse"] = Field(
        "depth",
        description="what the network gives: `depth` grows with the distance, `inverse` (also "
        "disparity) falls with it",
    )
    scale: float = Field(
        1.0,
        gt=0.0,
        le=1e6,
        description="metres = value * scale + shift for `depth`, scale / (value + shift) for "
        "`inverse`; relative networks need your calibration",
    )
    shift: float = Field(0.0, ge=-1e6, le=1e6, description="see `scale`")
    min_m: float = Field(
        0.0, ge=0.0, le=1e6, description="pixels nearer than this are -inf (REP 118: too near)"
    )
    max_m: float = Field(
        1000.0, gt=0.0, le=1e6, description="pixels farther than this are inf (REP 118: too far)"
    )
    interpolation: Literal["linear", "nearest"] = Field(
        "linear",
        description="how the map is brought to the frame's size; `nearest` leaves no distances "
        "between a thing and what is behind it",
    )
    tensor: TensorName = ""


class DepthDecoder:
    """Reads [1, 1, h, w], [1, h, w] or [1, h, w, 1]."""

    OPTIONS = DepthOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(DepthOptions, context.options)
        if options.min_m >= options.max_m:
            raise ConfigError(
                "min_m is not less than max_m",
                where="output.options.min_m",
                value=options.min_m,
                expected=f"less than {options.max_m:g}",
            )
        info = pick(context, options.tensor, 0, (2, 3, 4))
        self._name = info.name
        self._shape: list[int | None] = [1, None, None]
        if len(info.shape) == 4:
            last = info.shape[1] != 1 and info.shape[3] == 1
            self._shape = [1, None, None, 1] if last else [1, 1, None, None]
            if not last and isinstance(info.shape[1], int) and info.shape[1] != 1:
                raise DecodeError(
                    f"output {info.name!r} of shape {list(info.shape)} is not one distance a pixel",
                    where="output.decoder",
                    expected="[1, 1, h, w], [1, h, w] or [1, h, w, 1]",
                )

    def decode(self, outputs: Outputs, frame: FrameInfo) -> DepthMap:
        """Return the distances of the source frame's pixels."""
        options = self._options
        values = take(outputs, self._name, self._shape)
        if not values.size:
            raise DecodeError(
                "the output is empty", where=f"outputs.{self._name}", value=list(values.shape)
            )
        height, width = values.shape[2:] if self._shape[1:2] == [1] else values.shape[1:3]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            bounded = np.clip(values.reshape(height, width), -_LARGEST, _LARGEST)
            laid = lay(bounded, frame, linear=options.interpolation == "linear")
            if options.format == "depth":
                metres = laid * np.float32(options.scale) + np.float32(options.shift)
            else:
                below = laid + np.float32(options.shift)
                # Behind infinity: where the inverse falls to 0, a thing is too far to see.
                metres = np.where(below > 0, np.float32(options.scale) / below, np.inf)
        metres = metres.astype(np.float32, copy=False)
        metres[metres < options.min_m] = -np.inf
        metres[metres > options.max_m] = np.inf
        return DepthMap(metres)
