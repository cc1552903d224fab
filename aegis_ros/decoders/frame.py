"""Where a result lies in the frame it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.network.geometry import centred, letterbox
from aegis_ros.spec import PreprocessSpec, ResizeMode

__all__ = ["FrameInfo"]


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """Sizes of the source frame and of the network's input, with the way between them.

    Attributes:
        height: rows of the source frame (number of points or ranges for lidar).
        width: columns of the source frame (1 for ranges, 4 for points).
        input_height: rows of the network's input.
        input_width: columns of the network's input.
        resize: how the frame was brought to the network's size.
    """

    height: int
    width: int
    input_height: int
    input_width: int
    resize: ResizeMode = ResizeMode.STRETCH

    @classmethod
    def of(cls, shape: tuple[int, ...], preprocess: PreprocessSpec) -> FrameInfo:
        """Return the info of a canonical frame of this shape under this preprocessing."""
        height, width = shape[0], shape[1] if len(shape) > 1 else 1
        if preprocess.size is None or preprocess.resize is ResizeMode.NONE:
            return cls(height, width, height, width, ResizeMode.NONE)
        return cls(height, width, *preprocess.size, preprocess.resize)

    @property
    def inner(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of the frame inside the network's input, pixels.

        Top and left are negative where the input is the middle of a larger frame.
        """
        if self.resize in (ResizeMode.CROP, ResizeMode.PAD):
            size = (self.input_height, self.input_width)
            return *centred((self.height, self.width), size), self.height, self.width
        if self.resize is not ResizeMode.LETTERBOX:
            return 0, 0, self.input_height, self.input_width
        box = letterbox((self.height, self.width), (self.input_height, self.input_width))
        return box.top, box.left, box.inner_height, box.inner_width

    def to_source(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Map x, y pairs from the network's input to the source frame, inside its bounds.

        Args:
            points: [..., 2] x and y in pixels of the input; pixel edges are integers.

        Returns:
            float32 [..., 2] in pixels of the source frame.
        """
        top, left, inner_height, inner_width = self.inner
        scale = np.asarray([self.width / inner_width, self.height / inner_height])
        limit = np.asarray([self.width, self.height], np.float64)
        mapped = (np.asarray(points, np.float64) - np.asarray([left, top])) * scale
        return np.asarray(np.clip(mapped, 0.0, limit), np.float32)
