"""Class names: from the task's options, or from the network file itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError

__all__ = ["COCO", "COCO_IDS", "class_names", "name_of"]

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat",
    "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball",
    "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
    "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair",
    "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse",
    "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
# Numbers that COCO's annotations do not use; networks with 91 classes count them, and 0.
_UNUSED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_USED = iter(COCO)
COCO_IDS = tuple("unused" if index in _UNUSED else next(_USED) for index in range(91))
_LISTS = {"": (), "coco": COCO, "coco91": COCO_IDS}


def class_names(
    option: Sequence[str] | str, metadata: Mapping[str, str], count: int | None = None
) -> tuple[str, ...]:
    """Return the names of the classes, empty where nobody knows them.

    Args:
        option: list of names, ``coco`` (80), ``coco91`` (numbered as in COCO's annotations), or
            empty for those in the file's metadata: ``names`` (a JSON list, see
            :func:`~aegis_ros.network.metadata.bounded_metadata`) or ``character`` (one a line,
            as RapidOCR does).
        metadata: the file's metadata.
        count: number of classes the network has, if known.

    Raises:
        ConfigError: the list has another length than the network has classes.
    """
    if isinstance(option, str):
        if option not in _LISTS:
            raise ConfigError(
                "no such list of labels",
                where="output.options.labels",
                value=option,
                expected="a list of names, coco or coco91",
            )
        names = _LISTS[option] or _from_metadata(metadata)
        if not option and count is not None and len(names) != count:
            names = ()
    else:
        names = tuple(option)
    if names and count is not None and len(names) != count:
        raise ConfigError(
            f"{len(names)} labels for a network with {count} classes",
            where="output.options.labels",
            expected=f"{count} names",
        )
    return names


def name_of(names: Sequence[str], index: int) -> str:
    """Return the name of a class, or its number where it has none."""
    return names[index] if 0 <= index < len(names) else f"class {index}"


def _from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...]:
    if "names" in metadata:
        names = tuple(str(name) for name in read_json(metadata["names"], "names"))
        if names:
            return names
    if "character" in metadata:
        return tuple(metadata["character"].splitlines())
    return ()
