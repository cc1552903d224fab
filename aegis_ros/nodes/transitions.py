"""Carries out lifecycle transitions beside the executor, and answers every request for one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from aegis_ros.nodes.beside import Beside
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.rationale.printable import printable

__all__ = ["Transitions"]

_SHOWN = 64  # characters of a label that is none

_SHUTDOWNS = {
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "unconfigured",
    Transition.TRANSITION_INACTIVE_SHUTDOWN: "inactive",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "active",
}
_VERBS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    **dict.fromkeys(_SHUTDOWNS, "shutdown"),
}
# What each state allows; rcl would say no as well, and nothing about why.
_POSSIBLE = {
    "unconfigured": ("configure", "shutdown"),
    "inactive": ("activate", "cleanup", "shutdown"),
    "active": ("deactivate", "shutdown"),
}


class Transitions:
    """Takes over ``~/change_state`` of a node; whatever takes long there stops no other service.

    Args:
        node: the node.
        executor: executor that spins the node.
        state: returns the label of the node's present state.
        interrupt: has a transition that is under way end soon.
    """

    def __init__(
        self,
        node: LifecycleNode,
        executor: Executor,
        *,
        state: Callable[[], str],
        interrupt: Callable[[], None],
    ) -> None:
        """Serve from now on."""
        self._node = node
        self._state = state
        self._interrupt = interrupt
        self._busy = threading.Lock()
        self._closed = False
        self._thread = Beside(executor, 1, "transitions")
        self._group = ReentrantCallbackGroup()
        for service in node.services:
            if service.srv_type is ChangeState:
                service.callback = self._answer
                service.callback_group = self._group
                self._group.add_entity(service)

    def close(self) -> None:
        """Begin no further transition; one that fails from now on does so because of this."""
        self._closed = True
        self._thread.close()

    def change(self, verb: str) -> bool:
        """Carry out a transition, after one that is under way; return whether it succeeded.

        Args:
            verb: ``configure``, ``activate``, ``deactivate``, ``cleanup`` or ``shutdown``.
        """
        with self._busy:
            if self._closed:
                return False
            state = self._state()
            if verb not in _POSSIBLE.get(state, ()):
                self._refuse(verb, state)
                return False
            try:
                done = getattr(self._node, f"trigger_{verb}")()
            except Exception as error:  # rcl's own; those of our callbacks never come this far
                if not self._closed:
                    self._node.get_logger().error(loggable(f"{verb} failed: {text_of(error)}"))
                return False
            return bool(done is TransitionCallbackReturn.SUCCESS)

    async def _answer(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        asked, label = request.transition.id, request.transition.label
        # A label counts more, as in rcl; "unconfigured_shutdown" is one.
        verb = label.rsplit("_", 1)[-1] if label else _VERBS.get(asked, "")
        state = self._state()
        wrong_shutdown = not label and _SHUTDOWNS.get(asked, state) != state
        if self._busy.locked() and verb in ("shutdown", "cleanup"):
            self._interrupt()
        elif self._busy.locked() or wrong_shutdown or verb not in _POSSIBLE.get(state, ()):
            self._refuse(verb or label or f"transition {asked}", state)
            return response
        response.success = await self._thread(lambda: self.change(verb))
        return response

    def _refuse(self, verb: str, state: str) -> None:
        possible = " or ".join(_POSSIBLE.get(state, ())) or "nothing until that has ended"
        asked = printable(verb[:_SHOWN])
        self._node.get_logger().error(
            f"{asked} is not possible now: the node is {state}; possible: {possible}"
        )
