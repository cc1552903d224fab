"""Text out of the bytes of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.answer_text import AnswerText

_BYTES = [bytes([each]) for each in range(256)]


def told(data: bytes, *stops: str) -> tuple[list[str], bool]:
    text = AnswerText(_BYTES, stops)
    parts = [text.add(each) for each in data]
    return [*parts, text.end()], text.stopped


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3))
def test_the_text_is_what_stands_before_the_first_stop(text: str, stops: list[str]) -> None:
    parts, stopped = told(text.encode(), *stops)
    # The first stop is the one that is complete first, as that is when nothing more is asked for.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    seen = text[: min(ends)] if ends else text
    at = [seen.find(stop) for stop in stops if stop in seen]
    assert "".join(parts) == (seen[: min(at)] if at else seen)
    assert stopped == bool(ends)


def test_a_character_in_several_tokens_comes_whole() -> None:
    parts, _ = told("é🤖".encode())
    assert parts == ["", "é", "", "", "", "🤖", ""]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert "".join(told(b"a\xffb\xe2\x82")[0]) == "a\ufffdb\ufffd"


def test_what_may_begin_a_stop_is_held_back_until_it_is_certain() -> None:
    parts, stopped = told(b"a\n\nb\nUser:x", "\nUser:")
    assert parts[:4] == ["a", "", "\n", "\nb"]
    assert "".join(parts) == "a\n\nb" and stopped
    assert "".join(told(b"end\nUse", "\nUser:")[0]) == "end\nUse"


def test_tokens_that_steer_the_model_or_that_nobody_knows_are_no_text() -> None:
    text = AnswerText([b"", b"a"])
    assert [text.add(0), text.add(1), text.add(9)] == ["", "a", ""]


@pytest.mark.parametrize("stops", [[""], ["a"] * 17, ["a" * 257]])
def test_stops_have_bounds(stops: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^stop: "):
        AnswerText(_BYTES, stops)
