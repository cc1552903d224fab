"""Has a node go on, and answer, where one of its callbacks fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import await_or_execute
from rclpy.node import Node

from aegis_ros.rationale.rejection import Unforeseen
from aegis_ros.rationale.wording import sentence

__all__ = ["answer_always"]

_REPORTED_EVERY_S = 10.0  # of a timer that fails again and again


def answer_always(node: Node) -> None:
    """Wrap the callbacks of all services and timers that a node has by now.

    A callback that raises would end the executor that runs it, and leave who asked without an
    answer for ever. What they get instead is an answer that says no, with the reason where its type
    has a place for one; the log has the traceback.
    """
    for service in node.services:
        service.callback = _answered(node, service.srv_type, service.callback)
    for timer in node.timers:
        timer.callback = _outlived(node, timer.callback)


def _outlived(node: Node, callback: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        try:
            return callback()
        except Exception:
            node.get_logger().error(
                f"a timer's callback failed\n{traceback.format_exc()}",
                throttle_duration_sec=_REPORTED_EVERY_S,
            )

    return call


def _answered(node: Node, kind: Any, callback: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, response: Any) -> Any:
        try:
            return await await_or_execute(callback, request, response)
        except Exception as error:
            node.get_logger().error(f"{kind.__name__} failed\n{traceback.format_exc()}")
            return _refusal(kind, request, error)

    return answer


def _refusal(kind: Any, request: Any, error: Exception) -> Any:
    """Return an answer that says no; fields that are not named here are false, 0 or empty."""
    text = sentence(Unforeseen("", f"{type(error).__name__}: {error}"))
    response = kind.Response()
    if hasattr(response, "rationale"):
        response.rationale.sentence = text
    if hasattr(response, "results"):  # one a parameter that was to be set
        response.results = [SetParametersResult(reason=text) for _ in request.parameters]
    elif hasattr(response, "result") and hasattr(response.result, "reason"):
        response.result.reason = text
    return response
