"""Messages that no driver should send, for a topic of images."""

from __future__ import annotations

import random
from collections.abc import Iterator

from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from benchmarks.stack.workload import FRAME

__all__ = ["malformed", "too_large"]

_HUGE = 2**31 - 1


def too_large() -> Image:
    """Return an image of twice the declared size, either way: the largest of these messages."""
    height, width = FRAME
    image = Image(height=2 * height, width=2 * width, encoding="rgb8", step=6 * width)
    image.header.frame_id = "malformed"
    image.data = bytes(12 * width * height)
    return image


def malformed(seed: int) -> Iterator[Image | bytes]:
    """Yield messages without end, as messages or as bytes on the wire; the same for a seed.

    Args:
        seed: of their order and their bytes.
    """
    chance = random.Random(seed)
    height, width = FRAME
    while True:
        image = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        image.header.frame_id = "malformed"
        match chance.randrange(7):
            case 0:  # fewer bytes than it says
                image.data = bytes(chance.randrange(3 * width * height))
            case 1:
                image.encoding = chance.choice(("rgb16", "", "32FC1", "x" * 4000))
                image.data = bytes(3 * width * height)
            case 2:
                image.height = image.width = image.step = _HUGE
                image.data = bytes(64)
            case 3:
                image = too_large()
            case 4:
                image.height = image.width = image.step = 0
            case 5:
                image.data = bytes(3 * width * height)
                whole = serialize_message(image)
                yield whole[: chance.randrange(4, 200)]
                continue
            case _:
                yield b"\x00\x01\x00\x00" + chance.randbytes(chance.randrange(300))
                continue
        yield image
