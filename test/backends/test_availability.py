"""Which backends can be used here, and why the others cannot."""

from __future__ import annotations

import pytest

from aegis_ros.backends import availability as module
from aegis_ros.backends import backend_names
from aegis_ros.backends.availability import Availability, availability
from aegis_ros.errors import BackendError


class _Works:
    def device_name(self) -> str:
        return "a device"


def test_each_installed_backend_and_each_asked_for_answers_once_in_order() -> None:
    tried = availability(["none_of_ours", "simulated"])
    assert [each.name for each in tried] == sorted([*backend_names(), "none_of_ours"])
    found = {each.name: each for each in tried}
    assert found["simulated"] == Availability("simulated", device="simulated device")
    assert "no such backend" in found["none_of_ours"].missing


def test_one_that_cannot_be_created_says_why_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def create(name: str) -> _Works:
        if name == "refused":
            raise BackendError("no driver: `install it`")
        if name == "broken":
            raise ImportError("libmissing.so")
        return _Works()

    monkeypatch.setattr(module, "backend_names", lambda: ["broken", "refused", "works"])
    monkeypatch.setattr(module, "create_backend", create)
    assert availability() == (
        Availability("broken", missing="ImportError: libmissing.so"),
        Availability("refused", missing="no driver: `install it`."),
        Availability("works", device="a device"),
    )
