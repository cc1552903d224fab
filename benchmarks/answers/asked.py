"""Asks quick services again and again, and notes how long each answer takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from aegis_ros.srv import ListModels, SetTaskEnabled
from rclpy.client import Client
from rclpy.node import Node

from benchmarks.answers.bare import SERVICE

__all__ = ["Asker"]

_PAUSE_S = 0.02
_PATIENCE_S = 20.0


class Asker:
    """Asks one service after the other on a thread of its own.

    Args:
        node: to ask with; is spun elsewhere.
        task: of the orchestrator, which is paused and resumed.
        phase: returns what goes on in the orchestrator, under which an answer is kept.

    Attributes:
        answers: milliseconds of each answer, by service and phase.
    """

    def __init__(self, node: Node, task: str, phase: Callable[[], str]) -> None:
        """Ask nothing yet."""
        self.answers: dict[tuple[str, str], list[float]] = {}
        self._phase = phase
        self._enabled = False
        self._task = task
        self._clients = {
            "list": node.create_client(ListModels, "/orchestrator/list_models"),
            "pause": node.create_client(SetTaskEnabled, "/orchestrator/set_task_enabled"),
            "bare": node.create_client(ListModels, SERVICE),
        }
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asker", daemon=True)
        self._failed = ""

    def start(self) -> None:
        """Begin to ask.

        Raises:
            SystemExit: a service is not there.
        """
        for name, client in self._clients.items():
            if not client.wait_for_service(_PATIENCE_S):
                raise SystemExit(f"the service {name} is not there")
        self._thread.start()

    def stop(self) -> None:
        """End after the answer that is waited for.

        Raises:
            SystemExit: an answer did not come.
        """
        self._end.set()
        self._thread.join()
        if self._failed:
            raise SystemExit(self._failed)

    def _ask(self) -> None:
        while not self._end.is_set():
            for name, client in self._clients.items():
                before = self._phase()
                took_s = _answered(client, self._request(name))
                if took_s is None:
                    self._failed = f"{name} was not answered within {_PATIENCE_S:g} s"
                    return
                if before == self._phase():  # else it is of neither
                    self.answers.setdefault((name, before), []).append(took_s * 1e3)
                self._end.wait(_PAUSE_S)

    def _request(self, name: str) -> Any:
        if name != "pause":
            return ListModels.Request()
        self._enabled = not self._enabled
        return SetTaskEnabled.Request(name=self._task, enabled=self._enabled)


def _answered(client: Client, request: Any) -> float | None:
    """Return the seconds until a request is answered; ``None`` where it is not."""
    came = threading.Event()
    began = time.monotonic()
    ended = [began]

    def note(_: Any) -> None:
        ended[0] = time.monotonic()
        came.set()

    client.call_async(request).add_done_callback(note)
    return ended[0] - began if came.wait(_PATIENCE_S) else None
