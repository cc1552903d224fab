"""Networks that load a device: no runtime finds a way round the work, and numbers stay numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from aegis_ros.network.heavy import arithmetic_heavy, memory_heavy

PASSES = 4


@pytest.mark.parametrize(
    ("write", "operator"),
    [
        (partial(memory_heavy, rows=64, columns=16, passes=PASSES), "Softmax"),
        (partial(arithmetic_heavy, rows=64, width=16, times=PASSES), "MatMul"),
    ],
)
def test_nothing_of_the_work_is_optimised_away(
    tmp_path: Path, write: Callable[[Path], None], operator: str
) -> None:
    path, optimised = tmp_path / "heavy.onnx", tmp_path / "optimised.onnx"
    write(path)
    onnx.checker.check_model(onnx.load_model(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load_model(optimised).graph.node)
    assert kinds[operator] == PASSES
    (result,) = session.run(None, {"number": np.array([[3.0]], np.float32)})
    assert result.shape == (1, 1) and np.isfinite(result).all() and result[0, 0] > 0.0


def test_products_neither_grow_nor_vanish(tmp_path: Path) -> None:
    arithmetic_heavy(tmp_path / "heavy.onnx", rows=32, width=256, times=32)
    session = onnxruntime.InferenceSession(
        str(tmp_path / "heavy.onnx"), providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {"number": np.array([[100.0]], np.float32)})
    assert 30.0 < result[0, 0] < 300.0


@pytest.mark.parametrize("write", [memory_heavy, partial(arithmetic_heavy, width=64)])
def test_no_result_depends_on_the_order_in_which_a_whole_tensor_is_added_up(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    """ONNX Runtime's CUDA provider adds sums and means over all axes up atomically."""
    write(tmp_path / "heavy.onnx")
    nodes = onnx.load_model(tmp_path / "heavy.onnx").graph.node
    reductions = {node.op_type for node in nodes if node.op_type.startswith("Reduce")}
    assert reductions == {"ReduceMax"}


def test_a_file_is_always_the_same(tmp_path: Path) -> None:
    for write in (memory_heavy, partial(arithmetic_heavy, width=64)):
        for name in ("one", "other"):
            (tmp_path / name).mkdir(exist_ok=True)
            write(tmp_path / name / "heavy.onnx")
        first, second = ((tmp_path / name / "heavy.onnx") for name in ("one", "other"))
        assert first.read_bytes() == second.read_bytes()
