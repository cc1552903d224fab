"""What a terminal shows of the generators of a running orchestrator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console, Group

from aegis_ros.views.generators import GeneratorRow, generator_words, render_generators

ROW = GeneratorRow(
    name="assistant",
    lane="main",
    state="running",
    problem="",
    given_up=(),
    precision="quantised",
    running=2,
    waiting=1,
    tokens=4321,
    tokens_per_s=18.44,
    expected_tokens_per_s=20.0,
    step_ms=11.5,
    context=640,
    batch_limit=4,
    length_limit=1024,
    cache_used_mib=45.0,
    cache_mib=90.0,
)


def shown(*rows: GeneratorRow, width: int = 160) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(Group(*render_generators(rows, width)))
    return captured.get()


@pytest.mark.parametrize(
    ("width", "cells"),
    [
        (80, "assistant 18.4 of 20.0 2 1"),
        (160, "assistant main quantised 18.4 of 20.0 2 1 11.5 640 4 1024 45.0 of 90.0 4321"),
    ],
)
def test_a_terminal_shows_as_much_of_them_as_is_not_cut(width: int, cells: str) -> None:
    line = next(each for each in shown(ROW, width=width).splitlines() if "assistant" in each)
    assert " ".join(line.replace("│", " ").split()) == cells


def test_what_one_does_without_stands_below_it() -> None:
    assert "assistant gave up for the tasks beside it: prefill 32, decode 4\n" in shown(
        replace(ROW, given_up=("prefill 32", "decode 4"))
    )
    paused = replace(ROW, state="paused", problem="no step is short enough.")
    assert "assistant is paused: no step is short enough.\n" in shown(paused)
    assert generator_words(paused) == "assistant paused 18.4 tokens/s running 2 waiting 1"
    assert shown().strip() == ""
