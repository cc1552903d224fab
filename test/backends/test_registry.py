"""Backends by name."""

from __future__ import annotations

import pytest

from aegis_ros.backends import backend_names, create_backend
from aegis_ros.errors import ConfigError


def test_ours_are_always_there():
    assert {"onnxruntime", "simulated"} <= set(backend_names())


def test_creates_a_backend_that_knows_its_name():
    assert create_backend("simulated").name == "simulated"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="onnxruntime, simulated"):
        create_backend("onnxruntim")
