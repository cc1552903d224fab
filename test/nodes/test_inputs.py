"""Tasks of several inputs, of a timer and of another task's results, over real DDS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from aegis_ros.msg import TaskSource
from aegis_ros.srv import EvaluateModel, RegisterModel, UnregisterModel
from onnx import TensorProto, helper, numpy_helper
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray, MultiArrayDimension

from aegis_ros.nodes import publishing
from test.nodes.system import SIZE, running


def _scaled(path: Path) -> Path:
    """``image`` float32 [1, 3, H, W] and ``gains`` float32 [1, 2, 3] -> ``sums`` float32 [1, 2].

    Each sum is that of the channels' means, weighted with a row of gains.
    """
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Unsqueeze", ["means", "last"], ["column"]),
            helper.make_node("MatMul", ["gains", "column"], ["weighted"]),
            helper.make_node("Squeeze", ["weighted", "last"], ["sums"]),
        ],
        "scaled",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, *SIZE]),
            helper.make_tensor_value_info("gains", TensorProto.FLOAT, ["batch", 2, 3]),
        ],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.array([2], np.int64), "last")],
    )
    return _saved(graph, path)


def _detector(path: Path) -> Path:
    """float32 [1, 3, H, W] -> ``boxes`` [1, 2, 6], x1 y1 x2 y2 score class, always the same."""
    rows = np.array([[[0, 0, 8, 6, 0.9, 0], [8, 6, 16, 12, 0.8, 0]]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
            helper.make_node("Add", ["rows", "zero"], ["boxes"]),
        ],
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *SIZE])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 6])],
        [
            numpy_helper.from_array(rows, "rows"),
            numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
        ],
    )
    return _saved(graph, path)


def _classifier(path: Path) -> Path:
    """float32 [N, 3, 4, 4] -> ``scores`` float32 [N, 3], the mean of each channel."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["input"], ["scores"], axes=[2, 3], keepdims=0)],
        "classifier",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
    )
    return _saved(graph, path)


def _saved(graph: onnx.GraphProto, path: Path) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path))
    return path


def _numbers(result: object, name: str) -> np.ndarray:
    (tensor,) = [each for each in result.tensors if each.name == name]  # type: ignore[attr-defined]
    return np.frombuffer(bytes(tensor.data), tensor.dtype).reshape(list(tensor.shape))


def test_an_image_and_numbers_feed_one_network_together(tmp_path: Path) -> None:
    model = _scaled(tmp_path / "scaled.onnx")
    task = f"""
- name: fusion
  model: {model}
  period_ms: 50
  jitter_ms: 5
  deadline_ms: 800
  wcet_ms: 1
  inputs:
    image:
      topic: /fusion/image
      max_size: [64, 64]
      preprocess: {{size: [{SIZE[0]}, {SIZE[1]}]}}
    gains:
      topic: /fusion/gains
      type: std_msgs/msg/Float32MultiArray
      shape: [2, 3]
      preprocess: {{layout: tensor}}
  sync: {{tolerance_ms: 500}}
  output: {{topic: /fusion/result}}
"""
    with running(tmp_path, task) as system:
        assert "admitted" in system.rationale("demand_bound", "fusion").decision
        system.listen("fusion")
        camera = system.camera("fusion")
        gains = system.robot.create_publisher(Float32MultiArray, "/fusion/gains", 1)
        system.until(lambda: camera.get_subscription_count() and gains.get_subscription_count())
        message = Float32MultiArray(data=[1.0, 2.0, 3.0, 0.0, 0.5, 0.0])
        message.layout.dim = [
            MultiArrayDimension(label="row", size=2, stride=6),
            MultiArrayDimension(label="column", size=3, stride=3),
        ]

        def publish() -> None:
            camera.publish(system.image(value=10))
            gains.publish(message)

        system.until(lambda: len(system.results_of("fusion")) >= 3, publish)
        for result in system.results_of("fusion"):
            np.testing.assert_allclose(_numbers(result, "sums"), [[60.0, 5.0]], rtol=1e-5)
            assert result.header.frame_id == "camera"
        status = system.until(
            lambda: [each for state in system.statuses[-1:] for each in state.tasks]
        )[0]
        assert {each.name for each in status.spec.inputs} == {"image", "gains"}
        assert status.spec.sync.tolerance_ms == 500.0


