"""Which outputs a decoder reads, found out by having it decode nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.base import Decoder
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.network.tensor import TensorInfo

__all__ = ["outputs_read"]


class _Noting(Mapping[str, npt.NDArray[np.generic]]):
    """Outputs that are all 0, and the names of those that were asked for."""

    def __init__(self, outputs: Sequence[TensorInfo]) -> None:
        self._outputs = {item.name: item for item in outputs}
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        item = self._outputs[name]
        if name not in self.asked:
            self.asked.append(name)
        return np.zeros(tuple(int(extent) for extent in item.shape), item.dtype)

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


def outputs_read(
    decoder: Decoder, outputs: Sequence[TensorInfo], frame: FrameInfo
) -> tuple[str, ...]:
    """Return the names of the outputs a decoder asks for, in that order.

    Args:
        decoder: made for these outputs.
        outputs: of the network, all extents bound.
        frame: any frame it may be given.
    """
    noting = _Noting(outputs)
    with suppress(Exception):  # a plug-in may raise anything at outputs that mean nothing
        decoder.decode(noting, frame)
    return tuple(noting.asked)
