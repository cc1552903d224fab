"""What the node's side makes of the records of an engine that speaks, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import Asked, LoadGenerator, Spoken, conversation
from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.speeches import Speeches
from aegis_ros.engine.conversation import Conversation
from aegis_ros.engine.wire import ENDINGS, OUTPUT_FREE, SPOKEN, SUBMIT, Kind
from aegis_ros.errors import EngineError
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.generation import Shape

FACTS = GeneratorFacts(
    layers=1,
    kv_heads=1,
    head_dim=1,
    vocabulary=10,
    context=20,
    kv_dtype="float32",
    grows=False,
    cached_by=1,
    ends=(),
)
CACHE = KvShape(2, 20, 8)
SPEC = LoadGenerator(
    3,
    "assistant",
    CompiledGenerator("key", ("a", "b"), ("", ""), FACTS),
    0,
    GeneratorPlan((1, 1, 1), (0, 1), 1),
    (Shape(2, True), Shape(1, False)),
    CACHE,
)


class Node:
    """Speeches, with an engine process that only keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.heard: list[Spoken] = []
        self.process: Any = SimpleNamespace(generators={3}, give_back=self.sent.append)
        self.link: Any = SimpleNamespace(process=self.process)
        ignored: Callable[..., None] = lambda *_: None  # noqa: E731
        callbacks = Callbacks(*[ignored] * 6, self.heard.append)
        self.speeches = Speeches(self.link, callbacks)
        self.conversation = Conversation(CACHE)
        self.engine = Conversation(CACHE, self.conversation.memory.fd)
        self.speeches.add(SPEC, self.conversation)

    def ask(self, request: int, slot: int = 0) -> None:
        self.speeches.ask(3, Asked(request, slot, [1, 2], 5, Sampling()))

    def jobs(self) -> list[int]:
        """Numbers of the jobs that were begun."""
        found = [each for each in self.sent if each[0] == Kind.SUBMIT]
        return [SUBMIT.unpack_from(each)[3] for each in found]

    def say(self, slot: int, *tokens: int, first: int = 0, ended: Ending | None = None) -> None:
        """Have the engine say something to the request in a slot."""
        for at, token in enumerate(tokens, first):
            self.engine.say(slot, at, token, 100 + at)
        count, number = first + len(tokens), self.engine.number(slot)
        record = SPOKEN.pack(Kind.SPOKEN, ENDINGS.index(ended), 3, slot, count, number)
        self.speeches.spoken(bytearray(record + b"why"), len(record) + 3)


@pytest.fixture
def node() -> Node:
    return Node()


def test_one_job_runs_as_long_as_anything_is_asked(node: Node) -> None:
    node.ask(1)
    node.ask(2, slot=1)
    (job,) = node.jobs()
    _, inputs, _, _, arrival_ns, _, deadline_ns = SUBMIT.unpack_from(node.sent[0])
    assert inputs == 0 and deadline_ns > arrival_ns, "a trace would call it late"
    node.say(0, 7, 8)
    node.say(0, first=2, ended=Ending.LENGTH)
    node.speeches.done(node.process, 3, job, 0)
    assert [each[0] for each in node.sent] == [Kind.SUBMIT, Kind.OUTPUT_FREE, Kind.SUBMIT]
    assert node.sent[1] == OUTPUT_FREE.pack(Kind.OUTPUT_FREE, 3, 0)
    assert len(set(node.jobs())) == 2, "for what was asked meanwhile"
    node.say(1, 4, ended=Ending.END)
    node.speeches.done(node.process, 3, node.jobs()[1], 0)
    assert len(node.jobs()) == 2
    assert node.heard == [
        Spoken(3, 1, (7, 8), (100, 101), None, "why"),
        Spoken(3, 1, (), (), Ending.LENGTH, "why"),
        Spoken(3, 2, (4,), (100,), Ending.END, "why"),
    ]


def test_a_request_that_the_engine_forgot_ends_with_the_job(node: Node) -> None:
    node.ask(1)
    (job,) = node.jobs()
    node.ask(2, slot=1)
    node.speeches.done(node.process, 3, job, 0)
    assert [(each.request, each.ended) for each in node.heard] == [(1, Ending.FAILED)]
    assert len(node.jobs()) == 2, "for the one that was asked meanwhile"


