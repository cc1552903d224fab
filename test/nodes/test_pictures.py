"""Images that are attached to a goal: what is taken, and what is refused by its field."""

from __future__ import annotations

import struct
import zlib
from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from aegis_ros.action import Generate
from sensor_msgs.msg import CompressedImage, Image

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.pictures import attached, forget_attached
from aegis_ros.orchestrator.shown import Picture, Shown
from aegis_ros.spec import GeneratorSpec, ImageTopicSpec
from test.nodes.test_newest_image import FACTS

SEES = GeneratorSpec("eye", "model.onnx", image=ImageTopicSpec("/eye", max_size=(40, 30)))


def picture(spec: GeneratorSpec = SEES, facts: object = FACTS, **fields: Any) -> Picture | None:
    candidate: Any = SimpleNamespace(
        spec=spec, prepared=SimpleNamespace(facts=SimpleNamespace(image=facts))
    )
    shown = Shown()
    if spec.image is not None and spec.image.topic:
        shown.bring("eye", spec.image.topic, lambda: Picture(np.full((2, 2, 3), 5, np.uint8)))
    return attached(Generate.Goal(**fields), candidate, shown)


def refusal(*arguments: Any, **fields: Any) -> str:
    with pytest.raises(ConfigError) as told:
        picture(*arguments, **fields)
    return str(told.value)


def raw(height: int = 2, width: int = 3, encoding: str = "rgb8", **more: Any) -> Image:
    data = array("B", bytes([1, 2, 3]) * min(1000, height * width))
    given = {"height": height, "width": width, "step": 3 * width, "data": data} | more
    return Image(encoding=encoding, **given)


def png(height: int = 2, width: int = 3) -> bytes:
    _, found = cv2.imencode(".png", np.full((height, width, 3), (3, 2, 1), np.uint8))
    return bytes(found)


def compressed(data: bytes, kind: str = "png") -> CompressedImage:
    return CompressedImage(format=kind, data=array("B", data))


def claims(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header says a size."""

    def part(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ended = part(b"IHDR", size) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + ended


def test_an_attached_image_is_taken_in_place_of_that_of_the_topic() -> None:
    found = picture()
    assert found is not None and (found.pixels == 5).all()
    image = raw()
    image.header.stamp.sec, image.header.frame_id = 7, "lens"
    for field in ({"image": image}, {"compressed_image": compressed(png())}):
        found = picture(**field)
        assert found is not None and found.pixels.shape == FACTS.shape
        assert found.pixels.reshape(-1, 3).tolist() == [[1, 2, 3]] * 4
    found = picture(image=image)
    assert found is not None and (found.stamp_ns, found.frame_id) == (7 * 10**9, "lens")


@pytest.mark.parametrize(
    ("fields", "where", "problem"),
    [
        ({"image": raw(encoding="jpeg")}, "image.encoding", "expected one of"),
        ({"image": raw(encoding="16UC1")}, "image.encoding", "expected one of"),
        ({"image": raw(height=0)}, "image.height, width", "impossible size"),
        ({"image": raw(height=2**32 - 1, step=1)}, "image.height, width", "impossible size"),
        ({"image": raw(height=41)}, "image.height, width", "Raise image.max_size"),
        ({"image": raw(data=array("B", b"abc"))}, "image.data", "cut short"),
        ({"image": raw(data=array("B"))}, "image.data", "cut short"),
        ({"image": raw(step=2)}, "image.step", "smaller than a row"),
        ({"compressed_image": compressed(b"GIF89a")}, "compressed_image.format", "neither"),
        ({"compressed_image": compressed(b"")}, "compressed_image.format", "neither"),
        ({"compressed_image": compressed(png()[:-20])}, "compressed_image.data", "damaged"),
        ({"compressed_image": compressed(claims(0, 9))}, "compressed_image.data", "0"),
        (
            {"compressed_image": compressed(claims(60_000, 60_000))},
            "compressed_image.size",
            "Raise image.max_size of the generator",
        ),
        ({"compressed_image": compressed(claims(9, 9))}, "compressed_image.data", "cannot decode"),
        (
            {"compressed_image": compressed(b"\xff\xd8\xff\xe0", "jpeg")},
            "compressed_image.data",
            "damaged",
        ),
        (
            {"image": raw(), "compressed_image": compressed(png())},
            "image",
            "image and compressed_image are both given",
        ),
        ({"image": raw(), "image_topic": "/eye"}, "image", "image and image_topic are both given"),
    ],
    ids=range(17),
)
def test_what_is_no_image_is_refused_by_its_field(
    fields: dict[str, Any], where: str, problem: str
) -> None:
    told = refusal(**fields)
    assert told.startswith(f"{where}: ") and problem in told
    assert "driver" not in told and "publishes" not in told


@pytest.mark.parametrize(
    "fields", [{"image": raw()}, {"compressed_image": compressed(png())}, {"image_topic": "/eye"}]
)
def test_a_generator_that_takes_no_images_says_so(fields: dict[str, Any]) -> None:
    (field,) = fields
    assert refusal(SEES, None, **fields).startswith(f"{field}: the model of eye takes no images")
    blind = GeneratorSpec("eye", "model.onnx")
    told = refusal(blind, **fields)
    assert told.startswith(f"{field}: eye takes no images") and "the key image" in told
    assert picture(blind) is None


def test_without_a_topic_only_what_is_attached_is_shown() -> None:
    spec = GeneratorSpec("eye", "model.onnx", image=ImageTopicSpec())
    assert picture(spec) is None
    assert picture(spec, image=raw()) is not None
    assert "expected an attached image" in refusal(spec, image_topic="/eye")


def test_nothing_of_an_image_is_kept_with_its_goal() -> None:
    goal = Generate.Goal(image=raw(), compressed_image=compressed(png()))
    forget_attached(goal)
    assert goal == Generate.Goal()
