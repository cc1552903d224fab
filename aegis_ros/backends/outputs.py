"""The arrays that outputs are written to, those of unknown extents among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.errors import BackendError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["copy_to_front", "output_arrays"]


def output_arrays(compiled: CompiledNetwork) -> list[npt.NDArray[np.generic]]:
    """Return an array for each output; that of a dynamic one is flat, with room to spare."""
    return [
        np.empty(max(1, item.nbytes // np.dtype(item.dtype).itemsize) * 2 + 16384, item.dtype)
        if item.name in compiled.dynamic_outputs  # for those with a bound that is enough, too
        else np.empty(tuple(int(extent) for extent in item.shape), item.dtype)
        for item in compiled.outputs
    ]


def copy_to_front(
    info: TensorInfo, value: npt.NDArray[np.generic], output: npt.NDArray[np.generic]
) -> tuple[int, ...]:
    """Copy what is kept of a value; return the extents that the value had.

    Args:
        info: of the output.
        value: what a run made.
        output: flat, with as many elements as there is room for.

    Raises:
        BackendError: there is not enough room.
    """
    found = tuple(value.shape)
    shape = info.kept(found)
    if shape != found:
        value = value[tuple(slice(extent) for extent in shape)]
    if value.size > output.size:
        raise BackendError(
            f"output {info.name!r} is larger than its slot",
            value=shape,
            expected=f"at most {output.size} elements",
            hint="Give the network outputs of bounded extents",
        )
    output.reshape(-1)[: value.size] = value.reshape(-1)
    return found
