"""Reads compressed images from topics, so that a few bytes cannot ask for gigabytes or seconds.

A decoder follows lengths, skips what it does not know and takes the last of two headers; whoever
checks only the first header checks another picture than the one that is decoded. Here the whole
structure is walked first, by PNG (ISO/IEC 15948) and JPEG (ITU-T T.81), and the decoder is handed
only the parts that were understood.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import CompressedImageView

__all__ = ["decode_compressed", "write_decoded"]

_Array = npt.NDArray[np.generic]
_PIXEL_BYTES = 3


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture that was walked from end to end.

    Attributes:
        size: height and width.
        data: what the decoder needs of it.
        beside_bytes: what the decoder takes beside the pixels, where that grows with them.
    """

    size: tuple[int, int]
    data: memoryview | bytes
    beside_bytes: int = 0


def decode_compressed(
    image: CompressedImageView, max_size: tuple[int, int], key: str = "input.max_size of the task"
) -> _Array:
    """Return the pixels of a JPEG or PNG as uint8 [height, width, 3] BGR.

    Args:
        image: as it came.
        max_size: largest height and width.
        key: that declares it.

    Raises:
        InputError: neither JPEG nor PNG, damaged, or larger than ``max_size`` (height, width).
    """
    picture = _walk(image)
    height, width = picture.size
    if height > max_size[0] or width > max_size[1]:
        raise InputError(
            "the compressed image is larger than declared",
            where="size",
            value=[height, width],
            expected=f"at most {list(max_size)}",
            hint=f"Raise {key}",
        )
    if _PIXEL_BYTES * height * width + picture.beside_bytes > 2 * _in_whole_blocks(max_size):
        raise InputError(
            "the JPEG takes more memory than two of the largest images",
            where="data",
            value="progressive, or a scan for each color, and no color left out (4:4:4)",
            expected="baseline coding in one scan, or colors at half the resolution (4:2:0)",
            hint=f"Switch off jpeg_progressive where it is compressed, or raise {key}",
        )
    try:
        pixels: _Array | None = cv2.imdecode(
            np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR
        )
    except cv2.error as error:
        raise _damaged(f"OpenCV cannot decode it: {error.err or error}") from error
    if pixels is None:
        raise _damaged("OpenCV cannot decode it")
    if pixels.shape[:2] != picture.size:
        raise _damaged(f"its header says {height} x {width}")
    return pixels


def _in_whole_blocks(size: tuple[int, int]) -> int:
    """Return the bytes of pixels of a size in which a JPEG of that size is coded."""
    height, width = (-(-extent // (2 * _BLOCK)) * 2 * _BLOCK for extent in size)
    return _PIXEL_BYTES * height * width


def write_decoded(pixels: _Array, target: _Array) -> None:
    """Write what :func:`decode_compressed` returned as RGB.

    Args:
        pixels: uint8 [height, width, 3] BGR.
        target: uint8 [height, width, 3].
    """
    cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=target)  # type: ignore[call-overload]


def _walk(image: CompressedImageView) -> _Picture:
    data = image.data
    try:
        if bytes(data[:8]) == _PNG_SIGNATURE:
            return _walk_png(data)
        if bytes(data[:2]) == b"\xff\xd8":
            return _walk_jpeg(data)
    except (struct.error, IndexError) as error:
        raise _damaged("it is cut short") from error
    if "compressedDepth" in image.format:  # a PNG behind a header of its own
        raise InputError(
            "compressed depth is not read",
            where="format",
            value=image.format,
            expected="jpeg or png",
            hint="Declare the topic of the raw depth image: type sensor_msgs/msg/Image, "
            "color depth",
        )
    raise InputError(
        "neither a JPEG nor a PNG image",
        where="format",
        value=image.format,
        expected="jpeg or png",
        hint="Set image_transport's compressed.format to jpeg or png",
    )


def _damaged(why: str) -> InputError:
    return InputError(
        f"the compressed image is damaged ({why})",
        where="data",
        hint="Check what publishes it; a network of many losses cuts messages short",
    )


def _sized(height: int, width: int) -> tuple[int, int]:
    if height == 0 or width == 0:
        raise _damaged(f"its header says {height} x {width}")
    return height, width


def _most_parts(data: memoryview) -> int:
    """Return how many parts a picture may have; nobody makes them of a few bytes each."""
    return 100 + len(data) // 1024


# --- PNG ---

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PARTS = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])


def _walk_png(data: memoryview) -> _Picture:
    size: tuple[int, int] | None = None
    kept: list[memoryview] = [data[:8]]
    complete = True
    for name, chunk in _png_chunks(data):
        if (name == b"IHDR") != (size is None):
            raise _damaged("its header is not where it belongs")
        if name == b"IHDR":
            if len(chunk) != 25:
                raise _damaged("its header is not 13 bytes long")
            width, height = struct.unpack_from(">II", chunk, 8)
            size = _sized(height, width)
        if name in _PNG_PARTS:
            kept.append(chunk)
            continue
        if not name[0] & 0x20:
            raise _damaged(f"it needs a part named {name.decode('latin-1')!r}, which no PNG has")
        complete = False  # comments, colour profiles, frames of an animation: not for a network
    assert size is not None  # _png_chunks gives one chunk at least
    used = sum(map(len, kept))
    return _Picture(size, data[:used] if complete else b"".join(kept))


