"""The ways to wait on a real GPU: all end, and all give the same results."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from aegis_ros.backends import Backend, Completion, Part, Work, create_backend
from aegis_ros.backends.cuda import CudaDriver
from aegis_ros.errors import BackendError
from aegis_ros.network import PreparedNetwork
from aegis_ros.spec import LaneSpec, Wait

_BYTES = 64 << 20
_TIMEOUT_S = 100.0
_RUNS = 200  # `auto` sleeps throughout at first, and spins at the end of each run later


@pytest.mark.parametrize("spins", [False, True])
def test_a_thread_that_waits_for_a_copy_finds_it_complete(driver: CudaDriver, spins: bool) -> None:
    stream, event = driver.create_stream(1), driver.create_event(spins=spins)
    device = driver.allocate(_BYTES)
    addresses = [driver.allocate_pinned(_BYTES) for _ in range(2)]
    here, back = (
        np.ctypeslib.as_array((ctypes.c_uint8 * _BYTES).from_address(each)) for each in addresses
    )
    seen: SimpleQueue[bool] = SimpleQueue()

    def wait() -> None:
        driver.attach()
        for value in (3, 9):
            here[:] = value
            driver.copy_in(device, addresses[0], _BYTES, stream)
            driver.copy_out(addresses[1], device, _BYTES, stream)
            driver.record(event, stream)
            driver.synchronize(event)
            seen.put(bool((back == value).all()))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(_TIMEOUT_S)
    try:
        assert not thread.is_alive()
        assert [seen.get_nowait() for _ in range(2)] == [True, True]
    finally:
        driver.synchronize_stream(stream)
        driver.destroy_event(event)
        driver.free(device)
        for address in addresses:
            driver.free_pinned(address)
        driver.destroy_stream(stream)


@pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Return a backend of this machine's GPU, not opened yet."""
    try:
        made = create_backend(request.param)
    except BackendError as error:
        if os.environ.get("AEGIS_REQUIRE_GPU") and request.param == "onnxruntime_cuda":
            raise
        pytest.skip(str(error))
    yield made
    made.close()


def test_lanes_that_wait_in_different_ways_compute_the_same(
    backend: Backend, make_network: Callable[..., PreparedNetwork], tmp_path: Path
) -> None:
    ended: SimpleQueue[Completion] = SimpleQueue()
    lanes = [LaneSpec(str(way), wait=way) for way in Wait]
    backend.open(lanes, lambda token, done: ended.put(done), 0)
    compiled = backend.compile(make_network(), tmp_path)
    networks = [backend.load(compiled, lane) for lane in range(len(lanes))]
    outputs = [np.zeros(item.shape, item.dtype) for item in compiled.outputs]
    memory = np.zeros(compiled.max_shape, np.uint8)
    backend.pin(memory.reshape(-1))
    for run in range(_RUNS):
        frame = np.random.default_rng(run).integers(0, 256, compiled.max_shape, np.uint8)
        if run % 2:  # where the GPU reads it: the job is put on the stream by this very thread
            memory[:] = frame
            frame = memory
        found = []
        for lane, network in enumerate(networks):
            backend.start(lane, Work([Part(network, [frame], outputs)]))
            assert ended.get(timeout=_TIMEOUT_S).error == ""
            found.append([each.copy() for each in outputs])
        for other in found[1:]:
            for one, same in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(one, same)
        np.testing.assert_allclose(outputs[0], frame.mean((0, 1)), rtol=1e-4)
