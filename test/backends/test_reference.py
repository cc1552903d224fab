"""What a backend computes is held to the reference: what is off, stale or only rounded."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.reference import FLOAT32, TF32, Tolerance, difference, session


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


def _run(reference, inputs):
    return reference.run(None, {reference.get_inputs()[0].name: inputs[0]})
