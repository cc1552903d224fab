"""What a backend computes is held to the reference: what is off, stale or only rounded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends import reference as module
from aegis_ros.backends.reference import FLOAT32, TF32, Tolerance, difference, session
from aegis_ros.backends.whole_numbers import WholeNumbers, nearly
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.spec import FrameFormat


@pytest.fixture
def network(make_network):
    prepared = make_network("exits")
    compiled = CompiledNetwork(
        "any", prepared.key, (str(prepared.path),), prepared.inputs, prepared.outputs, 0
    )
    return prepared, compiled, session(str(prepared.path))


def test_what_computes_the_same_is_accepted(network):
    prepared, compiled, reference = network
    assert difference(compiled, prepared.path, lambda inputs: _run(reference, inputs)) == ""


@pytest.mark.parametrize("tolerance", [TF32, FLOAT32])
def test_what_returns_the_results_of_an_earlier_frame_is_found(network, tolerance):
    prepared, compiled, reference = network
    calls: list[object] = []

    def late_by_one(inputs):
        calls.append(_run(reference, inputs))
        return calls[max(0, len(calls) - 2)]

    def first_for_ever(inputs):
        calls.append(_run(reference, inputs))
        return calls[0]

    for stale in (late_by_one, first_for_ever):
        calls.clear()
        assert "is off from" in difference(compiled, prepared.path, stale, tolerance)


def test_an_output_may_be_off_by_less_than_distinguishes_two_frames():
    tolerance = Tolerance(0.02, 0.001)
    far = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5])]
    assert tolerance.allowed(far) == pytest.approx(0.02, rel=1e-3)
    # Of two classes, as found by a network that hardly distinguishes them.
    near = [np.array([0.50, 0.50]), np.array([0.51, 0.49]), np.array([0.52, 0.48])]
    assert tolerance.allowed(near) == pytest.approx(0.01 / 4, rel=1e-3)
    same = [np.array([1.0, 1.0])] * 3
    assert tolerance.allowed(same) == pytest.approx(0.001, rel=1e-3)


def _compared(values, found, monkeypatch):
    """Compare what is found for each of four frames with what a reference makes of them."""
    frames = [np.full((1,), number, np.float32) for number in range(len(values))]
    reference = SimpleNamespace(run=lambda _, fed: [values[int(fed["x"][0])]])
    monkeypatch.setattr(module, "session", lambda _: reference)
    monkeypatch.setattr(module, "patterns", lambda shape, dtype: frames)
    source = NetworkInput(TensorInfo("x", "float32", (1,)), FrameFormat.TENSOR32F, (1,))
    outputs = (TensorInfo("masked", "float32", (2,)),)
    network = CompiledNetwork("any", "key", (), (source,), outputs, 0)
    return difference(network, Path(), lambda inputs: [found[int(inputs[0][0])]])


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_infinite_or_no_number_is_compared_with_just_that(odd, monkeypatch):
    """A mask of -inf in what a network hands out says nothing against whoever computes the same."""
    values = [np.array([odd, number], np.float32) for number in (1.0, 2.0, 5.0)]
    assert _compared(values, values, monkeypatch) == ""
    one = [values[0], np.array([3.0, 2.0], np.float32), values[2]]
    for wanted, found in ((values, one), (one, values)):
        said = _compared(wanted, found, monkeypatch)
        assert "'masked' is infinite or no number where ONNX Runtime's is another one" in said
    late = [values[0], values[0], values[1]]
    assert "is off from ONNX Runtime's" in _compared(values, late, monkeypatch)


def _run(reference, inputs):
    return reference.run(None, {reference.get_inputs()[0].name: inputs[0]})


def test_whole_numbers_alone_show_that_results_are_those_of_an_earlier_frame(make_network):
    """A network of two classes, whose results are 0 and 1."""
    prepared = make_network("label")
    compiled = CompiledNetwork(
        "any", prepared.key, (str(prepared.path),), prepared.inputs, prepared.outputs, 0
    )
    reference = session(str(prepared.path))
    assert difference(compiled, prepared.path, lambda inputs: _run(reference, inputs)) == ""
    calls: list[object] = []

    def late_by_one(inputs):
        calls.append(_run(reference, inputs))
        return calls[max(0, len(calls) - 2)]

    def first_for_ever(inputs):
        calls.append(_run(reference, inputs))
        return calls[0]

    for stale in (late_by_one, first_for_ever):
        calls.clear()
        assert "'label' has 1 of 1 whole numbers" in difference(compiled, prepared.path, stale)


def _numbers(*results, close=()):
    """Return what a reference of these results accepts; ``close`` are those of nearly the first."""
    arrays = {at: np.array(each, np.int64) for at, each in enumerate(results)}
    near = {at: [each] for at, each in arrays.items()}
    near[0] = [*near[0], *(np.array(each, np.int64) for each in close)]
    return WholeNumbers("labels", arrays, near)


def test_a_near_tie_says_nothing_and_one_in_ten_may_be_another_one():
    zeros = np.zeros(20, np.int64)
    two, three = zeros.copy(), zeros.copy()
    two[:2] = three[:3] = 7
    assert _numbers(zeros).problem(0, two) == ""
    assert "3 of 20 whole numbers" in _numbers(zeros).problem(0, three)
    tied = _numbers(zeros, close=[three])
    assert tied.problem(0, three) == ""
    assert tied.problem(0, two) == ""
    # Whose extents change as well can be told by nobody.
    assert _numbers(zeros, close=[[1, 2]]).problem(0, three) == ""


def test_what_two_frames_differ_in_has_to_be_that_of_the_frame():
    """Of a mask that is almost empty, nine in ten are right in the one of any other frame."""
    masks = [np.zeros(100, np.int64) for _ in range(2)]
    masks[1][:4] = 1
    said = _numbers(*masks)
    assert said.problem(0, masks[0]) == said.problem(1, masks[1]) == ""
    assert "does not follow the frame: of 4 whole numbers" in said.problem(1, masks[0])
    assert "0 are those of this one" in said.problem(0, masks[1])
    most = masks[1].copy()
    most[0] = 0  # an edge that is one element off
    assert said.problem(1, most) == ""


def test_frames_that_are_nearly_one_stay_of_its_kind():
    frame = np.array([[0, 255, 7]], np.uint8)
    real = np.array([-40.0, 0.0, 40.0], np.float32)
    places = np.array([3], np.int64)
    for bytes_, floats, same in nearly([frame, real, places]):
        assert bytes_.dtype == np.uint8
        assert set(np.abs(bytes_.astype(int) - frame).ravel()) <= {0, 1}
        assert floats.dtype == np.float32
        assert 0.0 < np.max(np.abs(floats - real)) < 0.2
        assert same is places
