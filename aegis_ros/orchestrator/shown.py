"""Where the images come from that the prompts of generators are about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.network.generator.vision.pixels import pixels_of
from aegis_ros.planning.generator_preparation import GeneratorCandidate

__all__ = ["Shown"]

Image = npt.NDArray[np.uint8]


class Shown:
    """Sources of images, by name of the generator. For any thread."""

    def __init__(self) -> None:
        """Know no source."""
        self._sources: dict[str, Callable[[], Image]] = {}

    def bring(self, name: str, newest: Callable[[], Image]) -> None:
        """Have images of a generator come from a source.

        Args:
            name: of the generator.
            newest: returns its newest image, uint8 [height, width, 3] in RGB, or raises an
                :class:`~aegis_ros.errors.InputError` that says why there is none.
        """
        self._sources[name] = newest

    def pixels(self, candidate: GeneratorCandidate) -> Image | None:
        """Return the newest image of a generator as its model takes it.

        Args:
            candidate: the generator.

        Returns:
            ``None`` where its prompts are about no image.

        Raises:
            InputError: there is none now, or it is none.
        """
        spec, facts = candidate.spec, candidate.prepared.facts
        if spec.image is None or facts.image is None:
            return None
        source = self._sources.get(spec.name)
        if source is None:
            raise InputError(
                "nothing brings images",
                where=spec.image.topic,
                expected="an image before the prompt",
            )
        return pixels_of(source(), facts.image)
