"""The action that has generators answer, over real DDS, with a speaker in place of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

import rclpy
from action_msgs.msg import GoalStatus
from aegis_ros.action import Generate
from aegis_ros.msg import ChatMessage
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from aegis_ros.engine.speech import Asked, Ending
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.preparing import PreparedGenerator, prepare_generator
from aegis_ros.network.model_file import ModelFile
from aegis_ros.nodes.callers import Callers
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.generating import Generating
from aegis_ros.nodes.goals import GoalClient
from aegis_ros.orchestrator.conversation import Conversation, Vocabulary
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.shown import Shown
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import UnknownGenerator
from aegis_ros.spec import GeneratorSpec
from test.network.generator.models import write_gguf
from test.nodes.spun import spin
from test.orchestrator.speaking import FakeSpeaker
from test.waiting import until

WAIT_S = 100.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreparedGenerator:
    folder = tmp_path_factory.mktemp("generating")
    with ModelFile(write_gguf(folder / "tiny.gguf")) as file:
        return prepare_generator(file, cache_dir=folder / "cache")


class Robot:
    """A node with the action, and one that asks."""

    def __init__(self, context: Context, model: PreparedGenerator, waiting: int = 2) -> None:
        self.context = context
        self.node = LifecycleNode("orchestrator", context=context)
        self.log = RationaleLog()
        self.speaker = FakeSpeaker()
        self.spec = GeneratorSpec("llm", "tiny.gguf", max_tokens=7)
        self.conversation = Conversation(
            1,
            "llm",
            KvShape(1, model.facts.context, 1),
            most_waiting=waiting,
            words=Vocabulary([bytes([byte]) for byte in range(256)], frozenset()),
            speaker=self.speaker,
            report=self.log.report_often,
        )
        self.speaker.on_spoken = self.conversation.heard
        candidate = SimpleNamespace(spec=self.spec, prepared=model)

        def find(name: str) -> Any:
            if name in ("", "llm"):
                return candidate, self.conversation
            return UnknownGenerator(name, ("llm",))

        self.owner: Any = SimpleNamespace(
            active=True, log=self.log, generators=SimpleNamespace(find=find, shown=Shown())
        )
        executor = NodeExecutor(context=context)
        callers = Callers(self.node, lambda: None)  # type: ignore[arg-type,return-value]
        self.generating = Generating(self.node, executor, lambda: self.owner, callers)
        self._clients: list[Client] = []
        self._spun: list[tuple[Any, Any, threading.Thread]] = []
        self._spin(executor, self.node)

    def _spin(self, executor: Any, node: Any) -> None:
        executor.add_node(node)
        thread = threading.Thread(target=spin, args=(executor,), daemon=True)
        thread.start()
        self._spun.append((executor, node, thread))

    def client(self, name: str = "robot") -> Client:
        node = Node(name, context=self.context)
        self._spin(NodeExecutor(context=self.context), node)
        self._clients.append(Client(node))
        return self._clients[-1]

    def close(self) -> None:
        self.generating.close()
        for executor, _, thread in self._spun:
            executor.shutdown()
            thread.join()
        self.generating.destroy()
        for client in self._clients:  # it would stay on the network, as that of a later test
            client.client.destroy()
        for _, node, _ in self._spun:
            node.destroy_node()

    def heard_saying(self, request: int, client: Client) -> list[str]:
        """Say something until a client has heard it, and return what was said.

        ROS does not send what is published before it has found who subscribes.
        """
        said: list[str] = []
        end = time.monotonic() + WAIT_S
        while not client.heard:
            assert time.monotonic() < end, "no feedback is heard"
            said.append("A ")
            self.speaker.say(request, said[-1])
            time.sleep(0.05)
        return said

    def asked(self) -> Asked:
        """Wait until the speaker is asked, and return the request."""
        until(lambda: self.speaker.asked)
        return next(iter(self.speaker.asked.values()))


class Client:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.client = GoalClient(node, Generate, "/orchestrator/generate")
        assert self.client.wait_for_server(WAIT_S)
        self.heard: list[Any] = []

    def goal(self, **fields: Any) -> Any:
        sent = self.client.send_goal_async(
            Generate.Goal(**fields), feedback_callback=lambda each: self.heard.append(each.feedback)
        )
        handle = done(sent)
        assert handle.accepted
        return handle

    def result(self, handle: Any) -> tuple[int, Any]:
        found = done(handle.get_result_async())
        return found.status, found.result

    def refused(self, **fields: Any) -> str:
        """Ask what is refused, and return why."""
        status, result = self.result(self.goal(**fields))
        assert status == GoalStatus.STATUS_ABORTED
        assert (result.success, result.ended, result.text) == (False, "refused", "")
        return str(result.rationale.sentence)


def done(future: Any) -> Any:
    until(future.done)
    return future.result()


@pytest.fixture
def robot(model: PreparedGenerator) -> Iterator[Robot]:
    context = Context()
    rclpy.init(context=context)
    made = Robot(context, model)
    yield made
    made.close()
    rclpy.try_shutdown(context=context)


def test_an_answer_comes_as_feedback_and_whole_at_the_end(robot: Robot) -> None:
    client = robot.client()
    goal = client.goal(prompt="What is a lidar?")
    asked = robot.asked()
    assert asked.answer == 7  # what the generator's max_tokens says
    said = "".join(robot.heard_saying(asked.request, client))
    robot.speaker.say(asked.request, "laser", Ending.END)
    status, result = client.result(goal)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.text, result.ended) == (True, f"{said}laser", "end")
    assert (result.tokens, result.prompt_tokens) == (len(result.text), len(asked.tokens))
    assert result.answer_s > 0
    first = client.heard[0]
    assert first.tokens == len(first.text) >= 2 and said.startswith(first.text)


def test_a_chat_is_told_with_the_instruction_of_the_generator(robot: Robot) -> None:
    client = robot.client()
    messages = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Ho")]
    goal = client.goal(generator="llm", messages=messages, max_tokens=3, seed=5, temperature=0.5)
    asked = robot.asked()
    assert (asked.answer, asked.sampling.seed, asked.sampling.top_p) == (3, 5, 1.0)
    robot.speaker.say(asked.request, "x", Ending.LENGTH)
    assert client.result(goal)[1].ended == "length"


def test_a_goal_is_cancelled_within_a_step(robot: Robot) -> None:
    client = robot.client()
    goal = client.goal(prompt="Count to a million")
    asked = robot.asked()
    robot.speaker.say(asked.request, "1 2")
    cancelling = goal.cancel_goal_async()
    until(lambda: robot.speaker.cancelled)
    robot.speaker.say(asked.request, "", Ending.CANCELLED)
    assert len(done(cancelling).goals_canceling) == 1
    status, result = client.result(goal)
    assert status == GoalStatus.STATUS_CANCELED
    assert (result.ended, result.text) == ("cancelled", "1 2")


def test_a_client_that_vanishes_is_cancelled_and_the_next_one_is_answered(robot: Robot) -> None:
    other = Context()
    rclpy.init(context=other, domain_id=robot.context.get_domain_id())
    gone = Node("gone", context=other)
    executor = NodeExecutor(context=other)
    executor.add_node(gone)
    thread = threading.Thread(target=spin, args=(executor,), daemon=True)
    thread.start()
    asker = Client(gone)
    asker.goal(prompt="Tell me a long story")
    asked = robot.asked()
    executor.shutdown()
    thread.join()
    asker.client.destroy()
    gone.destroy_node()
    del asker, gone  # ROS keeps a node on the network for as long as anything refers to it
    rclpy.try_shutdown(context=other)
    until(lambda: asked.request in robot.speaker.cancelled)
    robot.speaker.say(asked.request, "", Ending.CANCELLED)
    client = robot.client()
    goal = client.goal(prompt="And me?")
    robot.speaker.say(robot.asked().request, "yes", Ending.END)
    assert client.result(goal)[1].text == "yes"


def test_what_is_not_valid_is_refused_with_its_field(robot: Robot) -> None:
    client = robot.client()
    assert (
        "there is no generator lml; this node has llm"
        in client.refused(generator="lml", prompt="Hi").lower()
    )
    assert "the prompt is empty" in client.refused()
    assert "the prompt is empty" in client.refused(prompt="  \n")
    assert "temperature" in client.refused(prompt="Hi", temperature=-1.0)
    assert "top_p" in client.refused(prompt="Hi", top_p=float("nan"))
    assert "stop" in client.refused(prompt="Hi", stop=[""])
    assert "one of them" in client.refused(prompt="Hi", messages=[ChatMessage()])
    assert "unknown role" in client.refused(messages=[ChatMessage(role="God", content="Hi")])
    assert "raise max_len" in client.refused(prompt="word " * 2000)
    assert "at most 1,048,576 bytes" in client.refused(prompt="x" * (1 << 20) + "y")
    kept = [each.request for each in robot.generating._action._goal_handles.values()]
    assert kept, "with results, for a client that asks late"
    assert not any(each.prompt or each.messages or each.stop for each in kept)
    assert robot.speaker.asked == {}
    assert robot.conversation.in_hand == 0


def test_of_a_hundred_goals_those_that_find_no_place_are_told_so(robot: Robot) -> None:
    client = robot.client()
    results: list[Any] = []
    for _ in range(20):  # few at a time: a client's own queue holds ten
        goals = [client.client.send_goal_async(Generate.Goal(prompt="Hi")) for _ in range(5)]
        results += [done(each).get_result_async() for each in goals]
        most = len(results) - 3
        until(partial(_ended, results, most))
    until(lambda: robot.conversation.in_hand == 3)  # one runs, two wait
    while robot.conversation.in_hand:
        asked = robot.asked()
        robot.speaker.say(asked.request, "Ho", Ending.END)
    found = [done(each).result for each in results]
    assert sum(each.success for each in found) == 3
    assert all("wait already" in each.rationale.sentence for each in found if not each.success)


def _ended(results: list[Any], count: int) -> bool:
    return sum(each.done() for each in results) >= count


def test_a_node_that_is_not_ready_says_so(robot: Robot) -> None:
    client = robot.client()
    robot.owner.active = False
    assert "not active" in client.refused(prompt="Hi")
    robot.owner = None
    assert "not configured" in client.refused(prompt="Hi")


def test_a_reason_of_the_orchestrator_is_the_answer(robot: Robot) -> None:
    client = robot.client()
    reason: Reason = UnknownGenerator("", ())
    robot.conversation.pause(reason)
    assert "names none" in client.refused(prompt="Hi")
