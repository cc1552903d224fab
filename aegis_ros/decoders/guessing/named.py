"""Decoders recognised by what a file says of itself: metadata, names of outputs."""

from __future__ import annotations

from collections.abc import Callable

from aegis_ros.decoders.guessing.clues import Clues, Guess
from aegis_ros.decoders.keypoints import keypoint_shape

__all__ = ["NAMED"]


def _ultralytics(clues: Clues) -> Guess | None:
    """The exporter of ultralytics writes what the network does, and its class names."""
    task = clues.metadata.get("task", "")
    ranked = clues.of_rank(3)
    if "stride" not in clues.metadata or not clues.outputs:
        return None
    first = clues.outputs[0].shape
    why = f"metadata of ultralytics, task {task}"
    last = first[-1]
    if task == "classify":
        return Guess("classification", {}, why, recipe="unit")
    if task == "semantic":
        plain = len(first) == 4
        return Guess("segmentation", {} if plain else {"layout": "index"}, why, recipe="yolo")
    if task == "detect" and ranked:
        if clues.metadata.get("head") == "RTDETRDecoder" or "rtdetr" in clues.metadata.get(
            "description", ""
        ):
            if last == 6:
                options: dict[str, object] = {
                    "format": "nms",
                    "corners": "cxcywh",
                    "normalized": True,
                }
                return Guess("boxes", options, f"{why}, RT-DETR", recipe="unit")
            return Guess("detr", {}, f"{why}, RT-DETR", recipe="unit")
        if last == 6:
            return Guess("boxes", {"format": "nms"}, why, recipe="yolo")
        return Guess("boxes", {"format": "yolov8"}, why, recipe="yolo")
    if task == "segment" and ranked and clues.of_rank(4):
        protos = clues.of_rank(4)[0].shape[1]
        ends = isinstance(protos, int) and last == 6 + protos
        return Guess("instances", {"format": "end2end" if ends else "yolov8"}, why, recipe="yolo")
    if task == "pose" and ranked:
        count, dims = keypoint_shape(clues.metadata)
        ends = last == 6 + count * dims
        return Guess("keypoints", {"format": "end2end" if ends else "yolo"}, why, recipe="yolo")
    if task == "obb" and ranked:
        options = {"format": "end2end"} if last == 7 else {}
        return Guess("oriented", options, why, recipe="yolo")
    return None


def _bird_view(clues: Clues) -> Guess | None:
    if "bev_range_m" in clues.metadata and len(clues.of_rank(2)) >= 2:
        return Guess("bev_obstacles", {}, "bev_range_m in the file's metadata")
    return None


def _text(clues: Clues) -> Guess | None:
    if "character" in clues.metadata and clues.of_rank(3):
        return Guess("text", {}, "the characters in the file's metadata", recipe="paddle_text")
    if clues.says("ocr", "_det", "dbnet") and len(clues.outputs) == 1:
        shape = clues.outputs[0].shape
        if len(shape) == 4 and shape[1] == 1:
            why = "one map [1, 1, h, w] of a network for text"
            return Guess("text_regions", {}, why, sure=False, recipe="paddle")
    return None


def _simcc(clues: Clues) -> Guess | None:
    if clues.says("simcc_x") and clues.says("simcc_y"):
        return Guess(
            "single_pose", {"format": "simcc"}, "outputs simcc_x and simcc_y", recipe="imagenet"
        )
    return None


def _detr(clues: Clues) -> Guess | None:
    """Hugging Face and RF-DETR name their outputs."""
    names = {item.name: item for item in clues.of_rank(3)}
    scores = names.get("logits") or (names.get("labels") if "dets" in names else None)
    if scores is None or not ({"pred_boxes", "dets"} & names.keys()):
        return None
    count = scores.shape[-1]
    options: dict[str, object] = {"scores": "softmax"} if count == 92 else {}
    if count in (91, 92):
        options["labels"] = "coco91"
    return Guess("detr", options, f"outputs {', '.join(names)}", recipe="imagenet")


def _apart(clues: Clues) -> Guess | None:
    """Boxes, scores and classes of their own; masks beside them are those of Mask R-CNN."""
    flat = [item for item in clues.outputs if len(item.shape) in (1, 2)]
    boxes = [item for item in clues.of_rank(2, 3) if item.shape[-1] in (4, 5)]
    others = [item for item in flat if item not in boxes]
    needed = 1 if boxes and boxes[0].shape[-1] == 5 else 2
    if not boxes or len(others) < needed:
        return None
    if not any("int" in item.dtype for item in others) and not clues.says("class", "label"):
        return None
    options: dict[str, object] = {}
    if any(item.name.startswith("detection_") for item in clues.outputs):
        options = {"corners": "yxyx", "normalized": True}
    masks = clues.of_rank(4)
    why = "boxes, scores and classes as outputs of their own"
    if masks:
        return Guess("instances", {"format": "masks"}, f"{why}, and masks", recipe="unit")
    return Guess("detections", options, why, recipe="bytes" if options else "unit")


def _centerpoint(clues: Clues) -> Guess | None:
    heads = clues.of_rank(4)
    channels = sorted(item.shape[1] for item in heads if isinstance(item.shape[1], int))
    if len(heads) in (5, 6) and clues.says("rot") and channels[:1] == [1] and 3 in channels:
        options = {"origin_m": [-51.2, -51.2], "cell_m": [0.8, 0.8]}
        return Guess("centerpoint", options, "heads for rotation and size", sure=False)
    return None


def _anchors_3d(clues: Clues) -> Guess | None:
    """OpenPCDet and MMDetection3D name the heads of PointPillars."""
    heads = clues.of_rank(4)
    if len(heads) == 3 and clues.says("dir") and clues.says("cls", "score"):
        options = {
            "range_m": [0, -39.68, 69.12, 39.68],
            "anchors": [[0.8, 0.6, 1.73, -0.6], [1.76, 0.6, 1.73, -0.6], [3.9, 1.6, 1.56, -1.78]],
        }
        return Guess("anchors_3d", options, "heads for classes, boxes and directions", sure=False)
    return None


NAMED: tuple[Callable[[Clues], Guess | None], ...] = (
    _ultralytics,
    _bird_view,
    _text,
    _simcc,
    _detr,
    _apart,
    _centerpoint,
    _anchors_3d,
)