def test_frames_stamped_too_far_apart_release_nothing_and_say_so(tmp_path: Path) -> None:
    model = _scaled(tmp_path / "scaled.onnx")
    with running(tmp_path) as system:
        task = system.task("fusion", model=str(model), deadline_ms=800.0)
        task.input, source = type(task.input)(), task.input
        preprocess, task.preprocess = task.preprocess, type(task.preprocess)()
        task.inputs = [TaskSource(name=name) for name in ("image", "gains")]
        task.inputs[0].stream, task.inputs[0].preprocess = source, preprocess
        task.inputs[1].stream.topic = "/fusion/gains"
        task.inputs[1].stream.type = "std_msgs/msg/Float32MultiArray"
        task.inputs[1].stream.shape = [2, 3]
        task.inputs[1].preprocess.layout = "tensor"
        task.sync.tolerance_ms = 20.0
        task.sync.queue = 2
        answer = system.call(RegisterModel, task=task)
        assert answer.admitted, answer.rationale.sentence
        system.listen("fusion")
        camera = system.camera("fusion")
        gains = system.robot.create_publisher(Float32MultiArray, "/fusion/gains", 1)
        system.until(lambda: camera.get_subscription_count() and gains.get_subscription_count())
        gains.publish(Float32MultiArray(data=[0.0] * 6))

        def publish() -> None:
            image = system.image()
            image.header.stamp.sec -= 3
            camera.publish(image)

        system.until(lambda: [each for each in system.rationales if each.rule == "sync"], publish)
        said = system.rationale("sync", "fusion").sentence
        assert "within 20 ms" in said and "/fusion/image" in said
        assert system.results_of("fusion") == []


def test_a_timer_runs_a_network_on_the_newest_frame(tmp_path: Path) -> None:
    task = f"""
- name: slow
  model: {tmp_path}/identity.onnx
  trigger: {{timer: {{period_ms: 50}}}}
  jitter_ms: 20
  wcet_ms: 1
  input: {{topic: /slow/image, max_size: [64, 64]}}
  preprocess: {{size: [{SIZE[0]}, {SIZE[1]}]}}
  output: {{topic: /slow/result}}
"""
    with running(tmp_path, task) as system:
        system.listen("slow")
        said = system.rationale("sync", "slow").sentence
        assert "no frame on /slow/image has arrived yet" in said
        camera = system.camera("slow")
        system.until(lambda: camera.get_subscription_count() > 0)
        camera.publish(system.image(value=7))
        system.until(lambda: len(system.results_of("slow")) >= 5)
        results = system.results_of("slow")
        for result in results:
            np.testing.assert_array_equal(_numbers(result, "output"), np.full((1, 3, *SIZE), 7.0))
        stamps = [each.timing.stamped for each in results]
        apart = np.diff([each.sec * 1e3 + each.nanosec / 1e6 for each in stamps])
        assert np.all(apart > 49.0)


def _chain(tmp_path: Path) -> str:
    """A detector, and a classifier of what it finds."""
    first, second = _detector(tmp_path / "det.onnx"), _classifier(tmp_path / "cls.onnx")
    return f"""
- name: classifier
  model: {second}
  trigger: {{task: detector, crops: {{max_crops: 4}}}}
  preprocess: {{size: [4, 4]}}
  period_ms: 50
  jitter_ms: 5
  deadline_ms: 900
  wcet_ms: 2
  output: {{topic: /classifier/result, decoder: classification, options: {{labels: [r, g, b]}}}}
- name: detector
  model: {first}
  input: {{topic: /detector/image, max_size: [64, 64]}}
  preprocess: {{size: [{SIZE[0]}, {SIZE[1]}]}}
  period_ms: 50
  jitter_ms: 5
  deadline_ms: 600
  wcet_ms: 3
  output:
    topic: /detector/result
    decoder: boxes
    options: {{format: nms, threshold: 0.5, labels: [thing]}}
"""


