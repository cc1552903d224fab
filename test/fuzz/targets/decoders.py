"""Outputs of hostile networks, through every decoder into all that is published of them.

An input is: number of the decoder, number of its frame, then for each output a byte that says how
many of its rows are there, one that says of which type its numbers are, and their bytes, repeated
until there are enough of them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from std_msgs.msg import Header

from aegis_ros.decoders import Decoder, FrameInfo, create_decoder, draw, to_json
from aegis_ros.errors import DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.nodes.forms import forms
from aegis_ros.spec import PreprocessSpec, ResizeMode
from test.decoders.fitting import FITTING
from test.fuzz.mutation import Mutator
from test.fuzz.target import Limits, Target, Try, answered

__all__ = ["TARGET"]

_NAMES = sorted(FITTING)
_TYPES = ("<f4", "<f2", "<f8", "u1", "i1", "<i4", "<i8", "?")
_FRAMES = (
    FrameInfo(96, 128, 48, 64),
    FrameInfo(1, 1, 48, 64),
    FrameInfo(1080, 1920, 48, 64, ResizeMode.LETTERBOX),
)
_SPEC = PreprocessSpec(size=(48, 64))
_BYTES = 48  # of each output, before they are repeated
_WORDS = (
    *(
        np.asarray(value, kind).tobytes()
        for kind in ("<f4", "<f2", "<f8")
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 6e4, -6e4, 1e-7)
    ),
    *(np.asarray(value, "<f4").tobytes() for value in (3e38, -3e38, 1e30, 1e-45, 2**31, 2**24)),
    *(struct.pack("<q", value) for value in (-1, 0, 1, 79, 80, 2**31, 2**63 - 1, -(2**63))),
    *(struct.pack("<i", value) for value in (-1, 80, 2**31 - 1, -(2**31))),
)


def _seeds() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for number, name in enumerate(_NAMES):
        outputs = FITTING[name][1]
        for draw_values in (np.zeros, rng.random):
            parts = [bytes([number, 0])]
            for _ in outputs:
                values = np.asarray(draw_values(_BYTES // 4), np.float32)
                parts.append(bytes([255, 0]) + values.tobytes())
            made.append(b"".join(parts))
    return made


def _outputs(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the outputs that an input describes; whatever it lacks is 0."""
    outputs, position = {}, 2
    for name, shape in shapes.items():
        part = data[position : position + 2 + _BYTES] + b"\xff\0"
        rows_left, number, values = part[0], part[1], part[2 : 2 + _BYTES]
        position += 2 + _BYTES
        dtype = np.dtype(_TYPES[number % len(_TYPES)])
        if rows_left < 128:  # fewer than there can be
            axis = int(np.argmax(shape))
            shape = (*shape[:axis], min(shape[axis], rows_left), *shape[axis + 1 :])
        count = int(np.prod(shape))
        values = values[: len(values) // dtype.itemsize * dtype.itemsize] or bytes(dtype.itemsize)
        tiled = np.resize(np.frombuffer(values, dtype), count)
        outputs[name] = tiled.reshape(shape)
    return outputs


def _no_number(text: str) -> float:
    raise AssertionError(f"{text} is no number of JSON")


def _publish(decoder: Decoder, outputs: dict[str, np.ndarray], frame: FrameInfo) -> None:
    decoded = decoder.decode(outputs, frame)
    json.loads(to_json(decoded), parse_constant=_no_number)
    for form in forms(Header(frame_id="camera"), decoded):
        form.make()
    draw(decoded, np.zeros((96, 128, 3), np.uint8))


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    decoders = {}
    for name, (options, shapes, metadata) in FITTING.items():
        infos = [TensorInfo(output, "float32", shape) for output, shape in shapes.items()]
        decoders[name] = create_decoder(name, options, _SPEC, infos, metadata=metadata)

    def work(data: bytes) -> bool:
        first, second = (data + b"\0\0")[:2]
        name, frame = _NAMES[first % len(_NAMES)], _FRAMES[second % len(_FRAMES)]
        outputs = _outputs(data, FITTING[name][1])
        return answered(lambda: _publish(decoders[name], outputs, frame), DecodeError)

    yield work


TARGET = Target(
    name="decoders",
    title="outputs of networks, in the decoders",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=1024),
    opened=_opened,
    limits=Limits(seconds=0.5),
    weight=2.0,
    brief=1000,
)
