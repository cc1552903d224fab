"""Texts from elsewhere neither command a terminal nor look like another program's log."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from aegis_ros.errors import ConfigError, InputError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Rule
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.rejection import Invalid
from aegis_ros.views.generators import GeneratorRow
from aegis_ros.views.status import (
    DecisionRow,
    LaneRow,
    Snapshot,
    TaskRow,
    render_snapshot,
    safe,
    summary_line,
)
from aegis_ros.views.terminal import say, sheet, terminal

CODES = "\x1b[2J\x1b]0;title\x07\r\n[FATAL] forged"


@given(st.text())
def test_nothing_is_left_that_cannot_be_seen_or_begins_a_line(text: str) -> None:
    shown = printable(text)
    assert shown.replace("\n  ", "").isprintable()
    shown.encode()  # a path that is no text can be written, too


@pytest.mark.parametrize("text", ["plain", "größer ≥ 3 µs", "2 mistakes:\n  one\n  two", ""])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_codes_are_shown_as_escapes() -> None:
    assert printable(CODES) == r"\x1b[2J\x1b]0;title\x07\r\n[FATAL] forged"
    assert printable("\u202eevil\udc80") == r"\u202eevil\udc80"


def test_errors_and_decisions_hold_none() -> None:
    error = InputError(f"a {CODES}", where=CODES, value=CODES, hint=CODES)
    assert str(error).isprintable() and str(error.at(CODES)).isprintable()
    assert str(ConfigError("a", value="b" + CODES)).isprintable()
    made = RationaleLog(lambda rationale: None).make(Invalid(CODES, Rule.SCHEMA, CODES))
    assert made.sentence.isprintable() and made.task.isprintable()


def test_no_table_and_no_title_of_a_command_passes_codes_on() -> None:
    console = terminal()
    table = sheet(CODES, [(CODES, "left"), ("b", "right")])
    table.add_row(CODES, Text(CODES, style="bold"))
    with console.capture() as captured:
        console.print(table)
        console.print(Text(CODES))
        say(console, CODES, bullet="-")
        console.print("plain ≥ 3", style="red")
    shown = captured.get()
    assert shown.count("forged") == 6 and "plain ≥ 3" in shown
    assert all(line.isprintable() for line in shown.split("\n"))


def test_a_sentence_of_a_command_is_one_line() -> None:
    console = terminal()
    with console.capture() as captured:
        say(console, CODES)
        say(console, CODES, bullet="-")
    shown = printable(CODES) + "."
    assert captured.get().splitlines() == [shown, f"- {shown}"]


def test_a_terminal_gets_colors_from_us_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = terminal()
    assert console.is_terminal
    with console.capture() as captured:
        console.print(Text(CODES, style="bold"))
    assert "\x1b[1m" in captured.get()
    assert "\x1b[2J" not in captured.get() and "\x07" not in captured.get()


def test_the_monitor_shows_no_codes_of_what_a_node_sent() -> None:
    task = {each.name: 0 for each in fields(TaskRow)} | dict.fromkeys(
        ("name", "lane", "criticality", "state"), CODES
    )
    generator = {each.name: 0 for each in fields(GeneratorRow)} | dict.fromkeys(
        ("name", "lane", "state", "problem", "precision"), CODES
    )
    snapshot = Snapshot(
        state=CODES,
        backend=CODES,
        device=CODES,
        engine="",
        arena_used_mib=1.0,
        arena_mib=2.0,
        tasks=(TaskRow(**task),),
        lanes=(LaneRow(CODES, 0.5, 0.4, 1.0),),
        decisions=(DecisionRow("", CODES, CODES, CODES, f"{CODES} [/x]", 1),),
        rejected=((CODES, CODES),),
        generators=(GeneratorRow(**generator | {"given_up": (CODES,)}),),
    )
    shown = summary_line(safe(snapshot))
    assert shown.isprintable() and "forged" in shown
    console = Console(width=500, force_terminal=False)
    with console.capture() as captured:
        console.print(render_snapshot(safe(snapshot), 500))
    text = captured.get()
    assert "forged [/x]" in text and "\x1b" not in text
    assert not any(line.startswith("[FATAL]") for line in text.splitlines())
