"""Brings an answer from the robot's threads to the one request that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from aegis_ros.chat.robot import Answered, Question, Robot

__all__ = ["Hearing"]


class Hearing:
    """An answer as it comes. Only the latest of it is kept, however slow the client reads.

    Used as a context, it ends an answer that is left before its end.

    Args:
        robot: who answers.
        question: what is asked.
        receive: of the request, which is read to its end; its client may leave.
    """

    def __init__(self, robot: Robot, question: Question, receive: Receive) -> None:
        """Begin to ask."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._latest = Answered()
        self._cancel = robot.ask(question, self._hear)
        self._gone = self._loop.create_task(_gone(receive))  # nobody ends it where asking fails

    def __enter__(self) -> Hearing:
        """Hear."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End an answer that goes on."""
        self._gone.cancel()
        if not self._latest.ended:
            self._cancel()

    async def next(self) -> Answered:
        """Return what there is of the answer once there is news of it.

        Raises:
            ClientDisconnect: nobody waits for it any more.
        """
        waiting = self._loop.create_task(self._news.wait())
        try:
            await asyncio.wait((waiting, self._gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._gone.done():
            raise ClientDisconnect
        self._news.clear()
        return self._latest

    def _hear(self, answered: Answered) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended, and nobody waits
            self._loop.call_soon_threadsafe(self._take, answered)

    def _take(self, answered: Answered) -> None:
        if not self._latest.ended:
            self._latest = answered
            self._news.set()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
