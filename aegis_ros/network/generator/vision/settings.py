"""Reads how a vision-language model takes images from the files that are published with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError, ModelError

__all__ = ["ImageSettings", "image_settings"]

_KINDS = {
    "idefics3": ("<fake_token_around_image><global-img>", "<fake_token_around_image>"),
    "smolvlm": ("<fake_token_around_image><global-img>", "<fake_token_around_image>"),
    "llava": ("", ""),
}
"""Texts around the rows of an image, by kind of model."""
_OF_TILES = ("idefics3", "smolvlm")
_MOST_PIXELS = 4096  # on a side
_CONFIG, _PREPROCESSOR, _PROCESSOR = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How a model takes images.

    Attributes:
        token: stands in a prompt for each row of an image.
        before, after: texts around the rows.
        rows: of one image as the files say; 0 where they do not.
        height, columns: of the image that the encoder takes, in pixels.
        crop: an image is cut to that shape; else it is stretched.
        scale: what the bytes of a pixel are multiplied with.
        mean, std: of each colour; taken away, and divided by.
    """

    token: int
    before: str
    after: str
    rows: int
    height: int
    columns: int
    crop: bool
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def image_settings(config: str, preprocessor: str, processor: str) -> ImageSettings:
    """Return what the files beside a model say.

    Args:
        config: text of its config.json.
        preprocessor: of its preprocessor_config.json; empty where it is in the next one.
        processor: of its processor_config.json; may be empty.

    Raises:
        ModelError: something is missing, or is not supported; names the file and the key.
    """
    model = _mapping(config, _CONFIG)
    around = _mapping(processor, _PROCESSOR) if processor else {}
    where, found = _PREPROCESSOR, _mapping(preprocessor, _PREPROCESSOR) if preprocessor else {}
    inside = around.get("image_processor")
    if not preprocessor and isinstance(inside, dict):
        where, found = f"{_PROCESSOR}: image_processor", inside
    kind = model.get("model_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(
            "this kind of vision-language model is not supported",
            where=f"{_CONFIG}: model_type",
            value=kind,
            expected=", ".join(_KINDS),
        )
    if kind == "llava" and found.get("do_pad"):
        raise ModelError(
            "images with a border are not supported", where=f"{where}: do_pad", expected="false"
        )
    height, columns, crop = _size(found, where, of_tiles=kind in _OF_TILES)
    normal = found.get("do_normalize", True) is not False
    rescaled = found.get("do_rescale", True) is not False
    before, after = _KINDS[kind]
    return ImageSettings(
        token=_token(model),
        before=before,
        after=after,
        rows=_rows(around),
        height=height,
        columns=columns,
        crop=crop,
        scale=_number(found.get("rescale_factor", 1 / 255), f"{where}: rescale_factor")
        if rescaled
        else 1.0,
        mean=_colours(found, "image_mean", where) if normal else (0.0, 0.0, 0.0),
        std=_colours(found, "image_std", where) if normal else (1.0, 1.0, 1.0),
    )


def _mapping(text: str, where: str) -> Mapping[str, Any]:
    try:
        found = read_json(text, where, any_number=True)
    except ConfigError as error:
        raise ModelError(error.problem, where=where) from error
    if not isinstance(found, dict):
        raise ModelError("not a mapping in JSON", where=where)
    return found


def _token(model: Mapping[str, Any]) -> int:
    """Return the token that stands for an image."""
    keys = ("image_token_id", "image_token_index")
    for key in keys:
        token = model.get(key)
        if isinstance(token, int) and not isinstance(token, bool) and token >= 0:
            return token
    raise ModelError(
        "no token stands for an image",
        where=f"{_CONFIG}: {keys[0]}",
        value=model.get(keys[0], model.get(keys[1])),
        expected=f"a number, as {keys[0]} or {keys[1]}",
        hint="Copy the config.json there that the model was published with",
    )


def _rows(around: Mapping[str, Any]) -> int:
    rows = around.get("image_seq_len", around.get("image_seq_length"))
    return rows if isinstance(rows, int) and rows > 0 else 0


def _size(found: Mapping[str, Any], where: str, *, of_tiles: bool) -> tuple[int, int, bool]:
    """Return height and width in pixels, and whether images are cut to that shape.

    A model of tiles takes one image as one tile, as its processor does where it splits none.
    """
    if of_tiles:
        edge = _mapping_in(found, "max_image_size").get("longest_edge")
        return (*_sides(edge, edge, f"{where}: max_image_size.longest_edge"), False)
    if found.get("do_center_crop") is True:
        sides = _mapping_in(found, "crop_size")
        shortest = _mapping_in(found, "size").get("shortest_edge")
        height, width = _sides(
            sides.get("height"), sides.get("width"), f"{where}: crop_size.height and width"
        )
        if shortest is not None and shortest != min(height, width):
            raise ModelError(
                "images that are cut to less than their shorter side are not supported",
                where=f"{where}: size.shortest_edge",
                value=shortest,
                expected=f"{min(height, width)}, as the shorter side of crop_size",
            )
        return height, width, True
    sides = _mapping_in(found, "size")
    return (
        *_sides(sides.get("height"), sides.get("width"), f"{where}: size.height and width"),
        False,
    )


def _mapping_in(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a size, which files hold as sides, or as one number for both."""
    sides = found.get(key)
    if isinstance(sides, dict):
        return sides
    return {"height": sides, "width": sides, "longest_edge": sides, "shortest_edge": sides}


def _sides(height: object, width: object, where: str) -> tuple[int, int]:
    sides = (height, width)
    if not all(isinstance(each, int) and 1 <= each <= _MOST_PIXELS for each in sides):
        raise ModelError(
            "the size of images is missing or not supported",
            where=where,
            value=None if height is None and width is None else f"{height} and {width}",
            expected=f"whole numbers of 1 to {_MOST_PIXELS:,} pixels",
        )
    return int(str(height)), int(str(width))


def _colours(found: Mapping[str, Any], key: str, where: str) -> tuple[float, ...]:
    values = found.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise ModelError(
            "a value for each colour is missing",
            where=f"{where}: {key}",
            value=values,
            expected="three numbers",
        )
    numbers = tuple(_number(value, f"{where}: {key}") for value in values)
    if key == "image_std" and not all(numbers):
        raise ModelError("a divisor is 0", where=f"{where}: {key}", value=values)
    return numbers


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError("not a number", where=where, value=value, expected="a finite number")
    return float(value)
