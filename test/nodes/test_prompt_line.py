"""Prompts that wait: so many, at their rate, and each one ends in one way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.rationale import Reason
from aegis_ros.rationale.prompts import BadPrompt, PromptLeftOut, PromptReplaced, PromptWithdrawn
from aegis_ros.spec import PromptsSpec, WhenFull

S = 1_000_000_000


class Line:
    """A line whose clock stands until it is moved."""

    def __init__(self, **keys: Any) -> None:
        self.now_ns = 5 * S
        self.reported: list[Reason] = []
        self.line = PromptLine(
            "llm",
            PromptsSpec("/ask", "/said", **keys),
            self.reported.append,
            clock=lambda: self.now_ns,
        )
        self.line.open()

    def put(self, *texts: str) -> None:
        for text in texts:
            self.line.put(Prompt(text, 0, self.now_ns))

    def taken(self) -> str:
        prompt = self.line.take()
        assert prompt is not None
        return prompt.text

    def kinds(self) -> list[type]:
        return [type(each) for each in self.reported]


def test_a_newer_prompt_takes_the_place_of_the_oldest_one_that_waits() -> None:
    line = Line(queue=2)
    line.put("a", "b", "c", "d")
    assert line.reported == [PromptReplaced("llm", "/ask", 2)] * 2
    assert line.taken() == "c"
    counts = line.line.counts()
    assert (counts.came, counts.replaced, counts.asked, counts.waiting) == (4, 2, 1, 1)


def test_a_prompt_is_left_out_where_those_that_wait_keep_their_places() -> None:
    line = Line(queue=2, when_full=WhenFull.REFUSE)
    line.put("a", "b", "c")
    assert line.reported == [PromptLeftOut("llm", "/ask", 2)]
    assert line.taken() == "a"
    line.put("d")
    assert line.line.counts().left_out == 1


def test_the_next_prompt_is_taken_when_one_has_its_answer() -> None:
    line = Line(queue=2)
    line.put("a", "b")
    assert line.taken() == "a"
    taken = Beside(line.taken)
    assert not taken.ended.wait(0.1), "it was not answered"
    line.line.answered()
    assert taken.result() == "b"
    assert line.line.counts().answered == 1


def test_the_next_prompt_is_taken_when_its_period_has_passed() -> None:
    line = Line(queue=2, period_ns=S, at_once=2)
    line.put("a", "b")
    assert line.taken() == "a"
    taken = Beside(line.taken)
    assert not taken.ended.wait(0.1), "its period has not passed"
    line.now_ns += S
    line.put("c")  # whatever wakes it
    assert taken.result() == "b"


def test_as_many_prompts_are_in_hand_as_may() -> None:
    line = Line(queue=3, at_once=2)
    line.put("a", "b", "c")
    assert [line.taken(), line.taken()] == ["a", "b"]
    assert line.line.counts().waiting == 1


def test_what_waits_is_dropped_when_no_more_are_taken_and_what_is_in_hand_stays() -> None:
    line = Line(queue=2)
    line.put("a", "b", "c")
    assert line.taken() == "b"
    line.reported.clear()
    line.line.shut()
    assert line.kinds() == [PromptWithdrawn]
    line.put("d")
    assert line.kinds() == [PromptWithdrawn] * 2
    line.line.open()
    line.put("e")
    line.line.answered()
    assert line.taken() == "e"
    counts = line.line.counts()
    assert (counts.came, counts.replaced, counts.withdrawn, counts.asked) == (5, 1, 2, 2)


def test_nothing_is_taken_once_it_is_closed() -> None:
    line = Line()
    taken = Beside(line.line.take)
    line.line.close()
    assert taken.result() is None


def test_what_is_no_prompt_is_counted_and_is_a_problem_for_some_seconds() -> None:
    line = Line()
    assert line.line.recent_problem() == ""
    line.line.refuse("a zero at byte 3.")
    assert line.reported == [BadPrompt("llm", "/ask", "a zero at byte 3.")]
    assert line.line.recent_problem() == "a zero at byte 3."
    line.now_ns += 11 * S
    assert line.line.recent_problem() == ""
    assert line.line.counts().bad == 1


@pytest.mark.parametrize("count", [0, 1, 700])
def test_prompts_that_the_middleware_replaced_are_counted_and_reported_once(count: int) -> None:
    line = Line()
    line.line.overtaken(count)
    assert line.line.counts().replaced == count
    assert len(line.reported) == min(count, 1)


class Beside:
    """What a function returns on a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ended = threading.Event()
        self._found: Any = None

        def run() -> None:
            self._found = function()
            self.ended.set()

        threading.Thread(target=run, daemon=True).start()

    def result(self) -> Any:
        assert self.ended.wait(100.0), "it does not end"
        return self._found
