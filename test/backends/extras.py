"""Runtimes that need not be installed: what the tests that need one are skipped by."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

__all__ = ["EXTRAS", "needs", "require"]

# By the module that each is; importing one to see whether it is there could start threads.
EXTRAS = {
    "openvino": "`pip install 'aegis_ros[openvino]'`",
    "tvm": "`pip install 'aegis_ros[tvm]'`",
}


def needs(name: str) -> pytest.MarkDecorator:
    """Return the mark of a test that needs a runtime."""
    return pytest.mark.skipif(find_spec(name) is None, reason=EXTRAS[name])


def require(name: str) -> None:
    """Skip the test that calls, where a backend's runtime is one of these and is not installed."""
    if name in EXTRAS and find_spec(name) is None:
        pytest.skip(EXTRAS[name])
