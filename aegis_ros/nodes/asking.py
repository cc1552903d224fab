"""Goals of `~/generate`, each from its first message to its end, whoever is there to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from rclpy.action import ActionClient
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from aegis_ros.action import Generate
from aegis_ros.nodes.goals import GoalClient

__all__ = ["Asker", "Asking", "Said"]

_LOOK_S = 1.0

Said: TypeAlias = Generate.Feedback | Generate.Result
"""What there is of an answer; at last its result, also where nobody was there to send one."""


class Asker:
    """Asks the generators of one orchestrator; for the thread of the node's executor.

    What was asked of an orchestrator that is gone ends as lost: it will not be answered.

    Args:
        node: asks, and is spun by its owner.
        target: fully qualified name of the orchestrator node.
        profiles: quality of service of the action's services, as of rclpy's client.
    """

    def __init__(self, node: Node, target: str, **profiles: Any) -> None:
        """Ask nothing yet."""
        self._node = node
        self._status = f"{target}/status"
        self._client = GoalClient(node, Generate, f"{target}/generate", **profiles)
        self._asked: set[Asking] = set()
        # Not the node's clock, which a simulation may stop.
        node.create_timer(_LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def ready(self) -> bool:
        """Return whether an orchestrator is there; for any thread."""
        return bool(self._client.server_is_ready())

    def asking(self, goal: Generate.Goal, hear: Callable[[Said], None]) -> Asking:
        """Return a goal that :meth:`begin` sends; for any thread.

        Args:
            goal: what is asked.
            hear: called with what there is of the answer, at last with its result.
        """
        return Asking(self._client, goal, hear, self._asked.discard)

    def begin(self, asking: Asking) -> None:
        """Send a goal."""
        self._asked.add(asking)
        asking.begin(self._server())

    def close(self) -> None:
        """Ask nothing more; nothing may spin the node any more."""
        self._client.destroy()

    def _look(self) -> None:
        if self._asked:
            server = self._server()
            for asking in tuple(self._asked):
                asking.look(server, self.ready())

    def _server(self) -> frozenset[bytes]:
        """Return what tells the orchestrator that is there from one of its name that follows."""
        found = self._node.get_publishers_info_by_topic(self._status)
        return frozenset(bytes(each.endpoint_gid) for each in found)


class Asking:
    """A goal whose answer is heard; for the thread of the client's executor.

    Args:
        client: of the action.
        goal: what is asked.
        hear: called with what there is of the answer, at last with its result.
        ended: called with this when it has one.
    """

    def __init__(
        self,
        client: ActionClient,
        goal: Generate.Goal,
        hear: Callable[[Said], None],
        ended: Callable[[Asking], object],
    ) -> None:
        """Ask nothing yet."""
        self._client = client
        self._goal = goal
        self._hear = hear
        self._on_end = ended
        self._server: frozenset[bytes] = frozenset()
        self._future: Any = None  # what is waited for
        self._handle: Any = None
        self._so_far = Generate.Feedback()
        self._cancelled = False
        self._ended = False

    def begin(self, server: frozenset[bytes]) -> None:
        """Send the goal.

        Args:
            server: who is asked.
        """
        if self._cancelled:
            self._end_as("cancelled")
            return
        self._server = server
        self._future = self._client.send_goal_async(self._goal, feedback_callback=self._on_feedback)
        self._future.add_done_callback(self._on_answer)

    def cancel(self) -> None:
        """End the answer within a step."""
        self._cancelled = True
        if self._handle is not None and not self._ended:
            self._handle.cancel_goal_async()

    def refuse(self, sentence: str) -> None:
        """Say why it is not asked."""
        self._end_as("refused", sentence)

    def look(self, server: frozenset[bytes], ready: bool) -> None:
        """End it where nobody is left who would answer.

        Args:
            server: who is there now.
            ready: whether anybody has the action.
        """
        if ready and (not self._server or self._server & server):
            return
        self._end_as("lost", "The orchestrator is gone.")
        if self._future is not None:
            self._future.cancel()  # else the client would wait for ever

    def _on_feedback(self, message: Any) -> None:
        if not self._ended:
            self._so_far = message.feedback
            self._hear(self._so_far)

    def _on_answer(self, future: Any) -> None:
        if future.cancelled():
            return
        handle = self._handle = future.result()
        if not handle.accepted:
            self.refuse("The orchestrator does not take the goal.")
            return
        if self._cancelled:
            handle.cancel_goal_async()
        self._future = handle.get_result_async()
        self._future.add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        if future.cancelled():
            return
        result = future.result().result
        if result.ended:
            self._end(result)
        else:  # ROS sends an empty one where the goal is not known, or who answers has failed
            self._end_as("lost", "The orchestrator has no result of the goal.")

    def _end_as(self, ended: str, sentence: str = "") -> None:
        """End it without an orchestrator, with what has come of it."""
        so_far = self._so_far
        result = Generate.Result(ended=ended, text=so_far.text, tokens=so_far.tokens)
        if so_far.tokens_per_s > 0:
            result.answer_s = (so_far.tokens - 1) / so_far.tokens_per_s
        result.rationale.sentence = sentence
        self._end(result)

    def _end(self, result: Generate.Result) -> None:
        if not self._ended:
            self._ended = True
            self._hear(result)
            self._on_end(self)
