"""Runs the parts of a vision encoder: from the pixels of an image to its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import BackendError, InputError, load_error
from aegis_ros.network.generator.sessions import opened_sessions
from aegis_ros.network.generator.vision.facts import ImageFacts
from aegis_ros.network.generator.vision.names import PIXELS, ROWS
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["Encoder"]


class Encoder:
    """An encoder for one image at a time.

    Args:
        facts: of the images.
        paths: its parts, in order of execution.

    Raises:
        BackendError: ONNX Runtime refuses a part.
    """

    def __init__(self, facts: ImageFacts, paths: Sequence[str]) -> None:
        """Load the parts, and take the memory of pixels and rows."""
        self._sessions = opened_sessions(paths)
        self._inputs = [[item.name for item in each.get_inputs()] for each in self._sessions]
        self._outputs = [[item.name for item in each.get_outputs()] for each in self._sessions]
        self._pixels = np.zeros(facts.shape, np.uint8)
        self._rows = np.zeros((facts.rows, facts.width), facts.dtype)
        self._values: dict[str, Any] = {}

    @property
    def parts(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        """Return the rows of an image, valid until the next one."""
        self.begin(pixels)
        for part in range(self.parts):
            self.run(part)
        return self.end()

    def begin(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Begin with an image.

        Raises:
            InputError: it has another size.
        """
        if pixels.shape != self._pixels.shape or pixels.dtype != np.uint8:
            raise InputError(
                "the image is not as the encoder takes it",
                where="image",
                value=f"{pixels.dtype} {list(pixels.shape)}",
                expected=f"uint8 {list(self._pixels.shape)}",
            )
        self._values.clear()
        self._pixels[...] = pixels

    def run(self, part: int) -> None:
        """Run a part of the image that has begun; the parts one after the other.

        Raises:
            BackendError: the runtime fails.
        """
        session = self._sessions[part]
        try:
            binding = session.io_binding()
            for name in self._inputs[part]:
                if name == PIXELS:
                    pixels = self._pixels
                    address = pixels.ctypes.data
                    binding.bind_input(name, "cpu", 0, np.uint8, pixels.shape, address)
                else:
                    binding.bind_ortvalue_input(name, self._values[name])
            for name in self._outputs[part]:
                if name == ROWS:
                    rows = self._rows
                    binding.bind_output(name, "cpu", 0, rows.dtype, rows.shape, rows.ctypes.data)
                else:
                    binding.bind_output(name, "cpu")
            session.run_with_iobinding(binding)
            for name, value in zip(self._outputs[part], binding.get_outputs(), strict=True):
                self._values[name] = value
        except Exception as error:  # its exceptions have no common type
            raise load_error(runtime_failure(error), BackendError) from error

    def end(self) -> npt.NDArray[np.generic]:
        """Return the rows of the image that has begun, valid until the next one."""
        self._values.clear()
        return self._rows
