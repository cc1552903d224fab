"""One goal of `~/generate`, from its first message to its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient

from aegis_ros.action import Generate
from aegis_ros.chat import Answered

__all__ = ["Asking"]


class Asking:
    """A goal whose answer is heard; for the thread of the client's executor.

    Args:
        client: of the action.
        goal: what is asked.
        hear: called with what there is of the answer, at last with one that has ended.
        ended: called with this when it has.
    """

    def __init__(
        self,
        client: ActionClient,
        goal: Generate.Goal,
        hear: Callable[[Answered], None],
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
        self._cancelled = False
        self._ended = False

    def begin(self, server: frozenset[bytes]) -> None:
        """Send the goal.

        Args:
            server: who is asked.
        """
        if self._cancelled:
            self._end(Answered(ended="cancelled"))
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
        self._end(Answered(ended="refused", sentence=sentence))

    def look(self, server: frozenset[bytes], ready: bool) -> None:
        """End it where nobody is left who would answer.

        Args:
            server: who is there now.
            ready: whether anybody has the action.
        """
        if ready and (not self._server or self._server & server):
            return
        self._end(Answered(ended="lost", sentence="The orchestrator is gone."))
        if self._future is not None:
            self._future.cancel()  # else the client would wait for ever

    def _on_feedback(self, message: Any) -> None:
        if not self._ended:
            self._hear(Answered(message.feedback.text))

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
        why = result.rationale
        self._end(
            Answered(
                result.text,
                result.ended,
                result.prompt_tokens,
                result.tokens,
                why.kind,
                why.rule,
                why.sentence,
            )
        )

    def _end(self, answered: Answered) -> None:
        if not self._ended:
            self._ended = True
            self._hear(answered)
            self._on_end(self)
