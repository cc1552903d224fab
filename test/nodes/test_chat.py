"""The chat node: OpenAI's client asks a real node with a made-up model, over real DDS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `chat` is not installed")
pytest.importorskip("uvicorn", reason="the extra `chat` is not installed")
pytest.importorskip("gguf", reason="the extra `llm` is not installed")
pytest.importorskip("openai", reason="pip install openai")

import openai
import rclpy
from aegis_ros.action import Generate
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future

from aegis_ros.chat import Answered, Message, Question, Settings
from aegis_ros.chat.server import Server
from aegis_ros.errors import ConfigError, StateError
from aegis_ros.nodes.chat import ChatNode
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.spinning import Spinning
from test.network.generator.models import write_gguf
from test.nodes.system import WAIT_SECONDS, System, running
from test.waiting import until

TOKEN = "0123456789abcdef"
NAME = "stand_in"  # another orchestrator is there
LLM = """\
generators:
  - {{name: llm, model: {folder}/tiny.gguf, precision: float32, slots: 1, waiting: 2, max_len: 128,
     parts: 2}}
"""
CHAT: Any = [{"role": "user", "content": "Hello"}]
QUESTION = Question("llm", (Message("user", "Hi"),), 9, 0.5, 1e-50, 2**63 - 1, ("x",))


@contextmanager
def _spun(node: Node) -> Iterator[None]:
    executor = NodeExecutor(context=node.context)
    executor.add_node(node)
    spinning = Spinning({"spin": executor}, print)
    yield
    spinning.stop()
    executor.shutdown()
    node.destroy_node()


class Chat:
    """The node, spun, with its server and OpenAI's client of it."""

    def __init__(self, system: System, node: ChatNode) -> None:
        self.system = system
        self.node = node
        self.server = Server(node, node.settings)
        self.client = openai.OpenAI(
            base_url=f"{self.server.url}v1", api_key=TOKEN, max_retries=0, timeout=WAIT_SECONDS
        )

    def say(self, **more: Any) -> Any:
        return self.client.chat.completions.create(model="llm", messages=CHAT, **more)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    folder = tmp_path_factory.mktemp("chat")
    write_gguf(folder / "tiny.gguf")
    token = folder / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with running(folder, more=LLM.format(folder=folder)) as system:
        node = ChatNode(
            context=system.robot.context,
            parameter_overrides=[
                Parameter("port", value=0),
                Parameter("token_file", value=str(token)),
            ],
        )
        with _spun(node):
            made = Chat(system, node)
            with closing(made.client), closing(made.server):
                system.until(lambda: _listed(node))
                yield made


def _listed(node: ChatNode) -> Any:
    try:
        return node.models()
    except StateError:
        return ()


def test_the_generators_of_the_robot_are_the_models(chat: Chat) -> None:
    assert [each.id for each in chat.client.models.list()] == ["llm"]


def test_an_answer_is_the_same_whole_and_in_pieces(chat: Chat) -> None:
    whole = chat.say(max_tokens=30, temperature=1.0, seed=7)
    assert whole.choices[0].finish_reason in ("length", "stop")
    assert 0 < whole.usage.completion_tokens <= 30
    asked = chat.say(
        max_tokens=30,
        temperature=1.0,
        seed=7,
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = list(asked)
    said = [choice.delta.content or "" for each in pieces for choice in each.choices]
    assert "".join(said) == whole.choices[0].message.content
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_what_the_orchestrator_refuses_has_its_words(chat: Chat) -> None:
    create = chat.client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="llm") as missing:
        create(model="gpt-4o", messages=CHAT)
    assert missing.value.code == "model_not_found"
    long: Any = [{"role": "user", "content": "word " * 60}]
    with pytest.raises(openai.BadRequestError, match="does not fit into the context"):
        create(model="llm", messages=long)
    for content in ("word " * 200_000, "x" * 1_100_000):
        huge: Any = [{"role": "user", "content": content}]
        with pytest.raises(openai.BadRequestError, match=r"too long|does not fit"):
            create(model="llm", messages=huge)
    url = "data:image/png;base64,iVBORw0KGgo="
    image = {"type": "image_url", "image_url": {"url": url}}
    about: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}]
    with pytest.raises(openai.BadRequestError, match="the model of llm takes no images"):
        create(model="llm", messages=about)
    assert chat.say(max_tokens=2).choices[0].message.role == "assistant"


