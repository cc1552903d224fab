"""Spins executors on threads of their own, and ends them before what they spin is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.loggable import loggable, text_of

__all__ = ["Spinning", "spin_beside"]

_END_SECONDS = 2.0  # for a callback that is under way
# What fails again and again at once is the wait itself: it must not take a core and fill the log.
_FAILURES, _PAUSE_SECONDS = 10, 1.0


class Spinning:
    """Executors that run until they are stopped, whatever their callbacks raise.

    Stop them before the context is shut down: an executor that waits then fails, in rclpy's words.

    Args:
        executors: by name of the thread.
        report: is given one sentence where a callback raises.
    """

    def __init__(self, executors: Mapping[str, Executor], report: Callable[[str], object]) -> None:
        """Start the threads."""
        self._executors = tuple(executors.values())
        self._report = report
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._spin, args=(executor,), name=name, daemon=True)
            for name, executor in executors.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, each after the callback that it is in."""
        self._stopped.set()
        for executor in self._executors:
            executor.create_task(_nothing)  # a wait that is only woken begins again
        for thread in self._threads:
            thread.join(timeout=_END_SECONDS)

    def leave(self) -> None:
        """Stop, destroy what was spun, and have the others on the network hear of it.

        They would list the nodes for 20 s more where the process ends without that.
        """
        self.stop()
        if any(thread.is_alive() for thread in self._threads):
            return  # it may be in the middle of something
        for executor in self._executors:
            nodes = executor.get_nodes()
            executor.shutdown()
            for node in nodes:
                node.destroy_node()

    def _spin(self, executor: Executor) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                executor.spin_once()
                failures = 0
            except ExternalShutdownException:
                return
            except Exception as error:  # a callback that raises must not silence all others
                if self._stopped.is_set() or not executor.context.ok():
                    return
                self._report(loggable(f"a callback failed: {text_of(error)}"))
                failures += 1
                if failures >= _FAILURES:
                    self._stopped.wait(_PAUSE_SECONDS)


def spin_beside(node: Node) -> Spinning:
    """Spin a node beside the thread that calls."""
    executor = NodeExecutor(context=node.context)
    executor.add_node(node)
    return Spinning({"spin": executor}, lambda text: node.get_logger().error(text))


def _nothing() -> None:
    """Be something to do."""
