"""What is known of a tensor before it exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["DTYPE_OF_ONNX", "TensorInfo"]

# numpy names of the element types ONNX Runtime tells.
DTYPE_OF_ONNX = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, element type and extent of a tensor.

    Attributes:
        name: name in the graph.
        dtype: numpy name of the element type.
        shape: extents; a string names a dimension known only at run time.
        rows_axis: axis whose extent each run decides by what it finds; its extent in ``shape`` is
            the most that is kept. -1 for none.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    rows_axis: int = -1

    @property
    def static(self) -> bool:
        """Whether every extent is known."""
        return all(isinstance(extent, int) for extent in self.shape)

    def kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the extents that are kept of a tensor of this shape."""
        axis = self.rows_axis
        if not 0 <= axis < len(shape) == len(self.shape):
            return shape
        return (*shape[:axis], min(shape[axis], int(self.shape[axis])), *shape[axis + 1 :])

    @property
    def nbytes(self) -> int:
        """Size in bytes when static.

        Raises:
            ValueError: an extent is unknown.
        """
        count = 1
        for extent in self.shape:
            if not isinstance(extent, int):
                raise ValueError(f"{self.name}: extent {extent!r} is not known")
            count *= extent
        return count * np.dtype(self.dtype).itemsize
