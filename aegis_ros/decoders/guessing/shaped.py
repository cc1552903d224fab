"""Decoders recognised by the number and the extents of the outputs."""

from __future__ import annotations

from collections.abc import Callable

from aegis_ros.decoders.guessing.clues import Clues, Guess
from aegis_ros.network.tensor import TensorInfo

__all__ = ["SHAPED"]

_MOST_QUERIES = 1000
_PERSON = 17  # keypoints
_FEATURES = (64, 96, 128, 192, 256, 384, 512, 576, 768, 1024, 1280, 1536, 2048)
_DISTANCES = 32  # of NanoDet: 4 edges of 8 numbers


def _centerface(clues: Clues) -> Guess | None:
    if [item.shape[1] for item in clues.of_rank(4)] == [1, 2, 2, 10]:
        return Guess("centerface", {}, "four maps of 1, 2, 2 and 10 channels", recipe="bytes")
    return None


def _centernet(clues: Clues) -> Guess | None:
    maps = clues.of_rank(4)
    if len(maps) not in (2, 3) or len(maps) != len(clues.outputs):
        return None
    narrow = [item for item in maps if item.shape[1] == 2]
    heat = [item for item in maps if item.shape[1] != 2]
    if len(heat) == 1 and len({item.shape[2:] for item in maps}) == 1 and narrow:
        done = clues.ends_in(heat[0].name, "Sigmoid", "Clip")
        options = {"sigmoid": False} if done else {}
        why = "a heat map, and maps of 2 channels of its extents"
        return Guess("centernet", options, why, recipe="centernet")
    return None


def _instances(clues: Clues) -> Guess | None:
    rows, protos = clues.of_rank(3), clues.of_rank(4)
    if len(rows) != 1 or not protos:
        return None
    (_, first, second), count = rows[0].shape, protos[0].shape[1]
    if not isinstance(count, int) or not isinstance(second, int) or not isinstance(first, int):
        return None
    why = "rows of boxes, and mask prototypes"
    if second == 6 + count:
        return Guess("instances", {"format": "end2end"}, why, recipe="yolo")
    if second > first > 4 + count:
        return Guess("instances", {"format": "yolov8"}, why, recipe="yolo")
    if first > second > 5 + count:
        return Guess("instances", {"format": "yolov5"}, why, recipe="yolo")
    return None


def _pairs(clues: Clues) -> Guess | None:
    """Two outputs of rank 3: boxes and class scores."""
    found = clues.of_rank(3)
    if len(found) != 2 or len(clues.outputs) != 2 or found[0].shape[1] != found[1].shape[1]:
        return None
    boxes = [item for item in found if item.shape[2] == 4]
    if not boxes:
        return None
    scores = next(item for item in found if item is not boxes[0])
    count, classes = boxes[0].shape[1], scores.shape[2]
    if isinstance(count, int) and count <= _MOST_QUERIES:
        done = clues.ends_in(scores.name, "Sigmoid")
        options: dict[str, object] = {"scores": "probabilities"} if done else {}
        if clues.ends_in(scores.name, "Softmax"):
            options = {"scores": "probabilities"}
        why = f"{count} boxes and their class scores: one a query"
        return Guess("detr", options, why, sure=False, recipe="imagenet")
    options = {"format": "ssd"}
    if clues.ends_in(scores.name, "Softmax") or classes in (2, 21, 91):
        options |= {"normalized": True, "background": 0}
    if not clues.made_by or clues.ends_in(scores.name, "Softmax", "Sigmoid"):
        return Guess("boxes", options, "boxes and class scores", sure=False, recipe="ssd")
    return Guess("boxes", options, "boxes and class scores", sure=False, recipe="unit")


