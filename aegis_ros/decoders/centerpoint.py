"""Boxes in space of CenterPoint: peaks of a bird's-eye view, and what each cell says of its box."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.heads import named_heads
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, Threshold
from aegis_ros.decoders.peaks import peaks
from aegis_ros.decoders.results import Boxes3D
from aegis_ros.decoders.scores import sigmoid
from aegis_ros.decoders.space import choose_3d
from aegis_ros.errors import DecodeError

__all__ = ["CenterPointDecoder", "CenterPointOptions"]

# Each head with its channels and the words that its output may be called by, in the usual order.
_HEADS = {
    "heatmap": (None, ("heat", "hm")),
    "offset": (2, ("reg", "offset", "center_", "centre_")),
    "z": (1, ("height", "center_z", "z")),
    "size": (3, ("dim", "size")),
    "rotation": (2, ("rot",)),
    "velocity": (2, ("vel",)),
}


class CenterPointOptions(Options):
    """Options of the ``centerpoint`` decoder."""

    origin_m: tuple[float, float] = Field(
        description="x and y of the corner of cell (0, 0): the least of the network's point range"
    )
    cell_m: tuple[
        Annotated[float, Field(gt=0.0, le=100.0)], Annotated[float, Field(gt=0.0, le=100.0)]
    ] = Field(description="extent of a cell along x and y: size of a voxel times the stride")
    threshold: Threshold = 0.35
    min_distance_m: float = Field(
        0.5,
        ge=0.0,
        le=100.0,
        description="of boxes of one class whose centres are closer, the lesser goes",
    )
    max_boxes: int = Field(200, ge=1, le=1000, description="largest number of boxes")
    labels: Labels = ""
    sigmoid: bool = Field(True, description="the heat map holds logits")
    size_order: Literal["lwh", "wlh"] = Field(
        "lwh", description="order of length, width and height; `wlh` for Autoware's networks"
    )
    log_size: bool = Field(True, description="sizes are logarithms")
    heads: Annotated[dict[str, str], Shown("by their names, else in this order")] = Field(
        default_factory=dict,
        max_length=6,
        description="output of each head: `heatmap`, `offset`, `z`, `size`, `rotation` (sine and "
        "cosine) and, where there is one, `velocity`",
    )


class CenterPointDecoder:
    """Reads heat map [1, C, Y, X] and heads of the same extents."""

    OPTIONS = CenterPointOptions

    def __init__(self, context: DecoderContext) -> None:
        """Find the heads and check the options against them."""
        self._options = options = parse(CenterPointOptions, context.options)
        self._names = named_heads(
            context,
            {head: words for head, (_, words) in _HEADS.items()},
            options.heads,
            least=5,
            network="CenterPoint",
            expected="heatmap, offset, z, size, rotation and perhaps velocity",
        )
        count: int | None = None
        for head, (channels, _) in _HEADS.items():
            if head == "velocity" and head not in self._names:
                continue
            info = pick(context, self._names.get(head, ""), len(context.outputs), (4,))
            have = info.shape[1] if isinstance(info.shape[1], int) else None
            count = have if head == "heatmap" else count
            if have is not None and channels is not None and have != channels:
                raise DecodeError(
                    f"output {info.name!r} of shape {list(info.shape)} has {have} channels",
                    where=f"output.options.heads.{head}",
                    value=info.name,
                    expected=f"{channels} for {head}",
                    hint="Name the output of each head in output.options.heads",
                )
        self._labels = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Boxes3D:
        """Return the boxes in metres of the sensor's frame."""
        options = self._options
        heat = take(outputs, self._names["heatmap"], [1, None, None, None])[0]
        heads = {
            head: take(outputs, name, [1, _HEADS[head][0], *heat.shape[1:]])[0]
            for head, name in self._names.items()
            if head != "heatmap"
        }
        scores = sigmoid(heat) if options.sigmoid else heat
        classes, rows, columns, best = peaks(scores, options.threshold)
        found = {head: values[:, rows, columns].T for head, values in heads.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            cells = np.stack([columns, rows], axis=1) + found["offset"]
            place = cells * np.asarray(options.cell_m) + np.asarray(options.origin_m)
            size = found["size"]
            if options.log_size:
                size = np.exp(np.clip(size, -20.0, 20.0))
            if options.size_order == "wlh":
                size = size[:, [1, 0, 2]]
            yaw = np.arctan2(found["rotation"][:, :1], found["rotation"][:, 1:])
            boxes = np.concatenate([place, found["z"], size, yaw], axis=1).astype(np.float32)
        return choose_3d(
            boxes,
            best,
            classes,
            found.get("velocity"),
            names=self._labels,
            threshold=options.threshold,
            min_distance_m=options.min_distance_m,
            limit=options.max_boxes,
        )
