"""The stand-in for the driver passes the tests that the driver of an NVIDIA H200 passed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.backends.fake_cuda import FakeDriver
from test.hardware.test_driver import *  # noqa: F403


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """Return a stand-in with as many multiprocessors as that GPU."""
    made = FakeDriver()
    made.sms = 132
    made.attach()
    yield made
    made.close()
    assert not any(made.held.values()), made.held
