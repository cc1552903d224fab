"""For every decoder of the house, the smallest network that fits it."""

from __future__ import annotations

__all__ = ["FITTING"]

# Of every decoder: its options, its outputs' shapes, and the file's metadata.
FITTING: dict[str, tuple[dict[str, object], dict[str, tuple[int, ...]], dict[str, str]]] = {
    "raw": ({}, {"o": (1, 3)}, {}),
    "boxes": ({}, {"o": (1, 6, 30)}, {}),
    "centerface": (
        {},
        {"a": (1, 1, 12, 16), "b": (1, 2, 12, 16), "c": (1, 2, 12, 16), "d": (1, 10, 12, 16)},
        {},
    ),
    "boxes_3d": ({}, {"o": (1, 12, 9)}, {}),
    "centerpoint": (
        {"origin_m": [-8.0, -4.0], "cell_m": [0.5, 0.5]},
        {
            "heatmap": (1, 2, 8, 8),
            "reg": (1, 2, 8, 8),
            "height": (1, 1, 8, 8),
            "dim": (1, 3, 8, 8),
            "rot": (1, 2, 8, 8),
            "vel": (1, 2, 8, 8),
        },
        {},
    ),
    "depth": ({}, {"o": (1, 1, 12, 16)}, {}),
    "embedding": ({}, {"o": (1, 8)}, {}),
    "instances": ({}, {"r": (1, 9, 30), "p": (1, 2, 12, 16)}, {}),
    "keypoints": ({"keypoints": 2}, {"o": (1, 11, 30)}, {}),
    "single_pose": ({}, {"o": (1, 3, 12, 16)}, {}),
    "centernet": ({}, {"hm": (1, 3, 12, 16), "wh": (1, 2, 12, 16), "reg": (1, 2, 12, 16)}, {}),
    "classification": ({}, {"o": (1, 7)}, {}),
    "detections": ({}, {"boxes": (1, 9, 4), "scores": (1, 9), "classes": (1, 9)}, {}),
    "detr": ({}, {"o": (1, 9, 7)}, {}),
    "fastestdet": ({}, {"o": (1, 8, 6, 8)}, {}),
    "nanodet": ({}, {"o": (1, 6 * 8 + 3 * 4 + 2 * 2, 35)}, {}),
    "segmentation": ({}, {"o": (1, 3, 12, 16)}, {}),
    "text_regions": ({}, {"o": (1, 1, 48, 64)}, {}),
    "text": ({"characters": "abc"}, {"o": (1, 9, 4)}, {}),
    "oriented": ({}, {"o": (1, 7, 30)}, {}),
    "anchors_3d": (
        {
            "range_m": [0.0, -8.0, 16.0, 8.0],
            "anchors": [[0.8, 0.6, 1.7, -0.6], [3.9, 1.6, 1.5, -1.8]],
            "min_distance_m": 0.0,
        },
        {
            "cls_preds": (1, 5, 6, 8),
            "box_preds": (1, 5, 6, 28),
            "dir_cls_preds": (1, 5, 6, 8),
        },
        {},
    ),
    "bev_obstacles": ({}, {"o": (20, 20), "h": (20, 20)}, {"bev_range_m": "10.0"}),
}
