"""An executor goes on, whatever other threads destroy while it is about to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import Empty

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.orchestrator import OrchestratorNode
from test.nodes.system import WAIT_SECONDS


@pytest.fixture
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made)
    yield made
    rclpy.try_shutdown(context=made)


def _once_gathered(
    executor: NodeExecutor, last: Any, do: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> threading.Event:
    """Have another thread do something once the executor has decided to wait for an entity."""
    real = executor.can_execute
    done = threading.Event()

    def can_execute(entity: Any) -> bool:
        if entity is last and not done.is_set():
            thread = threading.Thread(target=do)
            thread.start()
            thread.join(WAIT_SECONDS)
            done.set()
        return bool(real(entity))

    monkeypatch.setattr(executor, "can_execute", can_execute)
    return done


def _publisher(node: Node) -> tuple[Any, Callable[[Any], object]]:
    return node.create_publisher(Empty, "spoken", 1), node.destroy_publisher


def _subscription(node: Node) -> tuple[Any, Callable[[Any], object]]:
    made = node.create_subscription(Empty, "heard", lambda message: None, 1)
    return made, node.destroy_subscription


@pytest.mark.parametrize("make", [_publisher, _subscription])
def test_what_is_destroyed_before_it_is_waited_for_is_left_out(
    make: Callable[[Node], tuple[Any, Callable[[Any], object]]],
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = rclpy.create_node("spun", context=context)
    made, destroy = make(node)
    executor = NodeExecutor(context=context)
    executor.add_node(node)
    event = made.event_handlers[-1]
    destroyed = _once_gathered(executor, event, lambda: destroy(made), monkeypatch)
    while not destroyed.is_set():
        executor.spin_once(0.0)
    executor.spin_once(0.0)
    executor.shutdown()
    node.destroy_node()


def test_a_node_that_is_closed_while_its_executor_is_about_to_wait_ends_without_an_error(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = OrchestratorNode(context=context)
    executor = node.control_executor
    executor.add_node(node)
    action = next(each for each in node.waitables if isinstance(each, ActionServer))
    closed = _once_gathered(executor, action, node.close, monkeypatch)
    while not closed.is_set():
        executor.spin_once(0.0)
    executor.spin_once(0.0)
    executor.shutdown()
    node.intake_node.destroy_node()
    node.destroy_node()
    del node._state_machine  # it refers to the node


def test_an_executor_may_be_collected_after_its_guard_of_ctrl_c(context: Context) -> None:
    executor = NodeExecutor(context=context)
    executor._sigint_gc.destroy()  # as where both are parts of one cycle, and it is first
    executor.__del__()
