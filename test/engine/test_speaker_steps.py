"""What a step of a generator may do, and when it does not begin: its budget covers no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends.cpu.generator import OrtGenerator
from aegis_ros.engine.conversation import Conversation, Request
from aegis_ros.engine.server.speaking import Speaker
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.scheduling.generation import Shape

SHAPES = (Shape(2, True), Shape(8, True), Shape(1, False), Shape(2, False))
PARTS = 3  # of every bucket
FACTS = GeneratorFacts(
    layers=PARTS,
    kv_heads=1,
    head_dim=1,
    vocabulary=10,
    context=64,
    kv_dtype="float32",
    grows=False,
    cached_by=PARTS,
    ends=(),
)
PROMPT = list(range(9)) * 2  # tokens


class _Read(Conversation):
    """A conversation that counts how often a request is read."""

    read = 0

    def request(self, slot: int) -> Request | None:
        self.read += 1
        return super().request(slot)


class Lane:
    """A generator on a decoder that notes what runs, and never computes the same logits twice."""

    def __init__(self) -> None:
        self.node = _Read(KvShape(2, 64, 8))
        self.ended: list[tuple[int, Ending]] = []
        self.ran: list[tuple[int, int]] = []  # tokens of a bucket's sequence, part
        self.cached: list[int] = []  # of slot 0
        self._size = 0
        decoder: Any = SimpleNamespace(
            lengths=np.zeros(2, np.int64), begin=self._begin, run=self._run, end=self._end
        )
        self.decoder = decoder
        steps = [(bucket, part, part == PARTS - 1) for bucket in range(4) for part in range(PARTS)]
        self.generator = OrtGenerator(decoder, steps)
        self.speaker = Speaker(SHAPES, FACTS, self.node, self._report)
        self.step: int | None = 0

    def _begin(self, ids: np.ndarray, slot: int, rows: object) -> None:
        self._size = ids.shape[1]
        self._ids = ids[0].tolist() if slot == 0 else []

    def _run(self, part: int) -> None:
        self.ran.append((self._size, part))

    def _end(self) -> np.ndarray:
        at = int(self.decoder.lengths[0])
        self.cached[at:] = self._ids
        return np.eye(10, dtype=np.float32)[[3, 3]]

    def _report(
        self, slot: int, number: int, count: int, *, ending: Ending | None = None, text: str = ""
    ) -> None:
        if ending is not None:
            self.ended.append((number, ending))

    def ask(self, number: int, slot: int = 0) -> None:
        tokens = np.array(PROMPT, np.int32)
        self.node.ask(slot, Request(number, tokens, 3, 0.0, 1.0, 0))

    def run(self) -> None:
        """Run one step, as an engine would go on from it."""
        step = 0 if self.step is None else self.step
        outcome = self.generator.run(step, self.speaker)
        last = step % PARTS == PARTS - 1
        self.step = None if outcome is None else outcome * PARTS if last else step + 1

    def until_large(self) -> None:
        """Run until the first part of a large chunk has ended."""
        while (8, 0) not in self.ran:
            self.run()


@pytest.fixture
def lane() -> Lane:
    return Lane()


def test_the_parts_of_a_chunk_that_became_too_long_do_not_begin(lane: Lane) -> None:
    lane.ask(1)
    lane.until_large()
    lane.node.limit(2, 2)
    while not lane.ended:
        lane.run()
    assert [part for size, part in lane.ran if size == 8] == [0]
    assert lane.ended == [(1, Ending.LENGTH)]
    assert lane.cached == [*PROMPT, 3, 3], "the prompt was taken in all the same"


def test_a_chunk_that_was_chosen_before_it_became_too_long_does_not_begin(lane: Lane) -> None:
    lane.ask(1)
    while lane.step != PARTS:  # the large chunk comes next
        lane.run()
    lane.node.limit(2, 2)
    while not lane.ended:
        lane.run()
    assert all(size < 8 for size, _ in lane.ran)
    assert lane.cached == [*PROMPT, 3, 3]


@pytest.mark.parametrize("parts", [0, 1])
def test_nothing_more_begins_for_requests_that_were_all_cancelled(lane: Lane, parts: int) -> None:
    lane.ask(1)
    while lane.step != PARTS + parts:
        lane.run()
    ran = len(lane.ran)
    lane.node.cancel(0, 1)
    while lane.step is not None:
        lane.run()
    assert len(lane.ran) == ran
    assert lane.ended == [(1, Ending.CANCELLED)]


def test_requests_that_come_together_are_taken_in_one_a_step(lane: Lane) -> None:
    lane.ask(1)
    lane.ask(2, slot=1)
    read = []
    while len(lane.ended) < 2:
        before = lane.node.read
        lane.run()
        read.append(lane.node.read - before)
    assert sum(read) == 2 and max(read) == 1
    assert sorted(lane.ended) == [(1, Ending.LENGTH), (2, Ending.LENGTH)]


def test_a_request_that_can_be_none_keeps_no_other_from_being_taken(lane: Lane) -> None:
    lane.node.ask(0, Request(1, np.array([99], np.int32), 3, 0.0, 1.0, 0))
    lane.ask(2, slot=1)
    lane.run()
    assert lane.ended == [(1, Ending.FAILED)]
    while len(lane.ended) < 2:
        lane.run()
    assert lane.ended[1] == (2, Ending.LENGTH)


def test_the_smallest_steps_stay_whatever_the_limits_are(lane: Lane) -> None:
    lane.node.limit(1, 1)
    lane.ask(1)
    while not lane.ended:
        lane.run()
    assert lane.ended == [(1, Ending.LENGTH)]
    assert {size for size, _ in lane.ran} == {1, 2}