def _nanodet_levels(clues: Clues) -> Guess | None:
    found = clues.of_rank(3)
    if len(found) in (6, 8) and len(found) == len(clues.outputs):
        rows = [item.shape[1] for item in found]
        if sorted(map(str, rows)) == sorted([str(each) for each in set(rows)] * 2):
            why = "class scores and distances of each level"
            return Guess("nanodet", {"offset": 0.5}, why, recipe="nanodet")
    return None


def _rows(clues: Clues) -> Guess | None:
    """One output of rank 3 (or 2): a row or a column a box."""
    if len(clues.outputs) != 1:
        return None
    shape = clues.outputs[0].shape
    if len(shape) == 2 and shape[1] == 7 and shape[0] != 1:
        options: dict[str, object] = {"format": "nms", "columns": "batch_box_class_score"}
        return Guess("boxes", options, "rows of 7 numbers", sure=False, recipe="yolo")
    if len(shape) == 2 and shape[1] == 6 and shape[0] != 1:
        options = {"format": "nms", "columns": "class_score_box"}
        return Guess("boxes", options, "rows of 6 numbers", sure=False, recipe="imagenet")
    if len(shape) != 3 or clues.outputs[0].dtype not in ("float32", "float16", "float64"):
        return None
    _, first, second = shape
    if not isinstance(second, int):
        return None
    few = not isinstance(first, int) or first <= _MOST_QUERIES
    return (
        _suppressed(second, first)
        if few and second in (6, 9, 56, 57)
        else _dense(clues, first, second)
    )


def _suppressed(width: int, count: int | str) -> Guess | None:
    why = f"{count} rows of {width} numbers"
    if width == 6:
        return Guess("boxes", {"format": "nms"}, why, recipe="yolo")
    if width == 9:
        return Guess("boxes_3d", {}, why, sure=False)
    if width == 57:
        return Guess("keypoints", {"format": "end2end"}, why, recipe="yolo")
    return Guess("keypoints", {"format": "movenet"}, why, sure=False, recipe="bytes")


def _dense(clues: Clues, first: int | str, second: int) -> Guess | None:
    """A box for every cell of a grid, or for every query."""
    if not isinstance(first, int):
        return None
    three, four = clues.cells((8, 16, 32)), clues.cells((8, 16, 32, 64))
    if first < second:
        known = second == three
        person = 5 + 3 * _PERSON
        if first == person and known:
            why = f"{second} columns of {person} numbers: a box and 17 keypoints each"
            return Guess("keypoints", {"format": "yolo"}, why, sure=False, recipe="yolo")
        if first > 4 and (known or first < 512):
            why = f"{second} columns of {first} numbers"
            return Guess("boxes", {"format": "yolov8"}, why, sure=known, recipe="yolo")
        return None
    why = f"{first} rows of {second} numbers"
    if first == four and second > _DISTANCES:
        return Guess("nanodet", {}, f"{why}: cells of four levels", recipe="nanodet")
    if first == three and (second == 80 + _DISTANCES or clues.says("nanodet")):
        return Guess("nanodet", {"offset": 0.5}, f"{why}: cells of three levels", recipe="nanodet")
    if first == 3 * three and second > 5:
        return Guess("boxes", {"format": "yolov5"}, f"{why}: three a cell", recipe="yolo")
    if first == three and second > 5:
        if clues.says("yolov6"):
            return Guess("boxes", {"format": "yolov5"}, f"{why}: one a cell", recipe="yolo")
        sure = clues.says("yolox")
        return Guess("boxes", {"format": "grid"}, f"{why}: one a cell", sure=sure, recipe="yolox")
    if first <= _MOST_QUERIES and second > 4:
        return Guess("detr", {}, f"{why}: one a query", sure=False, recipe="unit")
    if second > 5:
        return Guess("boxes", {"format": "yolov5"}, why, sure=False, recipe="yolo")
    return None


def _movenet(clues: Clues) -> Guess | None:
    if len(clues.outputs) == 1 and clues.outputs[0].shape[1:] == (1, _PERSON, 3):
        options = {"format": "movenet"}
        return Guess("single_pose", options, "17 keypoints of y, x and score", recipe="bytes")
    return None


