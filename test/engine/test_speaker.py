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
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.vision.facts import NO_ROW, ImageFacts
from aegis_ros.scheduling.generation import Shape
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


IMAGE = ImageFacts(
    token=9,
    text="<image>",
    before="",
    after="",
    rows=4,
    width=8,
    dtype="float32",
    height=2,
    columns=3,
    crop=False,
    parts=1,
)
SEES = GeneratorFacts(
    layers=1,
    kv_heads=1,
    head_dim=8,
    vocabulary=20,
    context=32,
    kv_dtype="float32",
    grows=True,
    cached_by=1,
    ends=(),
    image=IMAGE,
)
SEEING = (Shape(2, True), Shape(4, True, image=True), Shape(1, False))


class _Late(Conversation):
    """A conversation whose image is seen by the engine later than its request."""

    def __init__(self) -> None:
        super().__init__(KvShape(1, 32, 8), image=IMAGE.shape)
        self.missed = 1

    def pixels(self, slot: int) -> np.ndarray | None:
        self.missed -= 1
        return None if self.missed >= 0 else super().pixels(slot)


def about(number: int, tokens: list[int]) -> Request:
    image = np.full(IMAGE.shape, number, np.uint8)
    return Request(number, np.array(tokens, np.int32), 1, 0.0, 1.0, 0, True, image)


def test_a_prompt_is_shown_the_rows_of_its_image_once_that_is_there() -> None:
    conversation = _Late()
    told: list[tuple[int, Ending | None, str]] = []

    def report(
        slot: int, number: int, count: int, *, ending: Ending | None = None, text: str = ""
    ) -> None:
        told.append((number, ending, text))

    speaker = Speaker(SEEING, SEES, conversation, report)
    conversation.ask(0, about(3, [1, 9, 9, 9, 9, 2, 9]))
    speaker.begin(0)
    speaker.end(np.zeros((0, 0), np.float32))
    assert told == [(3, Ending.FAILED, "the prompt has 5 places for the 4 rows of its image")]
    told.clear()
    conversation.ask(0, about(4, [1, 9, 9, 9, 9, 2]))
    seen: list[tuple[int, int, list[int]]] = []
    following: int | None = 0
    while following is not None:
        turn = speaker.begin(following)
        seen.append((following, turn.slot, turn.rows[0].tolist()))
        if following == 1 and turn.slot == 0:
            assert turn.pixels is not None and (turn.pixels == 4).all()
        shape = (1, 20) if following == 2 else (0, 0)
        following = speaker.end(np.zeros(shape, np.float32))
    none = [NO_ROW] * 4
    assert seen == [
        (0, -1, none[:2]),  # a job begins with a chunk, here for nobody
        (1, -1, none),  # the image is not there yet
        (1, 0, none),
        (0, 0, [NO_ROW, 0]),
        (0, 0, [1, 2]),
        (2, 0, [3]),
        (2, 0, [NO_ROW]),
    ]
    assert told == [(4, Ending.LENGTH, "")]


def test_a_model_without_an_encoder_is_asked_about_no_image() -> None:
    conversation = Conversation(KvShape(1, 32, 8), image=IMAGE.shape)
    told: list[str] = []
    blind = (SEEING[0], SEEING[2])
    speaker = Speaker(blind, SEES, conversation, lambda *_, text="", **__: told.append(text))
    conversation.ask(0, about(3, [9, 9, 9, 9]))
    speaker.begin(0)
    assert told == ["the model takes no images"]
