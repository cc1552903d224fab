"""The contract of all backends, against those of the GPU with nothing replaced by a fake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.testing.contract import BackendContract, Device
from aegis_ros.errors import BackendError


class TestReal(BackendContract):
    @pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
    def device(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
        try:
            backend = create_backend(request.param)
        except BackendError as error:
            if os.environ.get("AEGIS_REQUIRE_GPU") and request.param == "onnxruntime_cuda":
                raise
            pytest.skip(str(error))
        opened = Device(backend, tmp_path / "cache")
        yield opened
        opened.close()
