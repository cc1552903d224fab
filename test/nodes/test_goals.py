"""Goals that one thread sends while another one spins: none goes unheard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from aegis_ros.action import Generate
from rclpy.action import ActionServer
from rclpy.action.server import CancelResponse
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor

from aegis_ros.nodes.goals import GoalClient
from aegis_ros.nodes.spinning import Spinning, spin_beside
from test.waiting import until

_WAIT_S = 60.0
_MEANWHILE_S = 0.5  # far more than an answer takes


class _Slow:
    """The handle of a client, whose every request is answered before it comes back from sending."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._handle, name)
        if not (name.startswith("send_") and name.endswith("_request")):
            return found

        def send(request: Any) -> Any:
            sequence = found(request)
            time.sleep(_MEANWHILE_S)
            return sequence

        return send


@pytest.fixture
def client() -> Iterator[GoalClient]:
    """A client of a server that takes a goal until it is cancelled, both spun by other threads."""
    context = Context()
    rclpy.init(context=context)
    serving = rclpy.create_node("serving", context=context)
    asking = rclpy.create_node("asking", context=context)

    def run(goal: Any) -> Generate.Result:
        while not goal.is_cancel_requested:
            time.sleep(0.01)
        goal.canceled()
        return Generate.Result(text="enough")

    server = ActionServer(
        serving, Generate, "/generate", run, cancel_callback=lambda _: CancelResponse.ACCEPT
    )
    made = GoalClient(asking, Generate, "/generate")
    several = MultiThreadedExecutor(2, context=context)
    several.add_node(serving)
    spun = [Spinning({"server": several}, print), spin_beside(asking)]
    assert made.wait_for_server(_WAIT_S)
    yield made
    for each in spun:
        each.stop()
    made.destroy()
    server.destroy()
    for node in (serving, asking):
        node.destroy_node()
    rclpy.try_shutdown(context=context)


def _done(future: Any) -> Any:
    until(future.done)
    return future.result()


def test_an_answer_that_comes_at_once_is_heard(client: GoalClient) -> None:
    client._client_handle = _Slow(client._client_handle)
    handle = _done(client.send_goal_async(Generate.Goal(prompt="Hi")))
    assert handle.accepted
    cancelled = _done(handle.cancel_goal_async())
    assert len(cancelled.goals_canceling) == 1
    assert _done(handle.get_result_async()).result.text == "enough"
