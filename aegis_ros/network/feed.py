"""What feeds an input of a network: before it is prepared, and after."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import FrameFormat, PreprocessSpec

__all__ = ["Feed", "NetworkInput"]


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
class NetworkInput:
    """An input of a prepared network.

    Attributes:
        tensor: the tensor that frames are bound to; extents known only at run time are names.
        format: canonical format of the frames.
        max_shape: shape of the largest frame.
        name: the network's own name of the input; empty for its only one.
    """

    tensor: TensorInfo
    format: FrameFormat
    max_shape: tuple[int, ...]
    name: str = ""

    @property
    def dtype(self) -> str:
        """Numpy name of the element type."""
        return self.tensor.dtype
