"""Budgets beside another stream of the same GPU, with nothing replaced by a fake."""

from __future__ import annotations

import os

import pytest

from aegis_ros.backends import create_backend
from aegis_ros.errors import BackendError
from test.orchestrator.test_two_lanes import *  # noqa: F403


@pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        create_backend(name)
    except BackendError as error:
        if os.environ.get("AEGIS_REQUIRE_GPU") and name == "onnxruntime_cuda":
            raise
        pytest.skip(str(error))
    return name
