"""Well-known exports of networks, and the decoder that reads each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aegis_ros.decoders.guessing import Clues
from aegis_ros.network.tensor import TensorInfo

__all__ = ["EXPORTS", "Export", "table"]

_ULTRALYTICS = {"author": "Ultralytics", "stride": "32"}


@dataclass(frozen=True, slots=True)
class Export:
    """One way to export a network.

    Attributes:
        name: network and exporter.
        outputs: extents by name; those of whole numbers are called so in ``whole``.
        decoder: name of the decoder.
        options: of the decoder.
        size: height and width of the example's input.
        metadata: what the exporter writes into the file.
        made_by: last operator of each output, where it matters.
        words: of its file name.
        whole: outputs of whole numbers.
        yours: options that only you know, such as ``labels``.
        note: what else to know; empty for nothing.
    """

    name: str
    outputs: Mapping[str, tuple[int, ...]]
    decoder: str
    options: Mapping[str, object] = field(default_factory=dict)
    size: tuple[int, int] = (640, 640)
    metadata: Mapping[str, str] = field(default_factory=dict)
    made_by: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    whole: tuple[str, ...] = ()
    yours: Mapping[str, object] = field(default_factory=dict)
    note: str = ""

    @property
    def clues(self) -> Clues:
        """What can be seen of it."""
        return Clues(self.infos, self.size, self.metadata, self.made_by, self.words)

    @property
    def infos(self) -> tuple[TensorInfo, ...]:
        """The outputs as a prepared network has them."""
        return tuple(
            TensorInfo(name, "int64" if name in self.whole else "float32", shape)
            for name, shape in self.outputs.items()
        )


def _ultralytics(task: str, **more: str) -> dict[str, str]:
    return {**_ULTRALYTICS, "task": task, **more}


_SCAN = (1, 1)

EXPORTS = (
    Export(
        "ultralytics v5u, v8, v9, 11, 12, also 26 and v10 without `end2end`: detect",
        {"output0": (1, 84, 8400)},
        "boxes",
        {"format": "yolov8"},
        metadata=_ultralytics("detect"),
    ),
    Export(
        "ultralytics 26, v10 with `end2end=True` (8.4: `nms=False`), any with `nms=True`: detect",
        {"output0": (1, 300, 6)},
        "boxes",
        {"format": "nms"},
        metadata=_ultralytics("detect"),
    ),
    Export(
        "ultralytics v8, 11, 26: segment",
        {"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)},
        "instances",
        {"format": "yolov8"},
        metadata=_ultralytics("segment"),
    ),
    Export(
        "ultralytics 26 end to end: segment",
        {"output0": (1, 300, 38), "output1": (1, 32, 160, 160)},
        "instances",
        {"format": "end2end"},
        metadata=_ultralytics("segment"),
    ),
    Export(
        "ultralytics v8, 11, 26: pose",
        {"output0": (1, 56, 8400)},
        "keypoints",
        {"format": "yolo"},
        metadata=_ultralytics("pose", kpt_shape="[17, 3]"),
    ),
    Export(
        "ultralytics 26 end to end: pose",
        {"output0": (1, 300, 57)},
        "keypoints",
        {"format": "end2end"},
        metadata=_ultralytics("pose", kpt_shape="[17, 3]"),
    ),
    Export(
        "ultralytics v8, 11, 26: obb",
        {"output0": (1, 20, 21504)},
        "oriented",
        size=(1024, 1024),
        metadata=_ultralytics("obb"),
    ),
    Export(
        "ultralytics 26 end to end, any with `nms=True`: obb",
        {"output0": (1, 300, 7)},
        "oriented",
        {"format": "end2end"},
        size=(1024, 1024),
        metadata=_ultralytics("obb"),
    ),
    Export(
        "ultralytics: classify",
        {"output0": (1, 1000)},
        "classification",
        size=(224, 224),
        metadata=_ultralytics("classify"),
    ),
    Export(
        "ultralytics 26: semantic",
        {"output0": (1, 640, 640)},
        "segmentation",
        {"layout": "index"},
        metadata=_ultralytics("semantic"),
        whole=("output0",),
    ),
    Export(
        "RT-DETR of ultralytics since 8.4",
        {"output0": (1, 300, 6)},
        "boxes",
        {"format": "nms", "corners": "cxcywh", "normalized": True},
        metadata=_ultralytics("detect", head="RTDETRDecoder"),
    ),
    Export(
        "RT-DETR of ultralytics before 8.4",
        {"output0": (1, 300, 84)},
        "detr",
        metadata=_ultralytics("detect", description="Ultralytics rtdetr-l model"),
    ),
    Export(
        "YOLOv5 repository, YOLOv7",
        {"output0": (1, 25200, 85)},
        "boxes",
        {"format": "yolov5"},
        yours={"labels": "coco"},
    ),
    Export(
        "YOLOv5 repository: segment",
        {"output0": (1, 25200, 117), "output1": (1, 32, 160, 160)},
        "instances",
        {"format": "yolov5"},
        yours={"labels": "coco"},
    ),
    Export(
        "YOLOv6",
        {"outputs": (1, 8400, 85)},
        "boxes",
        {"format": "yolov5"},
        words="yolov6n",
        yours={"labels": "coco"},
    ),
    Export(
        "YOLOv7 with `--end2end`",
        {"output": (100, 7)},
        "boxes",
        {"format": "nms", "columns": "batch_box_class_score"},
        yours={"labels": "coco"},
    ),
    Export(
        "YOLOX",
        {"output": (1, 8400, 85)},
        "boxes",
        {"format": "grid"},
        yours={"labels": "coco"},
        note="`format: yolov5` if it was exported with `--decode_in_inference`",
    ),
    Export(
        "NanoDet-Plus",
        {"output": (1, 3598, 112)},
        "nanodet",
        size=(416, 416),
        yours={"labels": "coco"},
    ),
    Export(
        "NanoDet before Plus",
        {
            "cls_pred_stride_8": (1, 1600, 80),
            "cls_pred_stride_16": (1, 400, 80),
            "cls_pred_stride_32": (1, 100, 80),
            "dis_pred_stride_8": (1, 1600, 32),
            "dis_pred_stride_16": (1, 400, 32),
            "dis_pred_stride_32": (1, 100, 32),
        },
        "nanodet",
        {"offset": 0.5},
        size=(320, 320),
        yours={"labels": "coco"},
    ),
    Export(
        "FastestDet",
        {"output": (1, 85, 22, 22)},
        "fastestdet",
        size=(352, 352),
        yours={"labels": "coco"},
    ),
    Export(
        "SSD, scores first",
        {"scores": (1, 3000, 21), "boxes": (1, 3000, 4)},
        "boxes",
        {"format": "ssd", "normalized": True, "background": 0},
        size=(300, 300),
        made_by={"scores": "Softmax"},
        yours={"labels": ["background", "…"]},
        note="`softmax: true` if the graph does not end with one",
    ),
    Export(
        "SSD, boxes first",
        {"boxes": (1, 3000, 4), "scores": (1, 3000, 21)},
        "boxes",
        {"format": "ssd", "normalized": True, "background": 0},
        size=(300, 300),
        made_by={"scores": "Softmax"},
        yours={"labels": ["background", "…"]},
    ),
    Export(
        "YOLO-NAS, DAMO-YOLO",
        {"boxes": (1, 8400, 4), "scores": (1, 8400, 80)},
        "boxes",
        {"format": "ssd"},
        made_by={"scores": "Sigmoid"},
        yours={"labels": "coco"},
    ),
    Export(
        "TensorFlow object detection",
        {
            "detection_boxes": (1, 100, 4),
            "detection_classes": (1, 100),
            "detection_scores": (1, 100),
            "num_detections": (1,),
        },
        "detections",
        {"corners": "yxyx", "normalized": True},
        size=(320, 320),
        yours={"labels": "coco91"},
    ),
    Export(
        "torchvision detection",
        {"boxes": (100, 4), "labels": (100,), "scores": (100,)},
        "detections",
        whole=("labels",),
        yours={"labels": "coco91"},
    ),
    Export(
        "torchvision Mask R-CNN",
        {
            "boxes": (100, 4),
            "labels": (100,),
            "scores": (100,),
            "masks": (100, 1, 640, 640),
        },
        "instances",
        {"format": "masks"},
        whole=("labels",),
        yours={"labels": "coco91"},
    ),
    Export(
        "TensorRT's EfficientNMS",
        {
            "num_dets": (1, 1),
            "det_boxes": (1, 100, 4),
            "det_scores": (1, 100),
            "det_classes": (1, 100),
        },
        "detections",
        whole=("num_dets", "det_classes"),
        yours={"labels": "coco"},
    ),
    Export(
        "mmdeploy detection",
        {"dets": (1, 100, 5), "labels": (1, 100)},
        "detections",
        whole=("labels",),
        yours={"labels": "coco"},
    ),
    Export(
        "RT-DETR, D-FINE with post-processing",
        {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)},
        "detections",
        whole=("labels",),
        yours={"labels": "coco"},
        note="make the input `orig_target_sizes` a constant of the graph: the size of its input",
    ),
    Export(
        "RT-DETR, D-FINE of Hugging Face",
        {"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)},
        "detr",
        yours={"labels": "coco"},
    ),
    Export(
        "DETR, YOLOS of Hugging Face",
        {"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)},
        "detr",
        {"scores": "softmax", "labels": "coco91"},
        size=(800, 800),
    ),
    Export(
        "RF-DETR",
        {"dets": (1, 300, 4), "labels": (1, 300, 91)},
        "detr",
        {"labels": "coco91"},
        size=(560, 560),
    ),
    Export(
        "PP-YOLOE, PicoDet of PaddleDetection",
        {"multiclass_nms3_0.tmp_0": (100, 6)},
        "boxes",
        {"format": "nms", "columns": "class_score_box"},
        yours={"labels": "coco"},
    ),
    Export(
        "CenterNet",
        {"hm": (1, 80, 128, 128), "wh": (1, 2, 128, 128), "reg": (1, 2, 128, 128)},
        "centernet",
        size=(512, 512),
        yours={"labels": "coco"},
        note="`sigmoid: false` if the graph ends with one",
    ),
    Export(
        "CenterFace",
        {
            "heat": (1, 1, 120, 160),
            "size": (1, 2, 120, 160),
            "offset": (1, 2, 120, 160),
            "marks": (1, 10, 120, 160),
        },
        "centerface",
        size=(480, 640),
    ),
    Export(
        "semantic segmentation, a channel a class",
        {"output": (1, 21, 520, 520)},
        "segmentation",
        size=(520, 520),
        yours={"labels": ["…"]},
    ),
    Export(
        "semantic segmentation, class numbers",
        {"output": (1, 520, 520)},
        "segmentation",
        {"layout": "index"},
        size=(520, 520),
        whole=("output",),
        yours={"labels": ["…"]},
    ),
    Export(
        "MoveNet, one person",
        {"output_0": (1, 1, 17, 3)},
        "single_pose",
        {"format": "movenet"},
        size=(192, 192),
        note="with `float32` or `uint8` input",
    ),
    Export(
        "MoveNet, several people",
        {"output_0": (1, 6, 56)},
        "keypoints",
        {"format": "movenet"},
        size=(256, 256),
        note="with `float32` or `uint8` input",
    ),
    Export(
        "HRNet, SimpleBaseline",
        {"output": (1, 17, 64, 48)},
        "single_pose",
        size=(256, 192),
        note="behind a detector of people: `trigger: {task: …}`",
    ),
    Export(
        "RTMPose",
        {"simcc_x": (1, 17, 384), "simcc_y": (1, 17, 512)},
        "single_pose",
        {"format": "simcc"},
        size=(256, 192),
        note="behind a detector of people: `trigger: {task: …}`",
    ),
    Export(
        "torchvision, timm classification",
        {"output": (1, 1000)},
        "classification",
        {"softmax": True},
        size=(224, 224),
        yours={"labels": ["…"]},
    ),
    Export(
        "re-identification, image embedding",
        {"output": (1, 512)},
        "embedding",
        size=(256, 128),
        note="behind a detector: `trigger: {task: …}`",
    ),
    Export(
        "Depth Anything, MiDaS",
        {"predicted_depth": (1, 518, 518)},
        "depth",
        {"format": "inverse"},
        size=(518, 518),
        yours={"scale": 10.0, "shift": 0.1},
        note="relative: `scale` and `shift` are yours to measure",
    ),
    Export(
        "Depth Anything, metric",
        {"predicted_depth": (1, 518, 518)},
        "depth",
        size=(518, 518),
        words="depth_anything_v2_metric",
    ),
    Export(
        "PP-OCR detection",
        {"sigmoid_0.tmp_0": (1, 1, 640, 640)},
        "text_regions",
        words="ch_pp-ocrv4_det_infer",
        made_by={"sigmoid_0.tmp_0": "Sigmoid"},
    ),
    Export(
        "PP-OCR recognition",
        {"softmax_11.tmp_0": (1, 40, 97)},
        "text",
        size=(48, 320),
        metadata={"character": "\n".join(chr(33 + index) for index in range(95))},
    ),
    Export(
        "OpenPCDet, TAO PointPillars with suppression",
        {"boxes": (1, 200, 9)},
        "boxes_3d",
        size=_SCAN,
        yours={"labels": ["…"]},
        note="`columns` where the order is another; the network must take points [N, 4]",
    ),
    Export(
        "PointPillars of OpenPCDet or MMDetection3D, heads only (KITTI)",
        {
            "cls_preds": (1, 18, 248, 216),
            "box_preds": (1, 42, 248, 216),
            "dir_cls_preds": (1, 12, 248, 216),
        },
        "anchors_3d",
        {
            "range_m": [0, -39.68, 69.12, 39.68],
            "anchors": [[0.8, 0.6, 1.73, -0.6], [1.76, 0.6, 1.73, -0.6], [3.9, 1.6, 1.56, -1.78]],
        },
        size=_SCAN,
        yours={"labels": ["…"]},
        note="range and anchors are those of your network, `align_center` as in its config; it "
        "must take points [N, 4]",
    ),
    Export(
        "CenterPoint",
        {
            "heatmap": (1, 3, 128, 128),
            "reg": (1, 2, 128, 128),
            "height": (1, 1, 128, 128),
            "dim": (1, 3, 128, 128),
            "rot": (1, 2, 128, 128),
            "vel": (1, 2, 128, 128),
        },
        "centerpoint",
        {"origin_m": [-51.2, -51.2], "cell_m": [0.8, 0.8]},
        size=_SCAN,
        yours={"labels": ["…"]},
        note="range and cells are those of your network; it must take points [N, 4]",
    ),
)


def table() -> str:
    """Return all exports as a table in Markdown."""
    lines = ["| your export | its outputs | decoder and options |", "| --- | --- | --- |"]
    for export in EXPORTS:
        outputs = ", ".join(f"`{name}` {list(shape)}" for name, shape in export.outputs.items())
        keys = {**export.options, **export.yours}
        options = ", ".join(f"{key}: {_yaml(value)}" for key, value in keys.items())
        cell = f"`decoder: {export.decoder}`" + (f", `options: {{{options}}}`" if options else "")
        note = f"; {export.note}" if export.note else ""
        lines.append(f"| {export.name} | {outputs} | {cell}{note} |")
    return "\n".join(lines) + "\n"


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    return str(value)
