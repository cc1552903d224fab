"""What a generator runs next, with the node writing at the worst moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.engine.conversation import Conversation, Cycle, Request
from aegis_ros.engine.server.speaking import Speaker
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from test.network.generator.compiled import CONTEXT, SHAPES, compiled


class _Interrupted(Conversation):
    """A conversation whose node limits and asks after the engine has begun to look."""

    def __init__(self) -> None:
        super().__init__(KvShape(2, CONTEXT, 8))
        self.asks = False

    def number(self, slot: int) -> int:
        if self.asks:
            self.asks = False
            self.limit(2, 1)
            self.ask(0, Request(1, np.arange(150, dtype=np.int32), 5, 0.0, 1.0, 0))
        return super().number(slot)

    def limits(self) -> tuple[int, int]:
        found = super().limits()
        if self.asks:
            self.number(0)
        return found


def test_who_limits_and_then_asks_is_answered_within_the_limits(tmp_path: Path) -> None:
    conversation = _Interrupted()
    facts = compiled(tmp_path).facts
    speaker = Speaker(SHAPES, facts, conversation, lambda *_, **__: None)
    speaker.begin(0)  # a job of which nobody wants anything
    conversation.asks = True
    bucket = speaker.end(np.zeros((1, facts.vocabulary), np.float32))
    assert bucket is not None and SHAPES[bucket].tokens == 2


def test_a_token_is_announced_when_what_ran_for_it_is_written_down(tmp_path: Path) -> None:
    conversation = Conversation(KvShape(2, CONTEXT, 8))
    facts = compiled(tmp_path).facts
    announced: list[tuple[int, Ending | None, Cycle | None]] = []

    def report(
        slot: int, number: int, count: int, *, ending: Ending | None = None, text: str = ""
    ) -> None:
        announced.append((count, ending, conversation.cycle()))

    speaker = Speaker(SHAPES, facts, conversation, report)
    conversation.ask(0, Request(1, np.arange(3, dtype=np.int32), 3, 0.0, 1.0, 0))
    ran = 0
    following: int | None = 0
    while following is not None:
        turn = speaker.begin(following)
        following = speaker.end(np.zeros((len(turn.past), facts.vocabulary), np.float32))
        ran += 1
    assert [(count, ending) for count, ending, _ in announced] == [
        (1, None), (2, None), (3, Ending.LENGTH),
    ]  # fmt: skip
    # A chunk of two tokens, and a decode for each token.
    assert [cycle and cycle.number for *_, cycle in announced] == [2, 3, 4] and ran == 4
    assert all(cycle is not None and cycle.tokens == 1 for *_, cycle in announced)
