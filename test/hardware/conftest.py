"""Everything in this folder needs an NVIDIA GPU, and says what is missing where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aegis_ros.backends.cuda import CudaDriver, CudaUnavailable, open_driver
from aegis_ros.backends.testing import networks
from aegis_ros.network import PreparedNetwork


@pytest.fixture
def driver() -> Iterator[CudaDriver]:
    """Return the driver of this machine's GPU."""
    try:
        opened = open_driver()
    except CudaUnavailable as error:
        if os.environ.get("AEGIS_REQUIRE_GPU"):
            raise
        pytest.skip(f"an NVIDIA GPU: {error}")
    opened.attach()
    yield opened
    opened.close()


@pytest.fixture
def make_network(tmp_path: Path) -> Callable[..., PreparedNetwork]:
    """Return a function (kind, name, shape) -> PreparedNetwork."""
    return partial(networks.make_network, tmp_path)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which each network is built once for all tests."""
    return tmp_path_factory.mktemp("shared-cache")