def test_many_clients_are_answered_or_told_to_wait_and_the_next_one_is_served(chat: Chat) -> None:
    found: list[int] = []

    def ask() -> None:
        try:
            chat.say(max_tokens=4)
            found.append(200)
        except openai.APIStatusError as error:
            found.append(error.status_code)

    clients = [threading.Thread(target=ask) for _ in range(100)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert len(found) == 100
    assert set(found) <= {200, 429}
    assert found.count(200) >= 3  # the slot, and who may wait
    assert chat.say(max_tokens=2).choices[0].message.role == "assistant"


class Orchestrator:
    """Has the action, and answers a goal when it is made to."""

    def __init__(self, context: Context) -> None:
        self.node = Node(NAME, context=context)
        self.goals: list[Any] = []
        self.cancelled: set[bytes] = set()  # ids of goals
        self._ends: dict[bytes, Any] = {}
        self._action = ActionServer(
            self.node,
            Generate,
            "~/generate",
            self._generate,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=self._cancel,
        )

    def _cancel(self, goal: Any) -> CancelResponse:
        key = bytes(goal.goal_id.uuid)
        self.cancelled.add(key)
        if key in self._ends:
            self._ends[key].set_result("cancelled")
        return CancelResponse.ACCEPT

    async def _generate(self, goal: Any) -> Generate.Result:
        end: Any = Future(executor=self.node.executor)
        end.add_done_callback(lambda done: None)  # else nothing would wake the executor
        key = bytes(goal.goal_id.uuid)
        self._ends[key] = end
        if key in self.cancelled:
            end.set_result("cancelled")
        self.goals.append(goal)
        goal.publish_feedback(Generate.Feedback(text="On"))
        ended = await end
        goal.canceled() if goal.is_cancel_requested else goal.succeed()
        return Generate.Result(text="One", ended=ended, tokens=3, prompt_tokens=4)

    def end(self) -> None:
        """End the answer to the latest goal."""
        list(self._ends.values())[-1].set_result("end")

    def destroy(self) -> None:
        self._action.destroy()


def _chat_with(target: str, context: Context) -> ChatNode:
    return ChatNode(context=context, parameter_overrides=[Parameter("target", value=target)])


class Alone:
    """The chat node beside a stand-in for the orchestrator."""

    def __init__(self, context: Context) -> None:
        self.orchestrator = Orchestrator(context)
        self.node = _chat_with(NAME, context)
        self.heard: list[Answered] = []
        self._news = threading.Condition()

    def ask(self) -> Callable[[], None]:
        return self.node.ask(QUESTION, self._hear)

    def _hear(self, answered: Answered) -> None:
        with self._news:
            self.heard.append(answered)
            self._news.notify_all()

    def until(self, true: Callable[[], Any]) -> None:
        with self._news:
            assert self._news.wait_for(true, WAIT_SECONDS)


@pytest.fixture
def alone() -> Iterator[Alone]:
    context = Context()
    rclpy.init(context=context)
    made = Alone(context)
    with _spun(made.node), _spun(made.orchestrator.node):
        assert made.node._asker._client.wait_for_server(WAIT_SECONDS)
        yield made
        made.orchestrator.destroy()
    rclpy.try_shutdown(context=context)


def test_what_is_asked_is_what_the_goal_says(alone: Alone) -> None:
    alone.ask()
    alone.until(lambda: alone.heard)
    goal = alone.orchestrator.goals[0].request
    assert (goal.generator, goal.max_tokens, goal.seed) == ("llm", 9, 2**63 - 1)
    assert [(each.role, each.content) for each in goal.messages] == [("user", "Hi")]
    assert list(goal.stop) == ["x"]
    assert goal.temperature == 0.5
    assert goal.top_p > 0  # 0 would mean 1
    assert alone.heard[0] == Answered("On")
    alone.orchestrator.end()
    alone.until(lambda: alone.heard[-1].ended)
    assert alone.heard[-1] == Answered("One", "end", 4, 3)


def test_an_answer_that_nobody_waits_for_is_cancelled(alone: Alone) -> None:
    cancel = alone.ask()
    alone.until(lambda: alone.heard)
    cancel()
    until(lambda: alone.orchestrator.cancelled)


def test_who_leaves_the_server_ends_its_own_answer(alone: Alone) -> None:
    body = b'{"model": "llm", "messages": [{"role": "user", "content": "Hi"}]}'
    head = {"Content-Type": "application/json"}
    with closing(Server(alone.node, Settings(port=0))) as server:
        port = int(server.url.rstrip("/").rpartition(":")[2])
        clients = []
        for number in range(1, 4):
            clients.append(HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS))
            clients[-1].request("POST", "/v1/chat/completions", body, head)
            until(lambda number=number: len(alone.orchestrator.goals) == number)  # type: ignore[misc]
        first, second, third = (bytes(each.goal_id.uuid) for each in alone.orchestrator.goals)
        clients[1].close()
        until(lambda: alone.orchestrator.cancelled)
        assert alone.orchestrator.cancelled == {second}
        alone.orchestrator.end()
        assert clients[2].getresponse().status == 200
        clients[0].close()
        until(lambda: len(alone.orchestrator.cancelled) == 2)
        assert alone.orchestrator.cancelled == {first, second}, f"not {third!r}"
        clients[2].close()


