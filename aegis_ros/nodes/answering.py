"""Has a node go on, and answer, where one of its callbacks fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidHandle
from rclpy.executors import await_or_execute
from rclpy.node import Node

from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.rationale.rejection import Unforeseen
from aegis_ros.rationale.wording import sentence

__all__ = ["answer_always"]

_REPORTED_EVERY_S = 10.0  # of a timer that fails again and again


def answer_always(node: Node) -> None:
    """Wrap the callbacks of all services and timers that a node has by now.

    A callback that raises would end the executor that runs it, and leave who asked without an
    answer for ever, and so would an answer that cannot be sent. What they get instead is one that
    says no, with the reason where its type has a place for one; the log has the traceback.
    """
    for service in node.services:
        service.callback = _answered(node, service.srv_type, service.callback)
        service.send_response = _sent(node, service.srv_type, service.send_response)
    for timer in node.timers:
        timer.callback = _outlived(node, timer.callback)


def _outlived(node: Node, callback: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        try:
            return callback()
        except Exception:
            node.get_logger().error(
                loggable(f"a timer's callback failed\n{traceback.format_exc()}"),
                throttle_duration_sec=_REPORTED_EVERY_S,
            )

    return call


def _answered(node: Node, kind: Any, callback: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, response: Any) -> Any:
        try:
            return await await_or_execute(callback, request, response)
        except Exception as error:
            node.get_logger().error(loggable(f"{kind.__name__} failed\n{traceback.format_exc()}"))
            return _refusal(kind, request, error)

    return answer


def _sent(node: Node, kind: Any, send: Callable[..., None]) -> Callable[..., None]:
    def send_response(response: Any, header: Any) -> None:
        try:
            send(response, header)
        except InvalidHandle:
            raise  # the service has been destroyed
        except Exception as error:
            node.get_logger().error(
                loggable(f"the answer of {kind.__name__} cannot be sent\n{traceback.format_exc()}")
            )
            send(_refusal(kind, None, error), header)

    return send_response


def _refusal(kind: Any, request: Any, error: Exception) -> Any:
    """Return an answer that says no; fields that are not named here are false, 0 or empty."""
    text = sentence(Unforeseen("", text_of(error)))
    response = kind.Response()
    if hasattr(response, "rationale"):
        response.rationale.sentence = text
    if hasattr(response, "results"):  # one a parameter that was to be set
        wanted = getattr(request, "parameters", ())
        response.results = [SetParametersResult(reason=text) for _ in wanted]
    elif hasattr(response, "result") and hasattr(response.result, "reason"):
        response.result.reason = text
    return response
