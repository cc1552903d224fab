"""Facts of builds: those of earlier versions are read, what makes no sense is not."""

from __future__ import annotations

from typing import Any

import pytest

from aegis_ros.backends.base import Advice
from aegis_ros.backends.facts import BuildFacts, facts_of


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        ({"bytes": 7, "dynamic": ["boxes"]}, BuildFacts(7, ("boxes",))),
        (
            {"refused": "it computes something else"},
            BuildFacts(refused="it computes something else"),
        ),
        (
            {
                "bytes": 7,
                "dynamic": [],
                "shares": [1],
                "cuts": "ab",
                "complete_after": [0],
                "advice": [{"eager": "", "arena_bytes": 9}],
                "trained": True,
            },
            BuildFacts(7, (), (1.0,), "ab", complete_after=(0,), advice=(Advice("", 9),)),
        ),
        ({}, None),
        ({"dynamic": []}, None),
        ({"bytes": None}, None),
        ({"bytes": 7, "shares": "half"}, None),
    ],
)
def test_facts(noted: dict[str, Any], expected: BuildFacts | None) -> None:
    assert facts_of(noted) == expected
