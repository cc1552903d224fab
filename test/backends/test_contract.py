"""The contract of all our backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import Backend, backend_names, create_backend
from aegis_ros.backends.testing.contract import BackendContract, Device, Promises
from test.backends import fake_ort, fake_tensorrt
from test.backends.extras import EXTRAS, require

# A GPU is hardly ever at hand: its runtimes and the driver are fakes here.
FAKES: dict[str, Callable[[], Backend]] = {
    "tensorrt": fake_tensorrt.fake_backend,
    "onnxruntime_cuda": fake_ort.fake_backend,
}
OURS = {"onnxruntime", *EXTRAS, *FAKES}


def made(name: str) -> Backend:
    """Return one of our backends, a fake where it needs a GPU."""
    make = FAKES.get(name)
    return create_backend(name) if make is None else make()


class TestOurs(BackendContract):
    @pytest.fixture(params=sorted(set(backend_names()) & OURS))
    def device(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
        require(request.param)
        opened = Device(made(request.param), tmp_path / "cache")
        yield opened
        opened.close()


class TestSimulated(BackendContract):
    promises = Promises(
        computes=False,  # it numbers its runs
        reads_files=False,
        failing=lambda: np.full((4, 4, 3), 255, np.uint8),
    )

    # It has none of these files, and a run of all tests lists nothing that could not run anyway.
    test_a_file_that_is_not_what_was_built_is_not_loaded = None
    test_a_network_whose_file_is_gone_is_refused_with_advice = None

    def make(self) -> Backend:
        return create_backend("simulated")
