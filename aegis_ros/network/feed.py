"""What feeds an input of a network: before it is prepared, and after."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import FrameFormat, PreprocessSpec

__all__ = ["Bound", "Feed", "NetworkInput"]


@dataclass(frozen=True, slots=True)
class Feed:
    """What is to feed one input of a network.

    Attributes:
        preprocess: what lies between the frame and the input.
        max_shape: shape of the largest frame.
        name: the network's own name of the input; empty for its only one.
        batch: frames are stacks of crops, uint8 [N, h, w, 3] in the size of ``preprocess``; the
            network runs on as many as there are.
    """

    preprocess: PreprocessSpec
    max_shape: tuple[int, ...]
    name: str = ""
    batch: bool = False

    @property
    def format(self) -> FrameFormat:
        """Canonical format of the frames."""
        return FrameFormat.CROPS8 if self.batch else self.preprocess.frame_format

    @property
    def where(self) -> str:
        """Where it stands in a task, for errors; ends with a dot or is empty."""
        return f"inputs.{self.name}." if self.name else ""


@dataclass(frozen=True, slots=True)
class Bound:
    """An input whose extents are fixed, as far as they are known before a frame is there.

    Attributes:
        largest: shape of the largest frame.
        size: (height, width) that the network takes, for images.
        least: extents that a frame must have at least; empty where every frame fits.
        most: extents that a frame may have at most, 0 for as declared.
    """

    largest: tuple[int, ...]
    size: tuple[int, int] | None = None
    least: tuple[int, ...] = ()
    most: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """An input of a prepared network.

    Attributes:
        tensor: the tensor that frames are bound to; extents known only at run time are names.
        format: canonical format of the frames.
        max_shape: shape of the largest frame.
        name: the network's own name of the input; empty for its only one.
        least: extents that a frame must have at least; empty where every frame fits.
        most: extents that a frame may have at most, 0 for as declared.
    """

    tensor: TensorInfo
    format: FrameFormat
    max_shape: tuple[int, ...]
    name: str = ""
    least: tuple[int, ...] = ()
    most: tuple[int, ...] = ()

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Return whether a frame of this shape fits the network."""
        if not self.least:
            return True
        return len(shape) == len(self.least) and all(
            low <= extent and (not high or extent <= high)
            for extent, low, high in zip(shape, self.least, self.most, strict=True)
        )

    @property
    def dtype(self) -> str:
        """Numpy name of the element type."""
        return self.tensor.dtype
