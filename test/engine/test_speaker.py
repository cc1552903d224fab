"""What a generator runs next, with the node writing at the worst moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.engine.conversation import Conversation, Request
from aegis_ros.engine.server.speaking import Speaker
from aegis_ros.memory import KvShape
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