def test_a_job_that_fails_ends_all_that_it_was_for_and_the_next_one_begins_anew(node: Node) -> None:
    node.ask(1)
    node.ask(2, slot=1)
    node.speeches.skipped(3, node.jobs()[0], Rule.RUN_FAILED, "broken")
    assert node.heard == [
        Spoken(3, 1, (), (), Ending.FAILED, "broken"),
        Spoken(3, 2, (), (), Ending.FAILED, "broken"),
    ]
    assert node.engine.number(0) == node.engine.number(1) == 0
    node.ask(1)
    assert len(node.jobs()) == 2


def test_a_job_of_a_model_that_is_being_unloaded_ends_as_removed(node: Node) -> None:
    node.ask(1)
    node.speeches.skipped(3, node.jobs()[0], Rule.OPERATOR, "the task was removed")
    assert [each.ended for each in node.heard] == [Ending.REMOVED]


def test_what_the_engine_says_of_an_earlier_request_in_the_slot_is_nobodys(node: Node) -> None:
    node.ask(1)
    number = node.engine.number(0)
    node.speeches.end_all(Ending.LOST, "")
    node.ask(1)
    record = SPOKEN.pack(Kind.SPOKEN, 0, 3, 0, 2, number)
    node.speeches.spoken(bytearray(record), len(record))
    node.speeches.skipped(3, node.jobs()[0], Rule.RUN_FAILED, "")
    assert [each.ended for each in node.heard] == [Ending.LOST]


def test_a_request_that_is_cancelled_while_its_lane_sheds_ends_without_the_lane(node: Node) -> None:
    for number in range(2):
        node.ask(number, slot=number)
    node.speeches.cancel(3, 0)
    assert node.engine.cancelled(0) == node.engine.number(0)
    node.speeches.skipped(3, node.jobs()[0], Rule.CRITICALITY, "")
    assert node.heard == [Spoken(3, 0, (), (), Ending.CANCELLED)]
    node.speeches.cancel(3, 1)
    assert len(node.heard) == 1, "nobody is called back from inside cancel"
    node.speeches.settle()
    assert node.heard[1] == Spoken(3, 1, (), (), Ending.CANCELLED)
    node.ask(5)
    assert len(node.jobs()) == 1, "the lane takes none"
    node.speeches.restored(1)
    assert len(node.jobs()) == 1
    node.speeches.restored(0)
    assert len(node.jobs()) == 2


def test_nothing_is_taken_while_no_engine_has_the_model(node: Node) -> None:
    node.link.process = None
    with pytest.raises(EngineError) as error:
        node.ask(1)
    assert error.value.rule is Rule.ENGINE_RESTART
    node.link.process = node.process
    node.process.generators.clear()
    with pytest.raises(EngineError) as error:
        node.ask(1)
    assert error.value.rule is Rule.ENGINE_RESTART and node.jobs() == []


def test_a_model_that_is_removed_ends_what_it_was_asked_once(node: Node) -> None:
    node.ask(1)
    node.speeches.remove(3)
    node.speeches.remove(3)
    node.speeches.done(node.process, 3, node.jobs()[0], 0)
    node.speeches.end_all(Ending.LOST, "")
    assert [each.ended for each in node.heard] == [Ending.REMOVED]


@pytest.mark.parametrize("at", range(0, 8 * 8, 8))
def test_a_request_of_which_a_field_is_not_there_yet_is_not_read(node: Node, at: int) -> None:
    node.ask(1)
    request = node.engine.request(0)
    assert request is not None and request.tokens.tolist() == [1, 2] and request.answer == 5
    entry = conversation._ENTRIES + at
    node.engine.memory.bytes[entry] ^= 1
    found = node.engine.request(0)
    if at == 8:  # the cancellation comes later, and by itself
        assert found is not None
    else:
        assert found is None
    node.engine.memory.bytes[entry] ^= 1
    prompts, *_ = conversation._layout(CACHE)
    node.engine.memory.bytes[prompts] ^= 1  # a token
    assert node.engine.request(0) is None
