"""Compressed images: what a publisher of a camera topic can send."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import CompressedImageView, HeaderView
from aegis_ros.nodes.compressed import decode_compressed, write_decoded
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, Limits, Target, Try, answered

__all__ = ["TARGET"]

_LARGEST = (720, 1280)
_MOST_BYTES = 2 * _LARGEST[0] * _LARGEST[1] * 3 + MIB
_FIELD = Path(__file__).parents[2] / "field"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MARKERS = (b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xd8", b"\xff\xd9", b"\xff\xda",
            b"\xff\xdb", b"\xff\xdd", b"\xff\xd0", b"\xff\xff", b"\xff\x00", b"\xff\xe1",
            b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"IEND", b"acTL", b"fdAT", b"iCCP",
            _SIGNATURE)  # fmt: skip


def _seeds() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(_LARGEST[0]), np.arange(_LARGEST[1])).astype(np.uint8)
    large = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])
    small = rng.integers(0, 255, (48, 64, 3), np.uint8)
    jpeg = ".jpg"
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    whole_color = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    made = [
        _encoded(".png", small),
        _encoded(".png", small[:, :, 0]),
        _encoded(".png", np.dstack([small, small[:, :, :1]])),
        _encoded(".png", small.astype(np.uint16) * 257),
        _encoded(".png", small[:, :, 0], [cv2.IMWRITE_PNG_BILEVEL, 1]),
        _encoded(jpeg, small),
        _encoded(jpeg, small[:, :, 0]),
        _encoded(jpeg, small, progressive),
        _encoded(jpeg, small, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
        _encoded(jpeg, small, [*whole_color, cv2.IMWRITE_JPEG_QUALITY, 100]),
        _encoded(".png", large),
        _encoded(jpeg, large),
        _encoded(jpeg, large, progressive),
        _encoded(jpeg, large, [*progressive, *whole_color]),
    ]
    cases = [path.read_bytes() for path in sorted(_FIELD.iterdir()) if path.suffix in _KINDS]
    return [*made, *cases, b"", _SIGNATURE, b"\xff\xd8\xff\xd9"]


_KINDS = (".png", ".jpg")


def _encoded(kind: str, pixels: np.ndarray, options: Sequence[int] = ()) -> bytes:
    good, data = cv2.imencode(kind, pixels, list(options))
    assert good
    return data.tobytes()


def _with_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of what they hold."""
    if not data.startswith(_SIGNATURE):
        return data
    made, position = bytearray(data), len(_SIGNATURE)
    while position + 12 <= len(made):
        (length,) = struct.unpack_from(">I", made, position)
        end = position + 8 + length
        if end + 4 > len(made):
            break
        struct.pack_into(">I", made, end, zlib.crc32(made[position + 4 : end]))
        position = end + 4
    return bytes(made)


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    slot = np.zeros((*_LARGEST, 3), np.uint8)
    header = HeaderView(1, 2, "camera")

    def work(data: bytes) -> bool:
        def decode() -> None:
            image = CompressedImageView(header, "jpeg", memoryview(data))
            pixels = decode_compressed(image, _LARGEST)
            height, width, _ = pixels.shape
            write_decoded(pixels, slot.reshape(-1)[: pixels.size].reshape(height, width, 3))

        return answered(decode, InputError)

    yield work


TARGET = Target(
    name="compressed",
    title="compressed images",
    seeds=_seeds,
    mutate=Mutator(_MARKERS, most_bytes=256 * 1024, mend=_with_checksums),
    opened=_opened,
    limits=Limits(seconds=0.05, memory_bytes=_MOST_BYTES),
    weight=11.0,
    brief=500,
)
