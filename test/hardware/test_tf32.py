"""Networks whose float32 may be multiplied as TF32, on a GPU that can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.testing.contract import Device
from aegis_ros.errors import BackendError
from aegis_ros.network import prepare
from aegis_ros.network.heavy import arithmetic_heavy
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.feeds import feeds
from aegis_ros.wcet import Stress

_TOLERATED = 0.02  # what a build tolerates of the largest number


@pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
def devices(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    """Return the same GPU, exact and with TF32."""
    try:
        backends = [create_backend(request.param, tf32=allowed) for allowed in (False, True)]
    except BackendError as error:
        if os.environ.get("AEGIS_REQUIRE_GPU") and request.param == "onnxruntime_cuda":
            raise
        pytest.skip(str(error))
    exact, fast = (Device(backend, tmp_path / "cache") for backend in backends)
    yield exact, fast
    for each in (fast, exact):
        each.close()


def test_products_as_tf32_are_a_build_of_their_own_within_the_tolerance(
    devices: tuple[Device, Device], tmp_path: Path
) -> None:
    arithmetic_heavy(tmp_path / "products.onnx", rows=256, width=256)
    fed = feeds(load_task(Stress.COMPUTE, tmp_path / "loads"))
    prepared = prepare(tmp_path / "products.onnx", fed, cache_dir=tmp_path / "cache")
    found = []
    for device in devices:
        compiled = device.backend.compile(prepared, device.cache)
        network = device.backend.load(compiled, 0)
        result = np.zeros((1, 1), np.float32)
        device.start(0, network, 0, np.full((1, 1), 3.0, np.float32), [result])
        assert device.wait(0).error == ""
        found.append((compiled.paths, float(result[0, 0])))
        device.backend.unload(network)
    (exact_paths, exact), (fast_paths, fast) = found
    assert exact_paths != fast_paths
    assert fast == pytest.approx(exact, rel=_TOLERATED)
    names = [device.backend.device_name() for device in devices]
    assert names[0] != names[1], "they are measured apart, too"
