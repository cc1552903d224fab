"""Prompts by topic over real DDS, with a speaker in place of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

import rclpy
from aegis_ros.msg import GeneratorAnswer
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from std_msgs.msg import Int32, String

from aegis_ros.engine.speech import Asked, Ending
from aegis_ros.errors import InputError
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.preparing import PreparedGenerator, prepare_generator
from aegis_ros.network.model_file import ModelFile
from aegis_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnosis
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.prompting import Prompting
from aegis_ros.orchestrator.conversation import Conversation, Vocabulary
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.request import Question
from aegis_ros.orchestrator.shown import Picture, Shown
from aegis_ros.rationale import Rationale, Reason
from aegis_ros.rationale.frames import PublisherOfOtherQos
from aegis_ros.rationale.generators import UnknownGenerator
from aegis_ros.rationale.prompts import (
    BadPrompt,
    CannotTakePrompts,
    PromptReplaced,
    PromptsOfOtherType,
    PromptWithdrawn,
    StandingPromptBusy,
    StandingPromptLate,
    StandingPromptUnseen,
)
from aegis_ros.spec import GeneratorSpec, PromptsSpec
from test.network.generator.models import write_gguf
from test.nodes.spun import spin
from test.orchestrator.speaking import FakeSpeaker
from test.waiting import until

MIB = 1024 * 1024
_TOPICS = {"topic": "/ask", "answers": "/said"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreparedGenerator:
    folder = tmp_path_factory.mktemp("prompting")
    with ModelFile(write_gguf(folder / "tiny.gguf")) as file:
        return prepare_generator(file, cache_dir=folder / "cache")


class Robot:
    """A node that takes prompts, and one that publishes them and hears the answers."""

    def __init__(self, context: Context, model: PreparedGenerator, prompts: PromptsSpec) -> None:
        self.node = LifecycleNode("orchestrator", context=context)
        self.reported: list[Rationale] = []
        log = RationaleLog(self.reported.append)
        self.speaker = FakeSpeaker()
        self.conversation = Conversation(
            1,
            "llm",
            KvShape(1, model.facts.context, 1),
            most_waiting=1,
            words=Vocabulary([bytes([byte]) for byte in range(256)], frozenset()),
            speaker=self.speaker,
            report=log.report_often,
        )
        self.speaker.on_spoken = self.conversation.heard
        self.spec = spec = GeneratorSpec("llm", "tiny.gguf", max_tokens=7, prompts=prompts)
        self.found: Any = (SimpleNamespace(spec=spec, prepared=model), self.conversation)
        owner: Any = SimpleNamespace(
            log=log,
            spec=SimpleNamespace(generators=(spec,)),
            generators=SimpleNamespace(find=lambda name: self.found, shown=Shown()),
        )
        self.shown: Any = owner.generators.shown
        self.prompting = Prompting(self.node, owner)
        self.asker = Node("asker", context=context)
        self.answers: list[GeneratorAnswer] = []
        self.asker.create_subscription(GeneratorAnswer, "/said", self.answers.append, 100)
        self.publisher = self.asker.create_publisher(String, "/ask", 10)
        self._spun = []
        for executor, node in (
            (NodeExecutor(context=context), self.node),
            (NodeExecutor(context=context), self.asker),
        ):
            executor.add_node(node)
            thread = threading.Thread(target=spin, args=(executor,), daemon=True)
            thread.start()
            self._spun.append((executor, thread))

    def begin(self) -> None:
        """Take prompts, and wait until publishers and subscriptions have found each other."""
        self.stand()
        until(lambda: self.publisher.get_subscription_count() == 1)

    def stand(self) -> None:
        """Ask the standing prompt, and wait until its answers are heard."""
        self.prompting.follow(True)
        until(lambda: self.asker.count_publishers("/said") == 1)
        until(lambda: self.node.count_subscribers("/said") == 1)

    def say(self, text: str) -> None:
        self.publisher.publish(String(data=text))

    def raw(self, text: bytes, length: int | None = None) -> None:
        """Publish what no client library would."""
        size = len(text) + 1 if length is None else length
        self.publisher.publish(b"\x00\x01\x00\x00" + size.to_bytes(4, "little") + text + b"\x00")

    def asked(self) -> Asked:
        until(lambda: self.speaker.asked)
        return next(iter(self.speaker.asked.values()))

    def answer(self) -> GeneratorAnswer:
        """Wait for the next answer."""
        until(lambda: self.answers)
        return self.answers.pop(0)

    def reasons(self, kind: type[Reason]) -> list[Any]:
        return [each.reason for each in self.reported if isinstance(each.reason, kind)]

    def health(self) -> Diagnosis:
        (found,) = self.prompting.health()
        return found

    def value(self, name: str) -> int:
        return int(self.health().values[name])

    def close(self) -> None:
        self.prompting.close()
        self.prompting.destroy()
        for executor, thread in self._spun:
            executor.shutdown()
            thread.join()
        self.asker.destroy_node()
        self.node.destroy_node()


@pytest.fixture
def robots(model: PreparedGenerator) -> Iterator[Callable[..., Robot]]:
    context = Context()
    rclpy.init(context=context)
    made: list[Robot] = []

    def make(**keys: Any) -> Robot:
        made.append(Robot(context, model, PromptsSpec(**{**_TOPICS, **keys})))
        return made[-1]

    yield make
    for robot in made:
        robot.close()
    rclpy.try_shutdown(context=context)


def test_a_prompt_is_answered_with_its_stamp(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    before_ns = time.time_ns()
    robot.begin()
    robot.say("What is a lidar?")
    asked = robot.asked()
    assert asked.answer == 7, "what the generator's max_tokens says"
    robot.speaker.say(asked.request, "A laser", Ending.END)
    answer = robot.answer()
    assert (answer.generator, answer.text, answer.ended) == ("llm", "A laser", "end")
    assert answer.success and answer.rationale.sentence == ""
    assert answer.prompt == "What is a lidar?"
    assert (answer.tokens, answer.prompt_tokens) == (7, len(asked.tokens))
    stamp_ns = answer.header.stamp.sec * 10**9 + answer.header.stamp.nanosec
    assert before_ns < stamp_ns < time.time_ns()
    assert answer.answer_s > 0 and answer.waited_s > 0
    assert robot.health().level == OK


def test_a_prompt_about_an_image_that_is_not_there_is_refused_at_once(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()

    def newest(candidate: object) -> None:
        raise InputError("no image has come yet", where="/eye")

    robot.shown.newest = newest
    robot.begin()
    robot.say("What is it?")
    answer = robot.answer()
    assert (answer.ended, answer.success) == ("refused", False)
    assert "/eye: no image has come yet" in answer.rationale.sentence
    assert not robot.speaker.asked


def test_a_standing_prompt_goes_around_each_message(robots: Callable[..., Robot]) -> None:
    robot = robots(
        prefix="Objects: {", suffix="}. Describe.", system="Be brief.", max_tokens=3,
        temperature=0.5, seed=9,
    )  # fmt: skip
    robot.begin()
    robot.say("a %s {0}")
    asked = robot.asked()
    # The tokens of this model are bytes, with those of its template around.
    told = bytes(each for each in asked.tokens if each < 256)
    assert b"Objects: {a %s {0}}. Describe." in told
    assert b"Be brief." in told
    assert (asked.answer, asked.sampling.temperature, asked.sampling.seed) == (3, 0.5, 9)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"caf\xe9 au lait", "0xe9 at byte 3"),
        (b"half\x00more", "a zero at byte 4"),
        (b" \n", "empty"),
        (b"", "empty"),
        (b"x" * (MIB + 1), "at most 1,048,576 bytes"),
    ],
    ids=["no UTF-8", "zero", "blank", "empty", "long"],
)
def test_what_is_no_prompt_is_reported_and_the_next_one_is_answered(
    robots: Callable[..., Robot], raw: bytes, problem: str
) -> None:
    robot = robots()
    robot.begin()
    robot.raw(raw)
    (reported,) = until(lambda: robot.reasons(BadPrompt))
    assert robot.value("bad") == 1
    assert problem in reported.problem
    assert robot.health().level == WARN and problem in robot.health().message
    robot.say("And now?")
    robot.speaker.say(robot.asked().request, "yes", Ending.END)
    assert robot.answer().text == "yes"


def test_a_length_that_lies_is_reported_and_takes_no_memory(robots: Callable[..., Robot]) -> None:
    robot = robots()
    robot.begin()
    for number, length in enumerate((2**32 - 1, 1000), start=1):
        robot.raw(b"short", length)
        until(lambda number=number: robot.value("bad") == number)
    assert robot.speaker.asked == {}


def test_a_megabyte_is_read_beside_everything_else_and_refused_with_what_would_pass(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    robot.begin()
    robot.say("word " * (MIB // 5))
    answer = robot.answer()
    assert (answer.ended, answer.success, len(answer.prompt)) == ("refused", False, 256)
    assert "raise max_len" in answer.rationale.sentence


def test_a_topic_that_floods_keeps_one_place_and_the_newest_prompt(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    began = time.monotonic()
    robot.begin()
    robot.say("first")
    first = robot.asked()
    for number in range(2000):
        robot.say(f"number {number}")
    # What the last one replaced was replaced in the line, or before the node took it.
    until(lambda: robot.value("came") > 1 and robot.value("waiting") == 1)
    came = robot.value("came")
    robot.say("number 2000")  # this one, or one that comes before it, finds another one in the line
    until(lambda: robot.value("came") > came)
    counts = robot.prompting.health()[0].values
    assert int(counts["asked"]) == 1
    assert robot.conversation.in_hand == 1, "all others may still ask"
    assert robot.conversation.enter() is None
    robot.conversation.leave()
    robot.speaker.say(first.request, "1", Ending.END)
    assert robot.answer().prompt == "first"
    while True:  # whatever waited at that moment, the last one comes
        robot.speaker.say(robot.asked().request, "2", Ending.END)
        if robot.answer().prompt == "number 2000":
            break
    # Those that the middleware replaced are known to the diagnosis.
    told = len(until(lambda: robot.health() and robot.reasons(PromptReplaced)))
    seconds = time.monotonic() - began
    assert 1 <= told <= 1 + seconds / 10, "they are told by the kind, not one by one"


def test_prompts_are_asked_although_the_action_has_taken_all_places(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    robot.begin()
    runs, waits = (robot.conversation.ask(Question([1], 5), lambda answer: None) for _ in range(2))
    assert isinstance(runs, int) and isinstance(waits, int)
    assert robot.conversation.enter() is not None
    robot.say("And me?")
    until(lambda: robot.conversation.in_hand == 3)
    robot.speaker.say(runs, "", Ending.END)
    assert list(robot.speaker.asked) == [waits], "it came first"
    robot.speaker.say(waits, "", Ending.END)
    robot.speaker.say(robot.asked().request, "you, too", Ending.END)
    assert robot.answer().text == "you, too"


def test_why_a_generator_does_not_answer_is_the_answer(robots: Callable[..., Robot]) -> None:
    robot = robots(queue=2)
    robot.begin()
    there = robot.found
    robot.found = UnknownGenerator("llm", ())
    robot.say("Hi")
    answer = robot.answer()
    assert answer.ended == "refused" and "There is no generator" in answer.rationale.sentence
    robot.found = there
    robot.conversation.pause(UnknownGenerator("", ()))
    robot.say("Hi")
    assert "names none" in robot.answer().rationale.sentence
    robot.conversation.resume()
    robot.say("Hi")
    robot.asked()
    robot.speaker.lose()
    lost = robot.answer()
    assert (lost.ended, lost.success) == ("lost", False)


def test_several_publishers_are_heard_and_those_that_cannot_be_are_named(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    robot.begin()
    second = robot.asker.create_publisher(String, "/ask", 10)
    until(lambda: robot.value("publishers") == 2)
    second.publish(String(data="from another"))
    assert robot.asked()
    quiet = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    robot.asker.create_publisher(String, "/ask", quiet)
    until(lambda: robot.health().level == WARN)
    until(lambda: robot.health() and robot.reasons(PublisherOfOtherQos))
    assert "declare qos: best_effort" in robot.health().message


def test_a_publisher_of_another_type_is_an_error_while_nobody_else_is_heard(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    stranger = Context()
    rclpy.init(context=stranger, domain_id=robot.node.context.get_domain_id())
    node = Node("counter", context=stranger)
    node.create_publisher(Int32, "/ask", 10)
    robot.asker.destroy_publisher(robot.publisher)
    robot.prompting.follow(True)
    until(lambda: robot.health().level == ERROR)
    assert robot.reasons(CannotTakePrompts) == []
    until(lambda: robot.health() and robot.reasons(PromptsOfOtherType))
    assert "it publishes std_msgs/msg/Int32" in robot.health().message
    node.destroy_node()
    del node
    rclpy.try_shutdown(context=stranger)


def test_a_topic_that_cannot_be_used_is_told_and_costs_nothing_else(
    robots: Callable[..., Robot],
) -> None:
    robot = robots(answers="/counted")
    robot.node.create_publisher(Int32, "/counted", 10)
    robot.prompting.follow(True)
    (reported,) = robot.reasons(CannotTakePrompts)
    assert (reported.topic, reported.type) == ("/counted", "aegis_ros/msg/GeneratorAnswer")
    assert robot.health().level == ERROR


def test_prompts_are_taken_while_the_node_is_active_and_what_was_asked_is_answered(
    robots: Callable[..., Robot],
) -> None:
    robot = robots()
    robot.begin()
    robot.say("first")
    asked = robot.asked()
    robot.say("second")
    until(lambda: robot.value("waiting") == 1)
    robot.prompting.follow(False)
    assert len(robot.reasons(PromptWithdrawn)) == 1
    until(lambda: robot.publisher.get_subscription_count() == 0)
    robot.say("nobody hears it")
    robot.speaker.say(asked.request, "1", Ending.END)
    assert robot.answer().text == "1"
    robot.begin()
    robot.say("third")
    robot.speaker.say(robot.asked().request, "3", Ending.END)
    assert robot.answer().prompt == "third"


def test_a_message_as_the_library_serialises_it_is_read(robots: Callable[..., Robot]) -> None:
    robot = robots()
    robot.begin()
    robot.publisher.publish(serialize_message(String(data="Grüße, 机器人")))
    robot.speaker.say(robot.asked().request, "ja", Ending.END)
    assert robot.answer().prompt == "Grüße, 机器人"


def test_a_standing_prompt_is_asked_about_each_new_image_and_skipped_otherwise(
    robots: Callable[..., Robot],
) -> None:
    robot = robots(topic="", text="What is it?", period_ns=10**18)  # its moments are made here
    (standing,) = robot.prompting._standing
    picture = Picture(np.zeros((1, 1, 3), np.uint8), 3 * 10**9, "lens", 1)
    robot.shown.newest = lambda candidate: replace(picture, pixels=None)
    robot.stand()
    standing.ask()
    asked = robot.asked()
    standing.ask()
    (busy,) = robot.reasons(StandingPromptBusy)
    assert busy.at_once == 1 and robot.value("left_out") == 1
    robot.speaker.say(asked.request, "A cup.", Ending.END)
    answer = robot.answer()
    assert (answer.prompt, answer.text, answer.header.frame_id) == ("What is it?", "A cup.", "lens")
    assert answer.header == answer.image_header and answer.header.stamp.sec == 3
    until(lambda: robot.value("answered") == 1)
    standing.ask()
    (unseen,) = until(lambda: robot.reasons(StandingPromptUnseen))
    assert "no image has come since" in unseen.problem
    until(lambda: robot.value("bad") == 1)
    assert robot.health().level == WARN and "want of an image" in robot.health().message
    picture = replace(picture, number=2)
    standing.ask()
    robot.speaker.say(robot.asked().request, "A mug.", Ending.END)
    assert robot.answer().text == "A mug."
    robot.prompting.follow(False)
    standing.ask()
    assert robot.value("asked") == 2, "it is not asked while the node is inactive"


def test_standing_prompts_that_a_held_up_node_could_not_ask_are_told(
    robots: Callable[..., Robot],
) -> None:
    robot = robots(topic="", text="?", period_ns=10**18)
    (standing,) = robot.prompting._standing
    now = [0]
    standing._clock = lambda: now[0]
    robot.stand()
    robot.found = UnknownGenerator("llm", ())
    for now[0], missed in ((10**18, 0), (int(4.5 * 10**18), 2), (5 * 10**18, 2)):
        standing.ask()
        until(lambda: robot.answers and robot.answers.pop())
        assert robot.value("left_out") == missed
    (late,) = robot.reasons(StandingPromptLate)
    assert late.period_ns == 10**18
