"""What loads a GPU while networks are measured, with nothing replaced by a fake, as it is used.

Ran on an NVIDIA H200 with ``onnxruntime_cuda`` on 28 November 2026: loads are captured, and
networks compute the same beside them. Two checks failed: the arithmetic load gave 2.0054033 and
2.0054035, since it ended in a mean over a whole tensor, which ONNX Runtime adds up atomically; and
the load of the memory, the first network of its process, took 20 MiB more than is counted. The load
has since ended in a maximum, and the note may say that more was taken: both never ran on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.testing.contract import Device
from aegis_ros.errors import BackendError
from test.backends.test_device_load import (  # noqa: F401
    test_a_load_can_be_captured_and_always_computes_the_same,
    test_a_network_beside_a_load_computes_the_same_as_alone,
)


@pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    try:
        backend = create_backend(request.param)
    except BackendError as error:
        if os.environ.get("AEGIS_REQUIRE_GPU") and request.param == "onnxruntime_cuda":
            raise
        pytest.skip(str(error))
    opened = Device(backend, tmp_path / "cache")
    yield opened
    opened.close()
