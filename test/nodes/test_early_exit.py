"""A robot that learns which results ended at an early exit, and gets that exit's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from aegis_ros.srv import RegisterModel, UnregisterModel
from onnx import TensorProto, helper, numpy_helper

from test.nodes.system import SIZE, running

_LAYERS = 8


def _two_heads(path: Path) -> Path:
    """float32 [1, 3, H, W] -> ``logits`` float32 [1, 5], ``aux`` as well after one layer."""
    width = 3 * SIZE[0] * SIZE[1]
    generator = np.random.default_rng(1)
    layers = [
        node
        for number in range(_LAYERS)
        for node in (
            helper.make_node("MatMul", [f"x{number}", "layer"], [f"mixed{number}"]),
            helper.make_node("Tanh", [f"mixed{number}"], [f"x{number + 1}"]),
        )
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("Mul", ["flat", "small"], ["x0"]),
            *layers[:2],
            helper.make_node("MatMul", ["x1", "head"], ["aux"]),
            *layers[2:],
            helper.make_node("MatMul", [f"x{_LAYERS}", "head"], ["logits"]),
        ],
        "two_heads",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *SIZE])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5]),
            helper.make_tensor_value_info("aux", TensorProto.FLOAT, [1, 5]),
        ],
        [
            numpy_helper.from_array(np.float32(0.01), "small"),
            *(
                numpy_helper.from_array(
                    generator.normal(0, 0.05, (width, columns)).astype(np.float32), name
                )
                for name, columns in (("layer", width), ("head", 5))
            ),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path))
    return path


def test_a_result_that_ended_early_says_so_and_carries_the_exits_numbers(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        model = _two_heads(tmp_path / "heads.onnx")
        plain = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        (wanted,) = plain.run(["aux"], {"input": np.full((1, 3, *SIZE), 100, np.float32)})
        task = system.task(
            "heads",
            model=str(model),
            segments=4,
            wcet_ms=0.001,  # which no network keeps
            criticality="low",
            on_overrun="early_exit",
            early_exit="{logits: aux}",
        )
        answer = system.call(RegisterModel, task=task)
        assert answer.admitted, answer.rationale.sentence
        system.listen("heads")
        camera = system.camera("heads")
        system.until(lambda: camera.get_subscription_count() > 0)
        system.until(
            lambda: system.results_of("heads"), lambda: camera.publish(system.image(value=100))
        )
        result = system.results_of("heads")[0]
        assert result.early_exit
        (tensor,) = result.tensors
        assert tensor.name == "logits"
        found = np.frombuffer(bytes(tensor.data), "<f4").reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        said = system.rationale("overrun", "heads").sentence
        assert "early exit" in said and "(on_overrun: early_exit)" in said
        (status,) = system.until(
            lambda: [
                each
                for state in system.statuses[-1:]
                for each in state.tasks
                if each.spec.name == "heads" and each.early_exits
            ]
        )
        assert status.spec.on_overrun == "early_exit" and status.spec.early_exit
        system.call(UnregisterModel, name="heads")


def test_an_exit_that_comes_with_the_end_only_is_rejected_with_a_hint(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as system:
        model = _two_heads(tmp_path / "heads.onnx")
        task = system.task(
            "heads",
            model=str(model),
            on_overrun="early_exit",
            early_exit="{logits: aux}",
        )
        answer = system.call(RegisterModel, task=task)
        assert not answer.admitted
        assert "(segments: 2), or choose another on_overrun" in answer.rationale.sentence
