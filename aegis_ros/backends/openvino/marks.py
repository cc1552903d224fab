"""Finds runs that OpenVINO gave up without a word.

A request that is run on the thread that calls it returns as usual where an operator has failed: the
outputs keep what an earlier frame made. Only a request that is started on a thread of OpenVINO's
own says so. What a run is to write is marked before therefore: a mark that is still there tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Made", "is_marked", "mark", "reason"]

# As float16 and float32 no number that is computed, as a bool neither true nor false.
_MARK = b"\xda\xff" * 4
_LEAST = 4  # bytes of whole numbers; fewer could be meant


class Made:
    """An output whose extents only a run shows, in memory that OpenVINO resizes.

    Args:
        tensor: makes a tensor of OpenVINO.
        request: whose output it is from now on.
        port: number of that output.
        largest: extents of what it usually is at most, for which it has memory from the start.
    """

    def __init__(self, tensor: Any, request: Any, port: int, largest: Sequence[int]) -> None:
        """Bind it."""
        axes = max(1, len(largest))
        self._marked_shape = [1] * (axes - 1) + [len(_MARK)]  # a whole mark, and never nothing
        self._tensor = tensor(request.model_outputs[port].get_element_type(), list(largest))
        self._tensor.shape = [0] * axes  # which suits every output; its memory stays
        request.set_output_tensor(port, self._tensor)

    def mark(self) -> None:
        """Mark it before a run."""
        self._tensor.shape = self._marked_shape
        mark(self._tensor.data)

    @property
    def is_marked(self) -> bool:
        """Whether no run has written it since."""
        values = self.data
        return list(values.shape) == self._marked_shape and is_marked([_beginning(values)])

    @property
    def data(self) -> npt.NDArray[np.generic]:
        """What the last run made."""
        values: npt.NDArray[np.generic] = self._tensor.data
        return values


def mark(output: npt.NDArray[np.generic]) -> memoryview | None:
    """Mark what a run will write; return where, or ``None`` where a result could look the same."""
    beginning = _beginning(output)
    if len(beginning) < _LEAST and output.dtype.kind in "iu":
        return None
    beginning[:] = _MARK[: len(beginning)]
    return beginning


def is_marked(beginnings: Iterable[memoryview | None]) -> bool:
    """Return whether one of the marks is still there."""
    return any(each is not None and each == _MARK[: len(each)] and len(each) for each in beginnings)


def reason(request: Any) -> str:
    """Return why a run was given up: of another one, on a thread that says so."""
    try:
        request.start_async()
        request.wait()
    except Exception as error:  # its exceptions have no common type
        # What an engine has no use for.
        from aegis_ros.backends.openvino.refusals import openvino_text

        return openvino_text(error)
    return "OpenVINO gave up the run"


def _beginning(output: npt.NDArray[np.generic]) -> memoryview:
    values = output.reshape(-1)[: len(_MARK)]
    return values.view(np.uint8).data[: len(_MARK)]
