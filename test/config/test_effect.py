"""A key that is given and would have no effect is refused, whatever else the task declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aegis_ros.config import parse_config, parse_task, restored_task, to_mapping
from aegis_ros.errors import ConfigError

CLOUD = {"topic": "/cloud", "type": "sensor_msgs/msg/PointCloud2"}
SCAN = {"topic": "/scan", "type": "sensor_msgs/msg/LaserScan"}
JPEG = {"topic": "/camera/compressed", "type": "sensor_msgs/msg/CompressedImage"}
NUMBERS = {"topic": "/state", "type": "std_msgs/msg/Float32MultiArray", "shape": [6]}
POINTS = {"layout": "points"}
RANGES = {"layout": "ranges"}
TENSOR = {"layout": "tensor"}


def task(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "detector",
        "model": "net.onnx",
        "input": {"topic": "/camera"},
        "output": {"topic": "/out"},
        "period_ms": 100,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def clouds(**preprocess: Any) -> dict[str, Any]:
    return task(input=CLOUD, preprocess=POINTS | preprocess)


def timed(**changes: Any) -> dict[str, Any]:
    return task(period_ms=None, trigger={"timer": {"period_ms": 100}}, **changes)


def inside(**source: Any) -> dict[str, Any]:
    return task(input=None, inputs={"image": {"topic": "/camera"} | source})


CASES = [
    (task(input={"topic": "/camera", "max_points": 5}), "input.max_points", "max_size"),
    (task(input=JPEG | {"max_points": 5}), "input.max_points", "max_size"),
    (clouds() | {"input": CLOUD | {"max_size": [4, 4]}}, "input.max_size", "max_points"),
    (task(input=SCAN | {"max_size": [4, 4]}, preprocess=RANGES), "input.max_size", "max_points"),
    (task(input=NUMBERS | {"max_size": [4, 4]}, preprocess=TENSOR), "input.max_size", "shape"),
    (task(input=NUMBERS | {"max_points": 4}, preprocess=TENSOR), "input.max_points", "shape"),
    (clouds(size=[4, 4]), "preprocess.size", "layout points"),
    (clouds(color="bgr"), "preprocess.color", "layout points"),
    (clouds(resize="letterbox"), "preprocess.resize", "layout points"),
    (clouds(interpolation="nearest"), "preprocess.interpolation", "layout points"),
    (clouds(pad=0), "preprocess.pad", "layout points"),
    (task(input=SCAN, preprocess=RANGES | {"size": [9, 9]}), "preprocess.size", "layout ranges"),
    (
        task(input=NUMBERS, preprocess=TENSOR | {"color": "bgr"}),
        "preprocess.color",
        "layout tensor",
    ),
    (task(preprocess={"pad": 0}), "preprocess.pad", "resize: letterbox"),
    (
        task(input=NUMBERS, preprocess=TENSOR | {"resize": "crop"}),
        "preprocess.resize",
        "layout tensor",
    ),
    (
        task(preprocess={"size": [4, 4], "resize": "crop", "interpolation": "nearest"}),
        "preprocess.interpolation",
        "resize crop",
    ),
    (
        task(preprocess={"resize": "none", "interpolation": "nearest"}),
        "preprocess.interpolation",
        "resize none",
    ),
    (inside(preprocess={"input_name": "x"}), "inputs.image.preprocess.input_name", "'image'"),
    (inside(max_points=9), "inputs.image.max_points", "max_size"),
    (inside(preprocess={"pad": 0}), "inputs.image.preprocess.pad", "letterbox"),
    (
        timed() | {"trigger": {"timer": {"period_ms": 100}, "crops": {"max_crops": 3}}},
        "trigger.crops",
        "trigger.timer",
    ),
    (timed(input=None, preprocess={"scale": 2.0}), "preprocess.scale", "without an input"),
    (
        timed(input=None, output={"topic": "/out", "annotate": True}),
        "output.annotate",
        "without an input",
    ),
    (
        task(input=SCAN, preprocess=RANGES, output={"topic": "/out", "annotate": True}),
        "output.annotate",
        "layout ranges",
    ),
    (task(criticality="best_effort", queue=3), "queue", "best_effort"),
    (task(segments=1, on_overrun="stop"), "on_overrun", "segments: 1"),
    (task(segments=1, resident="auto"), "resident", "segments: 1"),
    (task(storage="warm"), "storage", "resident: all"),
]


@pytest.mark.parametrize(("values", "key", "says"), CASES, ids=[key for _, key, _ in CASES])
def test_a_key_without_effect_is_refused_by_name(
    values: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_task(values, "robot.yaml")
    said = str(caught.value)
    assert said.startswith(f"robot.yaml: {key}: has no effect ")
    assert "expected it left out" in said and says in said


@pytest.mark.parametrize(
    "values",
    [
        task(),
        clouds(mean=[1.0, 1.0, 1.0]),
        task(preprocess={"dtype": "uint8", "scale": 1, "mean": [0, 0, 0], "std": [1]}),
        task(preprocess={"dtype": "int8", "mean": [128]}),
        task(preprocess={"color": "depth", "dtype": "uint16", "scale": 1000}),
        task(preprocess={"resize": "letterbox", "pad": 0, "interpolation": "nearest"}),
        task(input=SCAN | {"max_points": 360}, preprocess=RANGES),
        task(input=SCAN, preprocess=RANGES | {"resize": "pad", "pad": 30}),
        task(input=SCAN, preprocess=RANGES | {"resize": "pad"}),
        task(input=SCAN, preprocess=RANGES | {"resize": "sample"}),
        clouds(resize="crop"),
        task(preprocess={"size": [4, 4], "resize": "pad", "pad": 0}),
        task(input=NUMBERS, preprocess=TENSOR | {"dtype": "uint8", "scale": 2.0}),
        timed(input=None),
        clouds() | {"input": CLOUD | {"invalid": "keep"}},
        task(input={"topic": "/d", "invalid": "zero"}, preprocess={"color": "depth"}),
        timed(preprocess={"scale": 0.5}),
        inside(max_size=[4, 4], preprocess={"scale": 0.5}),
        task(criticality="best_effort"),
        task(segments=2, on_overrun="stop"),
        task(resident=3, storage="warm"),
        task(segments=2, resident="auto"),
    ],
)
def test_keys_with_an_effect_and_defaults_that_are_written_out_are_read(
    values: dict[str, Any],
) -> None:
    spec = parse_task(values)
    assert parse_task(json.loads(json.dumps(to_mapping(spec)))) == spec


def test_the_place_is_that_of_the_key() -> None:
    with pytest.raises(
        ConfigError, match=r"robot.yaml:7: tasks\[0\].preprocess.pad: has no effect"
    ):
        parse_config(
            "tasks:\n- name: a\n  model: m.onnx\n  period_ms: 9\n  input: {topic: /a}\n"
            "  preprocess:\n    pad: 3\n  output: {topic: /b}\n",
            "robot.yaml",
        )


def test_a_limit_of_a_trace_that_is_not_written_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trace.max_mib: has no effect without trace.file"):
        parse_config("trace: {max_mib: 5}", "robot.yaml")
    assert parse_config("trace: {max_mib: 5, file: a.mcap}").trace.max_bytes == 5 * 2**20


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (task(input=JPEG, preprocess={"color": "depth"}), "preprocess.color: depth is not read"),
        (
            task(input=JPEG | {"topic": "/depth/compressedDepth"}),
            "input.topic: compressed depth is not read",
        ),
        (
            inside(type=JPEG["type"], preprocess={"color": "depth"}),
            "inputs.image.preprocess.color: depth is not read",
        ),
        (
            task(preprocess={"dtype": "uint8", "scale": 1 / 255}),
            "preprocess.scale: leaves numbers of a span of 1",
        ),
        (inside(preprocess={"dtype": "int8", "std": [100.0]}), "inputs.image.preprocess.scale"),
        (clouds(mean=[1, 2, 3]), "one number for all"),
        (
            task(input={"topic": "/camera", "invalid": "zero"}),
            "input.invalid: does not fit layout nchw and color rgb (got zero); expected it left "
            "out. Colors are always numbers",
        ),
        (
            task(input={"topic": "/d", "invalid": "drop"}, preprocess={"color": "depth"}),
            "input.invalid: does not fit layout nchw and color depth (got drop); expected zero or "
            "keep. Only points can be left out",
        ),
        (task(input=SCAN | {"invalid": "drop"}, preprocess=RANGES), "expected zero or keep"),
        (inside(invalid="keep"), "inputs.image.invalid"),
    ],
)
def test_what_a_stream_cannot_give_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_task(values, "robot.yaml")
    assert says in str(caught.value)
    if "not read" in says:
        assert "image_transport republish" in str(caught.value)


@pytest.mark.parametrize(
    ("preprocess", "says"),
    [
        (
            {"resize": "letterbox", "pad": 113.5},
            "preprocess.pad: pixels are whole numbers, and so is what is filled in beside them "
            "(got 113.5); expected 113 or 114.",
        ),
        ({"resize": "pad", "size": [4, 4], "pad": 0.25, "color": "mono"}, "expected 0 or 1"),
        ({"scale": 1e-60}, "preprocess.scale: divided by std (1) is no number that float32 holds"),
        ({"scale": 1e30, "std": [1e-11]}, "preprocess.scale: divided by std (1e-11)"),
        ({"mean": [0, 1e39, 0]}, "preprocess.mean: divided by std (1)"),
        ({"scale": 0.01, "std": [1, 1e37, 1]}, "preprocess.scale: divided by std (1e+37)"),
    ],
)
def test_numbers_that_would_be_changed_are_refused(preprocess: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_task(task(preprocess=preprocess), "robot.yaml")
    assert says in str(caught.value)


def test_numbers_that_are_kept_are_taken() -> None:
    depth = {"color": "depth", "resize": "letterbox", "pad": 0.5}
    assert parse_task(task(preprocess=depth)).preprocess.pad == 0.5
    ranges = RANGES | {"resize": "pad", "pad": 29.5}
    assert parse_task(task(input=SCAN, preprocess=ranges)).preprocess.pad == 29.5
    whole = {"resize": "letterbox", "pad": 113.0}
    assert parse_task(task(preprocess=whole)).preprocess.pad == 113
    assert parse_task(task(preprocess={"scale": 0.0})).preprocess.scale == 0.0


def test_a_task_that_an_earlier_version_wrote_out_loses_the_keys_that_it_ignored() -> None:
    plain = to_mapping(parse_task(task()))
    written = json.loads(json.dumps(plain | {"criticality": "best_effort", "queue": 4}))
    written["preprocess"]["pad"] = 7
    kept = json.loads(json.dumps(written))
    restored, left_out = restored_task(written, "journal entry")
    assert left_out == ("preprocess.pad", "queue")
    assert restored == parse_task(plain | {"criticality": "best_effort"})
    assert written == kept


@pytest.mark.parametrize("wrong", [{"queue": 0}, {"period_ms": -1}, {"unheard": 1}])
def test_what_is_wrong_in_another_way_is_still_refused(wrong: dict[str, Any]) -> None:
    written = to_mapping(parse_task(task())) | wrong
    written["preprocess"] |= {"pad": 7}
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        restored_task(written, "journal entry")
