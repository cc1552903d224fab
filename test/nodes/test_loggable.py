"""Failures are logged with the texts of strangers in them."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.nodes.loggable import loggable


def test_a_traceback_keeps_its_lines_and_passes_no_codes_on() -> None:
    try:
        raise ValueError("\x1b[2J\r\n[FATAL] forged \ud800")
    except ValueError:
        first, *others = loggable(f"it failed\n{traceback.format_exc()}").split("\n")
    assert first == "it failed" and others[0] == "  Traceback (most recent call last):"
    assert others[-2:] == [r"  ValueError: \x1b[2J\r", r"  [FATAL] forged \ud800"]


@pytest.mark.parametrize("text", ["plain", "2 mistakes:\n  one\n  two", ""])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert loggable(text) == text


@given(st.text())
def test_nothing_begins_a_line_or_cannot_be_encoded(text: str) -> None:
    first, *others = loggable(text).split("\n")
    assert first.isprintable()
    assert all(line.startswith("  ") and line.isprintable() for line in others)