def test_a_detectors_boxes_are_classified_crop_by_crop(tmp_path: Path) -> None:
    with running(tmp_path, _chain(tmp_path)) as system:
        rejected = [each.sentence for each in system.rationales if each.decision == "rejected"]
        assert rejected == []
        said = system.until(
            lambda: [
                each.sentence
                for each in system.rationales
                if each.task == "classifier" and each.decision == "admitted"
            ]
        )[0]
        assert "End to end, detector → classifier takes at most" in said
        for name in ("detector", "classifier"):
            system.listen(name)
        camera = system.camera("detector")
        system.until(lambda: camera.get_subscription_count() > 0)
        picture = np.zeros((*SIZE, 3), np.uint8)
        picture[:6, :8] = (200, 10, 20)
        picture[6:, 8:] = (5, 6, 90)
        image = Image(height=SIZE[0], width=SIZE[1], encoding="rgb8", step=SIZE[1] * 3)
        image.header.frame_id = "camera"
        image.data = picture.tobytes()

        def publish() -> None:
            image.header.stamp = system.robot.get_clock().now().to_msg()
            camera.publish(image)

        system.until(lambda: len(system.results_of("classifier")) >= 3, publish)
        for result in system.results_of("classifier"):
            found = json.loads(result.decoded)
            assert found["kind"] == "crops"
            tops = [item["result"]["items"][0]["label"] for item in found["items"]]
            assert tops == ["r", "b"]
            assert [item["box"] for item in found["items"]] == [[0, 0, 8, 6], [8, 6, 16, 12]]
            np.testing.assert_allclose(
                _numbers(result, "scores"), [[200, 10, 20], [5, 6, 90]], atol=1.5
            )
            assert result.header.frame_id == "camera"
        stamps = {
            (each.header.stamp.sec, each.header.stamp.nanosec)
            for each in system.results_of("detector")
        }
        result = system.results_of("classifier")[0]
        assert (result.header.stamp.sec, result.header.stamp.nanosec) in stamps
        refused = system.call(UnregisterModel, name="detector")
        assert not refused.success
        assert "its results trigger classifier" in refused.rationale.sentence
        assert system.call(UnregisterModel, name="classifier").success
        assert system.call(UnregisterModel, name="detector").success


def test_a_result_that_cannot_be_published_is_a_skipped_job_of_the_second_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(decoded: object) -> str:
        raise ValueError("not for JSON")

    with running(tmp_path, _chain(tmp_path)) as system:
        monkeypatch.setattr(publishing, "to_json", fail)
        camera = system.camera("detector")
        system.until(lambda: camera.get_subscription_count() > 0)
        system.until(
            lambda: [each for each in system.rationales if each.rule == "chain"],
            lambda: camera.publish(system.image()),
        )
        assert "of detector" in system.rationale("chain", "classifier").sentence


def test_a_chain_that_could_be_late_is_rejected_by_its_end_to_end_time(tmp_path: Path) -> None:
    first, second = _detector(tmp_path / "det.onnx"), _classifier(tmp_path / "cls.onnx")
    with running(tmp_path) as system:
        detector = system.task("detector", model=str(first), wcet_ms=10.0, period_ms=100.0)
        detector.output.decoder = "text_regions"  # reads any network of one output
        assert system.call(RegisterModel, task=detector).admitted
        follower = system.task(
            "classifier",
            model=str(second),
            wcet_ms=10.0,
            period_ms=100.0,
            deadline_ms=50.0,
            input__topic="",
            input__max_size=[],
            preprocess__size=[4, 4],
            trigger__task="detector",
        )
        answer = system.call(RegisterModel, task=follower)
        assert not answer.admitted
        assert "classifier" in answer.rationale.sentence
        follower.deadline_ms = 95.0
        answer = system.call(RegisterModel, task=follower)
        assert answer.admitted, answer.rationale.sentence
        assert "End to end, detector → classifier takes at most" in answer.rationale.sentence
        answers = [
            system.call(
                EvaluateModel,
                task=system.task("third", wcet_ms=wcet, period_ms=100.0, deadline_ms=deadline),
            )
            for wcet in (20.0, 30.0, 35.0, 40.0)
            for deadline in (60.0, 75.0)
        ]
        late = [each for each in answers if each.rationale.rule == "chain"]
        assert late, [(each.admitted, each.rationale.sentence) for each in answers]
        assert not late[0].admitted
        assert "third is rejected on lane main" in late[0].rationale.sentence
        assert "chain" in late[0].rationale.sentence
        absent = system.task(
            "lost",
            model=str(second),
            input__topic="",
            input__max_size=[],
            preprocess__size=[4, 4],
            trigger__task="nobody",
        )
        answer = system.call(RegisterModel, task=absent)
        assert not answer.admitted and "here is no task 'nobody'" in answer.rationale.sentence
