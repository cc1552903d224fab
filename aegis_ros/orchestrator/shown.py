"""Where the images come from that the prompts of generators are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import ConfigError, InputError
from aegis_ros.network.generator.vision.pixels import pixels_of
from aegis_ros.planning.generator_preparation import GeneratorCandidate

__all__ = ["Picture", "Shown", "fitted", "require_images"]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that a prompt may be about.

    Attributes:
        pixels: uint8 [height, width, 3] in RGB.
        stamp_ns: when it was taken, as it says itself; since 1970.
        frame_id: where it was taken, as it says itself.
        number: of the images of its topic, counted as they come; 0 for one without a topic.
    """

    pixels: npt.NDArray[np.uint8]
    stamp_ns: int = 0
    frame_id: str = ""
    number: int = 0

    def without_pixels(self) -> Picture:
        """Return what is to be kept for as long as the answer is awaited."""
        return replace(self, pixels=np.empty((0, 0, 3), np.uint8))


class Shown:
    """Sources of images, by generator and topic. For any thread."""

    def __init__(self) -> None:
        """Know no source."""
        self._sources: dict[tuple[str, str], Callable[[], Picture]] = {}

    def bring(self, name: str, topic: str, newest: Callable[[], Picture]) -> None:
        """Have images of a generator come from a source.

        Args:
            name: of the generator.
            topic: as prompts name it.
            newest: returns the newest image of the topic, or raises an
                :class:`~aegis_ros.errors.InputError` that says why there is none.
        """
        self._sources[name, topic] = newest

    def newest(self, candidate: GeneratorCandidate, topic: str = "") -> Picture | None:
        """Return the newest image of a topic, its pixels as the model takes them.

        Args:
            candidate: the generator.
            topic: one of its topics, as it is declared or as it is resolved; empty for that which
                prompts are about that do not say.

        Returns:
            ``None`` where prompts that do not say are about no image.

        Raises:
            ConfigError: the generator takes no images, or none of this topic.
            InputError: there is none now, or it is none.
        """
        image = candidate.spec.image
        named = topic or (image.topic if image is not None else "")
        if not named:
            return None
        if topic:
            require_images(candidate, "image_topic")
        source = self._sources.get((candidate.spec.name, named))
        if source is not None:
            return fitted(candidate, source())
        if image is None or named in image.topics:
            raise InputError(
                "nothing brings images", where=named, expected="an image before the prompt"
            )
        raise ConfigError(
            "the generator takes no images from this topic",
            where="image_topic",
            value=topic,
            expected="one of " + ", ".join(image.topics) if image.topics else "an attached image",
            hint="List it in image.others of the generator",
        )


def require_images(candidate: GeneratorCandidate, field: str) -> None:
    """Refuse to show images to a generator that takes none.

    Args:
        candidate: the generator.
        field: that has an image in it, or names one.

    Raises:
        ConfigError: its model has no encoder of images, or that was not asked for.
    """
    spec = candidate.spec
    if candidate.prepared.facts.image is None:
        raise ConfigError(
            f"the model of {spec.name} takes no images", where=field, expected="a prompt of text"
        )
    if spec.image is None:
        raise ConfigError(
            f"{spec.name} takes no images",
            where=field,
            expected="a prompt of text",
            hint="Give the generator the key image, so that the encoder of its model is loaded",
        )


def fitted(candidate: GeneratorCandidate, picture: Picture) -> Picture:
    """Return a picture with its pixels as the model takes them.

    Raises:
        InputError: it is no image in colour.
    """
    facts = candidate.prepared.facts.image
    assert facts is not None  # of one that was admitted with `image`
    return replace(picture, pixels=pixels_of(picture.pixels, facts))
