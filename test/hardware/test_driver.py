"""The driver on a real GPU: parts of it, captures, and streams that stay usable."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.backends.cuda import CudaDriver, CudaError
from aegis_ros.backends.cuda.graphs import CaptureRefusedError, capture

_BYTES = 1 << 20


@pytest.mark.parametrize("counts", [[8], [16, 16], [16, 8], [8, 24, 16]])
def test_lanes_get_at_least_what_they_asked_for_and_the_rest_is_left(
    driver: CudaDriver, counts: list[int]
) -> None:
    parts = driver.split(counts)
    streams = [driver.create_stream(1, part.handle) for part in parts if part.handle]
    try:
        assert len(parts) == len(counts) + 1
        assert all(part.sms >= count for part, count in zip(parts, counts, strict=False))
        assert len({part.handle for part in parts}) == len(parts)
        for stream in streams:
            driver.synchronize_stream(stream)
    finally:
        for stream in streams:
            driver.destroy_stream(stream)
        for part in parts:
            driver.unite(part.handle)


def test_a_gpu_is_whole_again_after_it_was_divided(driver: CudaDriver) -> None:
    for _ in range(3):
        for part in driver.split([16, 16]):
            driver.unite(part.handle)


def test_more_than_there_is_is_refused(driver: CudaDriver) -> None:
    with pytest.raises(CudaError):
        driver.split([1000, 1000])
    for part in driver.split([8]):
        driver.unite(part.handle)


@pytest.mark.parametrize("divided", [False, True])
def test_a_captured_copy_copies_what_is_there_when_it_is_launched(
    driver: CudaDriver, divided: bool
) -> None:
    parts = driver.split([16, 16]) if divided else []
    stream = driver.create_stream(1, parts[1].handle if parts else 0)
    device = driver.allocate(_BYTES)
    addresses = [driver.allocate_pinned(_BYTES) for _ in range(2)]
    here, back = (_at(address) for address in addresses)

    def enqueue() -> None:
        driver.copy_in(device, addresses[0], _BYTES, stream)
        driver.copy_out(addresses[1], device, _BYTES, stream)

    graph = capture(driver, stream, enqueue)
    try:
        assert driver.graph_kinds(graph) == {"memcpy": 2}
        for value in (3, 9):
            here[:] = value
            driver.launch(graph, stream)
            driver.synchronize_stream(stream)
            assert (back == value).all()
    finally:
        driver.destroy_graph(graph)
        driver.free(device)
        for address in addresses:
            driver.free_pinned(address)
        driver.destroy_stream(stream)
        for part in parts:
            driver.unite(part.handle)


def test_a_capture_that_fails_spoils_no_other_stream(driver: CudaDriver) -> None:
    spoilt, other = driver.create_stream(1), driver.create_stream(1)
    try:
        with pytest.raises(CaptureRefusedError):
            capture(driver, spoilt, lambda: driver.synchronize_stream(spoilt))
        with pytest.raises(CaptureRefusedError, match="nothing"):
            capture(driver, other, lambda: None)
        driver.synchronize_stream(other)
    finally:
        driver.destroy_stream(spoilt)
        driver.destroy_stream(other)


def _at(address: int) -> np.ndarray:
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * _BYTES).from_address(address))
