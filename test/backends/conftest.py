"""Networks for the backends' tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aegis_ros.backends.testing import networks
from aegis_ros.network import PreparedNetwork


@pytest.fixture
def make_network(tmp_path: Path) -> Callable[..., PreparedNetwork]:
    """Return a function (kind, name, shape) -> PreparedNetwork."""
    return partial(networks.make_network, tmp_path)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which each network is optimised and cut once for all tests."""
    return tmp_path_factory.mktemp("shared-cache")