def test_what_is_cancelled_before_it_is_taken_is_cancelled_then(alone: Alone) -> None:
    alone.ask()()
    alone.until(lambda: alone.heard and alone.heard[-1].ended)
    assert alone.heard[-1].ended == "cancelled"


def test_an_answer_ends_where_another_orchestrator_took_the_place_of_who_was_asked(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [frozenset({b"first"})]
    monkeypatch.setattr(alone.node._asker, "_server", lambda: there[0])
    alone.ask()
    alone.until(lambda: alone.heard)
    there[0] = frozenset({b"second"})
    alone.until(lambda: alone.heard[-1].ended)
    assert alone.heard[-1].ended == "lost"
    alone.orchestrator.end()  # of the goal that nobody waits for
    alone.ask()
    alone.until(lambda: alone.heard[-1] == Answered("On"))


def test_without_an_orchestrator_that_is_said_at_once() -> None:
    context = Context()
    rclpy.init(context=context)
    node = _chat_with("nobody", context)
    heard: list[Answered] = []
    told = threading.Event()

    def hear(answered: Answered) -> None:
        heard.append(answered)
        told.set()

    with _spun(node):
        with pytest.raises(StateError, match="not there"):
            node.models()
        node.ask(QUESTION, hear)
        assert told.wait(WAIT_SECONDS)
    assert (heard[0].ended, len(heard)) == ("refused", 1)
    assert "not there" in heard[0].sentence
    rclpy.try_shutdown(context=context)


def test_beyond_this_machine_nobody_is_served_without_a_token(tmp_path: Path) -> None:
    context = Context()
    rclpy.init(context=context)
    try:
        for given, says in (({"host": "0.0.0.0"}, "token_file"), ({"token": TOKEN}, "parameter")):
            overrides = [Parameter(name, value=value) for name, value in given.items()]
            with pytest.raises(ConfigError, match=says):
                ChatNode(context=context, parameter_overrides=overrides)
    finally:
        rclpy.try_shutdown(context=context)
