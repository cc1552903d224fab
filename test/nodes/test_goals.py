"""Goals that one thread sends while another one spins: none goes unheard."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from action_msgs.srv import CancelGoal
from aegis_ros.action import Generate
from rclpy.context import Context

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.goals import GoalClient
from test.waiting import until

_KINDS = ("goal", "cancel", "result")


class _Lock:
    """A lock that shows whether somebody waits for it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.waited_for = False

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.waited_for = True
            self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class _AtOnce:
    """In place of the handle of a client: answers each request before it comes back from sending.

    The thread that would spin the client has then taken the answer, or waits until it may.
    """

    def __init__(self, client: GoalClient) -> None:
        self._client = client
        self._lock = _Lock()
        client._sending = self._lock  # type: ignore[assignment]
        self._sequence = 0
        self._answer: Any = None
        self.took: list[threading.Thread] = []

    def send_goal_request(self, request: Any) -> int:
        return self._sent("goal", Generate.Impl.SendGoalService.Response(accepted=True))

    def send_cancel_request(self, request: Any) -> int:
        return self._sent("cancel", CancelGoal.Response(goals_canceling=[request.goal_info]))

    def send_result_request(self, request: Any) -> int:
        result = Generate.Result(text="enough")
        return self._sent("result", Generate.Impl.GetResultService.Response(result=result))

    def _sent(self, kind: str, answer: Any) -> int:
        self._sequence += 1
        self._answer = self._sequence, answer
        self._lock.waited_for = False
        spinning = threading.Thread(target=self._spin, args=(kind,), daemon=True)
        self.took.append(spinning)
        spinning.start()
        until(lambda: self._lock.waited_for or not spinning.is_alive())
        return self._sequence

    def _spin(self, kind: str) -> None:
        client: Any = self._client
        client._is_feedback_ready = client._is_status_ready = False
        for each in _KINDS:
            setattr(client, f"_is_{each}_response_ready", each == kind)
        asyncio.run(client.execute(client.take_data()))

    def take_goal_response(self, kind: Any) -> Any:
        return self._answer

    take_cancel_response = take_result_response = take_goal_response


@pytest.fixture
def client() -> Iterator[GoalClient]:
    """A client of an action that nobody serves, and that nobody spins."""
    context = Context()
    rclpy.init(context=context)
    asking = rclpy.create_node("asking", context=context)
    made = GoalClient(asking, Generate, "/generate")
    handle = made._client_handle
    yield made
    made._client_handle = handle
    made.destroy()
    asking.destroy_node()
    rclpy.try_shutdown(context=context)


def test_an_answer_that_comes_at_once_is_heard(client: GoalClient) -> None:
    answers = client._client_handle = _AtOnce(client)

    def heard(future: Any) -> Any:
        answers.took[-1].join()
        assert future.done(), "it is never heard of again"
        return future.result()

    goal = heard(client.send_goal_async(Generate.Goal(prompt="Hi")))
    assert goal.accepted
    assert len(heard(goal.cancel_goal_async()).goals_canceling) == 1
    assert heard(goal.get_result_async()).result.text == "enough"


class _GoneBeforeItIsWaitedFor(GoalClient):
    """Is destroyed when an executor has gathered it and does not hold it yet."""

    def __enter__(self) -> Any:
        self.destroy()
        return super().__enter__()


def test_a_client_that_is_destroyed_ends_nobody_who_spins() -> None:
    context = Context()
    rclpy.init(context=context)
    asking = rclpy.create_node("asking", context=context)
    try:
        client = _GoneBeforeItIsWaitedFor(asking, Generate, "/generate")
        executor = NodeExecutor(context=context)
        executor.add_node(asking)
        executor.spin_once(timeout_sec=0.0)
        assert client not in list(asking.waitables)
        executor.shutdown()
    finally:
        asking.destroy_node()
        rclpy.try_shutdown(context=context)