def _png_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Return name and bytes, with length and checksum, of each chunk up to IEND."""
    position = 8
    for _ in range(_most_parts(data)):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise _damaged(f"a part of {length} bytes where {len(data) - position} are left")
        yield name, data[position:end]
        if name == b"IEND":
            return
        position = end
    raise _damaged(f"more than {_most_parts(data):,} parts")


# --- JPEG ---

_SOI, _EOI, _SOS, _DNL, _DHP, _EXP = 0xD8, 0xD9, 0xDA, 0xDC, 0xDE, 0xDF
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # headers of every kind of frame
_DECODABLE = frozenset([0xC0, 0xC1, 0xC2])  # sequential and progressive, Huffman
_PROGRESSIVE = 0xC2
_BLOCK = 8  # samples, each way
_NEEDED = frozenset([0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE])  # tables, restarts, JFIF, Adobe
_RESTARTS = range(0xD0, 0xD8)
_PIECE = 16 * 1024  # bytes of a scan that are looked through at once
# Each scan goes over all of the picture, however few bytes it has.
_MOST_SCANS = {False: 4, True: 16}


def _walk_jpeg(data: memoryview) -> _Picture:
    frame: _Frame | None = None
    kept: list[memoryview] = [data[:2]]
    complete, whole = True, False
    scans, position = 0, 2
    for _ in range(_most_parts(data)):
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1  # fill bytes
            complete = False
        if data[position] != 0xFF:
            raise _damaged(f"no marker at byte {position}")
        marker = data[position + 1]
        if marker == _EOI:
            break
        if marker in (_SOI, _DNL, _DHP, _EXP, 0x00, 0x01) or marker in _RESTARTS:
            raise _damaged(f"marker {marker:02X} at byte {position}")
        end = position + 2 + int(struct.unpack_from(">H", data, position + 2)[0])
        if marker in _FRAMES:
            if frame is not None:
                raise _damaged("it has two frame headers")
            frame = _frame(data, marker, position)
        if marker == _SOS:
            scans += 1
            if frame is None:
                raise _damaged("a scan before the frame header")
            if scans > _MOST_SCANS[frame.progressive]:
                raise _damaged(f"more than {_MOST_SCANS[frame.progressive]} scans")
            whole |= frame.progressive or data[position + 4] < len(frame.sampling)
            end = _end_of_scan(data, end)
        if marker in _FRAMES or marker in _NEEDED or marker == _SOS:
            kept.append(data[position:end])
        else:
            complete = False  # comments, thumbnails, colour profiles
        position = end
    else:
        raise _damaged(f"more than {_most_parts(data):,} parts")
    if frame is None or not scans:
        raise _damaged("it has no scan")
    kept.append(data[position : position + 2])
    used = position + 2
    return _Picture(
        frame.size,
        data[:used] if complete else b"".join(kept),
        frame.coefficient_bytes if whole else 0,
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the header of a frame says.

    Attributes:
        size: height and width.
        progressive: whether later scans refine earlier ones.
        sampling: of each component, horizontally and vertically.
    """

    size: tuple[int, int]
    progressive: bool
    sampling: tuple[tuple[int, int], ...]

    @property
    def coefficient_bytes(self) -> int:
        """What all coefficients take, of two bytes each: kept until the last scan."""
        height, width = self.size
        most_across = max(across for across, _ in self.sampling)
        most_down = max(down for _, down in self.sampling)
        columns = -(-width // (_BLOCK * most_across))
        rows = -(-height // (_BLOCK * most_down))
        blocks = sum(columns * across * rows * down for across, down in self.sampling)
        return blocks * _BLOCK * _BLOCK * 2


def _frame(data: memoryview, marker: int, position: int) -> _Frame:
    precision, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
    if marker not in _DECODABLE or precision != 8 or components not in (1, 3):
        raise InputError(
            "this kind of JPEG cannot be decoded",
            where="data",
            value=f"frame type {marker - 0xC0}, {precision} bits, {components} components",
            expected="baseline or progressive Huffman coding, 8 bits, 1 or 3 components",
            hint="Set image_transport's compressed.format to jpeg or png",
        )
    places = range(position + 11, position + 11 + 3 * components, 3)
    sampling = tuple((data[place] >> 4, data[place] & 0xF) for place in places)
    if not all(1 <= factor <= 4 for each in sampling for factor in each):
        raise _damaged("its header has colors of an impossible resolution")
    return _Frame(_sized(height, width), marker == _PROGRESSIVE, sampling)


def _end_of_scan(data: memoryview, start: int) -> int:
    """Return where the coded data that begins at ``start`` ends: at a marker that is no restart.

    Piece by piece, since what is looked for may stand in every byte.
    """
    for piece in range(start, len(data) - 1, _PIECE):
        values = np.frombuffer(data[piece : piece + _PIECE + 1], np.uint8)
        first, second = values[:-1], values[1:]
        goes_on = (
            (second == 0)
            | (second == 0xFF)
            | ((second >= _RESTARTS.start) & (second < _RESTARTS.stop))
        )
        stops = np.flatnonzero((first == 0xFF) & ~goes_on)
        if len(stops):
            return piece + int(stops[0])
    raise _damaged("it is cut short")
