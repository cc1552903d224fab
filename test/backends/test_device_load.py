"""What loads a device while networks are measured runs on its lanes as any network does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends.base import LoadedNetwork
from aegis_ros.backends.testing.contract import Device
from aegis_ros.network import PreparedNetwork, prepare
from aegis_ros.network.heavy import arithmetic_heavy, memory_heavy
from aegis_ros.planning import device_load
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.feeds import feeds
from aegis_ros.wcet import Stress
from test.backends.test_contract import FAKES

_RUNS = 20
LOADS = [Stress.MEMORY, Stress.COMPUTE]


@pytest.fixture(params=sorted(FAKES))
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    opened = Device(FAKES[request.param](), tmp_path / "cache")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make loads small, which stand-ins for a GPU compute on a core."""
    small = {
        Stress.MEMORY: partial(memory_heavy, rows=64, columns=16, passes=2),
        Stress.COMPUTE: partial(arithmetic_heavy, rows=64, width=16, times=2),
    }
    monkeypatch.setattr(device_load, "_WRITERS", small)


def _loaded(device: Device, stress: Stress, lane: int) -> LoadedNetwork:
    task = load_task(stress, device.cache / "loads")
    prepared = prepare(Path(task.model), feeds(task), cache_dir=device.cache)
    return device.backend.load(device.backend.compile(prepared, device.cache), lane)


def _run(device: Device, lane: int, network: LoadedNetwork, number: float) -> np.ndarray:
    result = np.zeros((1, 1), np.float32)
    device.start(lane, network, 0, np.full((1, 1), number, np.float32), [result])
    assert device.wait(lane).error == ""
    return result


@pytest.mark.parametrize("stress", LOADS)
def test_a_load_can_be_captured_and_always_computes_the_same(
    device: Device, stress: Stress
) -> None:
    network = _loaded(device, stress, 0)
    if device.backend.name == "onnxruntime_cuda":  # TensorRT launches what is faster
        graphs, *beyond = network.note.split("; ")
        assert graphs == "segments launched as CUDA graphs: 1 of 1"
        # On a GPU, the first network of a process also brings the code of its kernels.
        assert all("MiB of the GPU's memory more than is counted" in each for each in beyond)
    results = [_run(device, 0, network, 2.0) for _ in range(3)]
    assert np.isfinite(results[0]).all() and results[0] > 0.0
    for each in results[1:]:
        np.testing.assert_array_equal(each, results[0])
    device.backend.unload(network)


@pytest.mark.parametrize("stress", LOADS)
def test_a_network_beside_a_load_computes_the_same_as_alone(
    device: Device, stress: Stress, make_network: Callable[..., PreparedNetwork]
) -> None:
    compiled = device.backend.compile(make_network(), device.cache)
    network, load = device.backend.load(compiled, 0), _loaded(device, stress, 1)
    ended, ran = threading.Event(), threading.Semaphore(0)

    def loads() -> None:
        while not ended.is_set():
            _run(device, 1, load, 1.0)
            ran.release()

    thread = threading.Thread(target=loads, daemon=True)
    thread.start()
    ran.acquire()
    try:
        for seed in range(_RUNS):
            frame = np.random.default_rng(seed).integers(0, 256, compiled.max_shape, np.uint8)
            means = np.zeros(3, np.float32)
            device.start(0, network, 0, frame, [means])
            assert device.wait(0).error == ""
            np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-4)
    finally:
        ended.set()
        thread.join()
    for each in (network, load):
        device.backend.unload(each)
