"""The memory of a generator: cycles that one side writes and the other reads, none of them half."""

from __future__ import annotations

import os

import numpy as np
import pytest

from aegis_ros.engine.conversation import Conversation, Cycle, Request
from aegis_ros.memory import KvShape

SHAPE = KvShape(2, 16, 8)


def note(talk: Conversation, number: int) -> None:
    talk.note(3, 2, 10 + number, 2, taken_ns=5, now_ns=100 * number)


def cycle(number: int) -> Cycle:
    return Cycle(number, 3, 2, 10 + number, 2, 5, 100 * number)


def test_the_other_side_reads_every_cycle_once() -> None:
    node = Conversation(SHAPE)
    engine = Conversation(SHAPE, os.dup(node.memory.fd))
    assert node.cycle() is None and node.cycles(0) == ()
    for number in range(1, 4):
        note(engine, number)
    assert node.cycle() == cycle(3)
    assert node.cycles(0) == (cycle(1), cycle(2), cycle(3))
    assert node.cycles(2) == (cycle(3),)
    assert node.cycles(3) == node.cycles(9) == ()


def test_of_many_cycles_the_last_are_kept() -> None:
    talk = Conversation(SHAPE)
    for number in range(1, 1_201):
        note(talk, number)
    assert [each.number for each in talk.cycles(0)] == list(range(177, 1_201))
    assert [each.number for each in talk.cycles(1_190)] == list(range(1_191, 1_201))


def test_one_that_is_being_written_is_not_read() -> None:
    talk = Conversation(SHAPE)
    for number in range(1, 1_025):
        note(talk, number)
    with pytest.raises(TypeError):  # ends in the middle, where the first one stood
        talk.note(3, 2, None, 2, taken_ns=5, now_ns=0)  # type: ignore[arg-type]
    assert [each.number for each in talk.cycles(0)] == list(range(2, 1_025))
    note(talk, 1_025)
    assert [each.number for each in talk.cycles(0)] == list(range(2, 1_026))


def test_cycles_leave_requests_alone() -> None:
    talk = Conversation(SHAPE)
    talk.limit(8, 2)
    talk.cancel(0, 77)
    for number in range(1, 1_201):
        note(talk, number)
    assert talk.limits() == (8, 2)
    assert [talk.cancelled(slot) for slot in range(2)] == [77, 0]
    assert [talk.number(slot) for slot in range(2)] == [0, 0]


def test_an_image_comes_with_its_request_and_never_half() -> None:
    node = Conversation(SHAPE, image=(4, 6, 3))
    engine = Conversation(SHAPE, os.dup(node.memory.fd), (4, 6, 3))
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    for slot, shown in ((0, None), (1, image)):
        tokens = np.array([5, 6], np.int32)
        asked = Request(7 + slot, tokens, 3, 0.5, 1.0, 0, shown is not None, shown)
        node.ask(slot, asked)
        found = engine.request(slot)
        assert found is not None and found.shown is (shown is not None)
    pixels = engine.pixels(1)
    assert pixels is not None and np.array_equal(pixels, image)
    assert engine.pixels(0) is None
    pixels[3, 5, 2] += 1  # as where the last write is not there yet
    assert engine.pixels(1) is None
