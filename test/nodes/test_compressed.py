"""Compressed images: what is decoded is what was checked, and hostile ones cost nothing."""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import CompressedImageView, HeaderView
from aegis_ros.nodes.compressed import decode_compressed, write_decoded

_HEADER = HeaderView(1, 2, "camera")
_QUARTERS = np.zeros((32, 48, 3), np.uint8)
_QUARTERS[:16, :24] = (250, 10, 10)
_QUARTERS[:16, 24:] = (10, 250, 10)
_QUARTERS[16:, :24] = (10, 10, 250)
_QUARTERS[16:, 24:] = (240, 240, 240)
_INSIDE = [(8, 12), (8, 36), (24, 12), (24, 36)]


def decode(image: CompressedImageView, max_size: tuple[int, int]) -> np.ndarray:
    pixels = decode_compressed(image, max_size)
    target = np.full(pixels.shape, 77, np.uint8)
    write_decoded(pixels, target)
    return target


def encoded(pixels: np.ndarray, form: str) -> CompressedImageView:
    good, data = cv2.imencode(f".{form}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    assert good
    return CompressedImageView(_HEADER, form, memoryview(data.tobytes()))


def test_a_png_comes_out_as_it_was() -> None:
    np.testing.assert_array_equal(decode(encoded(_QUARTERS, "png"), (32, 48)), _QUARTERS)


def test_a_jpeg_comes_out_nearly_as_it_was() -> None:
    out = decode(encoded(_QUARTERS, "jpg"), (32, 48))
    for row, column in _INSIDE:
        assert np.abs(out[row, column].astype(int) - _QUARTERS[row, column]).max() <= 8


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_a_picture_larger_than_declared_is_not_decoded(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = encoded(np.zeros((64, 64, 3), np.uint8), form)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for most in ((63, 64), (64, 63)):
        with pytest.raises(InputError, match=r"input\.max_size"):
            decode_compressed(image, most)


@pytest.mark.parametrize("form", ["png", "jpg"])
@given(cut=st.integers(0, 400), changes=st.lists(st.tuples(st.integers(), st.integers(0, 255))))
def test_a_damaged_picture_is_decoded_or_refused(
    form: str, cut: int, changes: list[tuple[int, int]]
) -> None:
    raw = bytearray(encoded(_QUARTERS, form).data)
    for position, value in changes:
        raw[position % len(raw)] = value
    image = CompressedImageView(_HEADER, form, memoryview(bytes(raw[: len(raw) - cut])))
    try:
        out = decode(image, (64, 64))
    except InputError:
        return
    assert out.ndim == 3 and out.shape[2] == 3


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match="neither a JPEG nor a PNG"):
        decode_compressed(CompressedImageView(_HEADER, "h264", memoryview(b"\0" * 50)), (64, 64))


def test_a_rotated_jpeg_keeps_the_size_the_sensor_gave_it() -> None:
    plain = bytes(encoded(np.zeros((16, 32, 3), np.uint8), "jpg").data)
    exif = (
        b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01"
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    )
    image = CompressedImageView(_HEADER, "jpeg", memoryview(plain[:2] + exif + plain[2:]))
    assert decode_compressed(image, (16, 32)).shape == (16, 32, 3)


FIELD = Path(__file__).parents[1] / "field"
LARGEST = (64, 64)


def message(data: bytes) -> CompressedImageView:
    return CompressedImageView(_HEADER, "jpeg", memoryview(data))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(name: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return struct.pack(">I", size) + name + content + struct.pack(">I", zlib.crc32(name + content))


def header(width: int = 8, height: int = 8) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def rows(width: int = 8, height: int = 8) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x7f" * 3 * width) * height))


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def frame(
    marker: int = 0xC0, height: int = 8, width: int = 8, precision: int = 8, sampling: int = 0x11
) -> bytes:
    head = struct.pack(">BHHB", precision, height, width, 1)
    return segment(marker, head + bytes([1, sampling, 0]))


END = chunk(b"IEND")
SCAN = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x2a"
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"

HOSTILE = {
    "a chunk that is longer than the file": (FIELD / "bent_chunk_69_bytes.png").read_bytes(),
    "a second frame header": (FIELD / "jpeg_two_heads_20000x20000.jpg").read_bytes(),
    "32,000 rows of 32,000": png(header(32_000, 32_000), rows(), END),
    "a second PNG header": png(header(), header(32_000, 32_000), rows(), END),
    "a small PNG header after the one that counts": png(
        header(32_000, 32_000), header(), rows(), END
    ),
    "two PNG headers of the same size": png(header(), header(), rows(), END),
    "a PNG header that is not first": png(rows(), header(), END),
    "a PNG header of another length": png(
        chunk(b"IHDR", struct.pack(">IIBBBBBB", 8, 8, 8, 2, 0, 0, 0, 0)), rows(), END
    ),
    "a critical chunk nobody knows": png(header(), chunk(b"XXXX"), rows(), END),
    "a PNG without an end": png(header(), rows()),
    "an empty PNG": png(),
    "no rows at all": png(header(0, 8), rows(), END),
    "100,000 chunks": png(header(), chunk(b"IDAT") * 100_000, END),
    "a JPEG of 65,500 rows": JPEG_START + frame(height=65_500, width=65_500) + SCAN + JPEG_END,
    "a JPEG without an end": JPEG_START + frame() + SCAN,
    "a JPEG without a scan": JPEG_START + frame() + JPEG_END,
    "a scan before the frame": JPEG_START + SCAN + frame() + JPEG_END,
    "a number of rows that comes later": JPEG_START + frame(height=0) + SCAN + JPEG_END,
    "12 bits": JPEG_START + frame(0xC1, precision=12) + SCAN + JPEG_END,
    "colors of a printer": JPEG_START
    + segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 4) + b"\x01\x11\x00" * 4)
    + SCAN
    + JPEG_END,
    "lossless": JPEG_START + frame(0xC3) + SCAN + JPEG_END,
    "arithmetic coding": JPEG_START + frame(0xC9) + SCAN + JPEG_END,
    "1,000 scans": JPEG_START + frame(0xC2) + SCAN * 1_000 + JPEG_END,
    "5 baseline scans": JPEG_START + frame() + SCAN * 5 + JPEG_END,
    "100,000 segments": JPEG_START + segment(0xFE) * 100_000 + frame() + SCAN + JPEG_END,
    "a picture in a picture": JPEG_START * 2 + frame() + SCAN + JPEG_END,
    **{
        f"a marker {marker:02X} that has no place there": JPEG_START
        + segment(marker, b"ab")
        + frame()
        + SCAN
        + JPEG_END
        for marker in (0x00, 0x01, 0xD0, 0xD7, 0xD8, 0xDC, 0xDE, 0xDF)
    },
    "a segment longer than the file, after a scan": JPEG_START
    + frame()
    + SCAN
    + segment(0xFE, b"comment")[:-3],
    "colors of no resolution": JPEG_START + frame(0xC2, sampling=0x00) + SCAN + JPEG_END,
    "colors of five times the resolution": JPEG_START + frame(sampling=0x51) + SCAN + JPEG_END,
    "colors of no resolution, downwards": JPEG_START + frame(sampling=0x10) + SCAN + JPEG_END,
    "a segment longer than the file": JPEG_START + frame()[:-3] + SCAN,
    "no marker": JPEG_START + b"\x00" * 40,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_decoder_never_sees_what_is_not_whole_or_too_large(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(InputError) as caught:
        decode_compressed(message(HOSTILE[name]), LARGEST)
    assert caught.value.hint


@pytest.mark.parametrize("sizes", [(8, 8), (8, 60), (60, 8)])
def test_of_two_frame_headers_none_counts(
    sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    heads = b"".join(frame(height=size, width=size) for size in sizes)
    with pytest.raises(InputError, match="two frame headers"):
        decode_compressed(message(JPEG_START + heads + SCAN + JPEG_END), LARGEST)


def test_a_chunk_that_reaches_beyond_the_end_is_named_with_what_is_left() -> None:
    bent = png(header(), chunk(b"IDAT", b"1234", length=2**31 - 1))
    with pytest.raises(InputError, match="a part of 2147483647 bytes where 16 are left"):
        decode_compressed(message(bent), LARGEST)


def test_what_the_other_cases_are_made_of_is_decoded() -> None:
    """The hostile ones are refused for what they are, not for how this file builds them."""
    assert decode_compressed(message(png(header(), rows(), END)), LARGEST).shape == (8, 8, 3)
    parts = bytes(encoded(np.zeros((8, 8), np.uint8), "jpg").data)
    assert decode_compressed(message(parts), LARGEST).shape == (8, 8, 3)


def test_only_what_was_understood_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    decode = cv2.imdecode
    monkeypatch.setattr(
        cv2, "imdecode", lambda data, how: (seen.append(data.tobytes()), decode(data, how))[1]
    )
    extra = [chunk(b"acTL", b"\0" * 8), chunk(b"iCCP", b"x" * 50), chunk(b"tEXt", b"secret")]
    decode_compressed(message(png(header(), *extra, rows(), END, b"after")), LARGEST)
    assert seen.pop() == png(header(), rows(), END)
    plain = bytes(encoded(_QUARTERS, "jpg").data)
    noted = plain[:2] + segment(0xFE, b"secret") + b"\xff" + segment(0xE1, b"Exif") + plain[2:]
    decode_compressed(message(noted + b"after"), LARGEST)
    assert seen.pop() == plain
    for noted in (
        plain[:2] + segment(0xFE, b"secret") + plain[2:],
        plain[:2] + b"\xff" + plain[2:],
    ):
        decode_compressed(message(noted), LARGEST)
        assert seen.pop() == plain


def test_what_the_decoder_returns_is_held_against_the_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((9, 8, 3), np.uint8))
    with pytest.raises(InputError, match="its header says 8 x 8"):
        decode_compressed(message(png(header(), rows(), END)), LARGEST)


@pytest.mark.parametrize("length", [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 70_000])
def test_the_end_of_a_scan_is_found_wherever_it_is(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, how: seen.append(data.tobytes()))
    coded = (b"\xff\x00\xff\xd3\x2a" * length)[:length]
    coded += b"\x00" if coded.endswith(b"\xff") else b""
    whole = JPEG_START + frame() + SCAN + coded + JPEG_END
    with pytest.raises(InputError, match="OpenCV cannot decode it"):
        decode_compressed(message(whole + b"\xff\xda after"), LARGEST)
    assert seen == [whole]
    with pytest.raises(InputError, match="cut short"):
        decode_compressed(message(JPEG_START + frame() + SCAN + coded + b"\xff" * 9), LARGEST)


def test_looking_for_the_end_of_a_scan_takes_no_memory_that_grows_with_it() -> None:
    data = memoryview(JPEG_START + frame() + SCAN + b"\xff" * 8_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="cut short"):
            decode_compressed(CompressedImageView(_HEADER, "jpeg", data), LARGEST)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "options",
    [
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 100],
    ],
)
@pytest.mark.parametrize("shape", [(32, 48), (32, 48, 3)])
def test_every_usual_kind_of_jpeg_is_decoded(options: list[int], shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    data = cv2.imencode(".jpg", pixels, options)[1].tobytes()
    np.testing.assert_array_equal(
        decode_compressed(message(data), LARGEST),
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
    )


def _progressive(size: tuple[int, int], sampling: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


@pytest.mark.parametrize("size", [(64, 96), (63, 97), (1, 1), (1080, 33)])
def test_a_jpeg_that_is_kept_as_coefficients_takes_no_more_than_two_of_the_largest_images(
    size: tuple[int, int],
) -> None:
    half, full = (
        _progressive(size, sampling)
        for sampling in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    )
    assert decode_compressed(message(half), size).shape == (*size, 3)
    larger = (size[0] + 16, 2 * size[1] + 16)
    assert decode_compressed(message(full), larger).shape == (*size, 3)
    if size == (64, 96):
        with pytest.raises(InputError, match="more memory than two of the largest"):
            decode_compressed(message(full), size)


def test_a_scan_for_each_color_is_kept_as_coefficients_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it reaches the decoder"))
    colors = bytes(value for number in (1, 2, 3) for value in (number, 0x11, 0))
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0data"
    all_colors = b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\0\0data"
    for marker, scans in ((0xC0, 3 * scan), (0xC2, all_colors)):
        head = segment(marker, struct.pack(">BHHB", 8, 64, 96, 3) + colors)
        with pytest.raises(InputError, match="more memory than two of the largest"):
            decode_compressed(message(JPEG_START + head + scans + JPEG_END), (64, 96))


def test_mutated_pictures_take_no_more_memory_than_the_largest_one() -> None:
    """In a process of its own, since what a process took at most never falls again."""
    done = subprocess.run(
        [sys.executable, "-m", "test.nodes.test_compressed"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert int(done.stdout) <= 16  # MiB; what a single bent length took was 3,900


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a picture with a few bytes, numbers or parts of it changed."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, len(made) - 8))
        choice = rng.randrange(5)
        if choice == 0:
            made[place : place + 1] = bytes([rng.randrange(256)])
        elif choice == 1:
            made[place : place + 4] = rng.choice([b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff" * 4])
        elif choice == 2:
            made[place : place + 2] = rng.choice([b"\xff\xd8", b"\xff\xda", b"\xff\xc2"])
        elif choice == 3:
            other = rng.randrange(len(made) or 1)
            made[place:place] = made[other : other + rng.randrange(64)]
        else:
            del made[place : place + rng.randrange(64)]
    return bytes(made)


def run(corpus: list[bytes], count: int, rng: random.Random) -> None:
    for number in range(count):
        with suppress(InputError):
            decode_compressed(message(mutated(corpus[number % len(corpus)], rng)), LARGEST)


def main() -> None:
    """Print how much more memory thousands of mutated pictures take than hundreds, MiB."""
    pixels = np.random.default_rng(0).integers(0, 255, (*LARGEST, 3), np.uint8)
    corpus = [bytes(encoded(pixels, form).data) for form in ("png", "jpg")]
    corpus += [data for data in HOSTILE.values() if len(data) < 10_000]
    run(corpus, 200, random.Random(1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(corpus, 4_000, random.Random(2))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


if __name__ == "__main__":
    main()
