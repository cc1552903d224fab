"""TVM's own texts and absence, without TVM."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends import create_backend
from aegis_ros.backends.tvm import toolkit
from aegis_ros.backends.tvm.channels import resized_by_channels
from aegis_ros.backends.tvm.compiling import _without_extents
from aegis_ros.backends.tvm.refusals import tvm_failure, tvm_text
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.rationale.loading import MemoryUsedUp, OperatorMissing, RuntimeRefuses


@pytest.mark.parametrize("absent", ["tvm", "tvm_ffi_orcjit"])
def test_what_is_missing_is_told_with_the_line_that_installs_it(monkeypatch, absent):
    monkeypatch.setattr(toolkit, "find_spec", lambda name: None if name == absent else name)
    with pytest.raises(BackendError, match=r"`pip install 'aegis_ros\[tvm\]'`"):
        create_backend("tvm")


def test_an_operator_that_tvm_lacks_is_named():
    said = "The following operators are not supported for frontend ONNX: Mystery, Other"
    assert tvm_failure(RuntimeError(said)) == OperatorMissing("Mystery", "")


def test_an_operator_that_only_the_compiler_has_is_named():
    said = "Cannot find ffi::Function relax.run.nonzero in either Relax VM kernel library, or"
    assert tvm_failure(BackendError(said)) == OperatorMissing("nonzero", "")


def test_a_shape_is_no_tensor_of_unknown_extents():
    assert not _without_extents(SimpleNamespace(ndim=2))
    assert _without_extents(SimpleNamespace(ndim=2, shape=None))
    assert not _without_extents(SimpleNamespace(ndim=2, shape=(3, 4)))


def test_want_of_memory_is_told_from_other_refusals():
    assert tvm_failure(MemoryError()) == MemoryUsedUp()
    assert tvm_failure(RuntimeError("std::bad_alloc")) == MemoryUsedUp()
    assert isinstance(tvm_failure(ValueError("no such thing")), RuntimeRefuses)


def test_texts_are_told_without_places_in_sources():
    said = (
        "Check failed: input_shape[i] == reg (2 vs. 3) : ErrorContext(fn=main, loc=param[0], "
        'param=frame, annotation=R.Tensor("uint8"))  match_cast error,  shape[2] mismatch'
    )
    assert "ErrorContext" not in tvm_text(RuntimeError(said))
    assert "shape[2] mismatch" in tvm_text(RuntimeError(said))
    assert tvm_text(RuntimeError("")) == "RuntimeError"


def _resizing(by: list, *, sizes: bool = True, constant: bool = True):
    kind = np.int64 if sizes else np.float32
    inputs = ["image", "", "", "by"] if sizes else ["image", "", "by"]
    given = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", "a", "b", "c"])]
    if not constant:
        given.append(helper.make_tensor_value_info("by", TensorProto.INT64, [4]))
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Resize", inputs, ["made"], mode="linear")],
            "resizing",
            given,
            [helper.make_tensor_value_info("made", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(by, kind), "by")] if constant else [],
        )
    )


@pytest.mark.parametrize(("by", "sizes"), [([1, 8, 9, 3], True), ([1.0, 2.0, 2.0, 1.0], False)])
def test_an_image_whose_channels_come_last_is_turned_to_be_resized(by, sizes):
    graph = resized_by_channels(_resizing(by, sizes=sizes)).graph
    assert [node.op_type for node in graph.node] == ["Transpose", "Resize", "Transpose"]
    target = next(each for each in graph.initializer if each.name == "made_target")
    assert numpy_helper.to_array(target).tolist() == [by[0], by[3], by[1], by[2]]
    assert graph.node[-1].output[0] == "made"


@pytest.mark.parametrize(("by", "sizes"), [([1, 3, 8, 9], True), ([1.0, 1.0, 2.0, 2.0], False)])
def test_an_image_whose_channels_come_first_is_left_as_it_is(by, sizes):
    model = _resizing(by, sizes=sizes)
    assert resized_by_channels(model) == model


def test_extents_that_a_run_decides_are_refused():
    with pytest.raises(ModelError, match="each frame's extents decide"):
        resized_by_channels(_resizing([], constant=False))