def _map(clues: Clues) -> Guess | None:
    """One output with a number, or several, for each pixel or cell."""
    if len(clues.outputs) != 1:
        return None
    item = clues.outputs[0]
    if len(item.shape) == 3 and "int" in item.dtype:
        why = "whole numbers [1, h, w]"
        return Guess("segmentation", {"layout": "index"}, why, recipe="imagenet")
    if len(item.shape) == 3 and clues.size is not None and item.shape[1:] == clues.size:
        return _depth(clues, "one number a pixel")
    if len(item.shape) != 4:
        return None
    _, first, height, last = item.shape
    if "int" in item.dtype and first == 1:
        why = "whole numbers [1, 1, h, w]"
        return Guess("segmentation", {"layout": "index"}, why, recipe="imagenet")
    if first == 1 or (last == 1 and isinstance(height, int) and height > 4):
        if clues.ends_in(item.name, "Sigmoid") and not clues.says("depth", "disp"):
            why = "one probability a pixel"
            return Guess("segmentation", {}, why, sure=False, recipe="imagenet")
        return _depth(clues, "one number a pixel")
    return _channels(clues, item)


def _channels(clues: Clues, item: TensorInfo) -> Guess | None:
    _, first, height, last = item.shape
    if not isinstance(first, int) or not isinstance(last, int):
        return None
    at_16 = clues.size is not None and isinstance(height, int) and height * 16 == clues.size[0]
    if first > 5 and (clues.says("fastestdet") or (first == 85 and at_16)):
        return Guess("fastestdet", {}, f"{first} channels at stride 16", recipe="unit_bgr")
    at_4 = clues.size is not None and isinstance(height, int) and height * 4 == clues.size[0]
    if clues.says("heatmap", "pose", "hrnet", "keypoint") or (first == _PERSON and at_4):
        why = f"{first} maps at stride 4"
        return Guess("single_pose", {}, why, sure=False, recipe="imagenet")
    if last < first and last <= 256:
        why = f"{last} classes a pixel, channels last"
        return Guess("segmentation", {"layout": "nhwc"}, why, sure=False, recipe="imagenet")
    if first <= 256:
        why = f"{first} classes a pixel"
        return Guess("segmentation", {}, why, sure=False, recipe="imagenet")
    return None


def _depth(clues: Clues, why: str) -> Guess:
    metric = clues.says("metric", "metres", "meters")
    options = {} if metric else {"format": "inverse"}
    sure = clues.says("depth", "disp", "midas")
    return Guess("depth", options, why, sure=sure, recipe="imagenet")


def _vector(clues: Clues) -> Guess | None:
    item = clues.outputs[0] if len(clues.outputs) == 1 else None
    if (
        item is None
        or len(item.shape) not in (1, 2, 4)
        or any(extent != 1 for extent in (*item.shape[:1], *item.shape[2:]) if len(item.shape) > 1)
    ):
        return None
    count = item.shape[0] if len(item.shape) == 1 else item.shape[1]
    if not isinstance(count, int) or count < 2:
        return None
    if clues.ends_in(item.name, "Softmax"):
        return Guess("classification", {}, f"{count} probabilities", recipe="imagenet")
    plain = count in _FEATURES and "names" not in clues.metadata
    if plain or clues.says("embed", "reid", "osnet", "arcface", "feature"):
        why = f"one vector of {count} numbers"
        return Guess("embedding", {}, why, sure=False, recipe="imagenet")
    why = f"{count} logits"
    return Guess("classification", {"softmax": True}, why, sure=count == 1000, recipe="imagenet")


SHAPED: tuple[Callable[[Clues], Guess | None], ...] = (
    _centerface,
    _centernet,
    _instances,
    _pairs,
    _nanodet_levels,
    _movenet,
    _map,
    _rows,
    _vector,
)
