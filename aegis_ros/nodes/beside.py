"""Runs what takes long on threads of its own, while the executor goes on serving others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rclpy.executors import Executor
from rclpy.task import Future

__all__ = ["Beside"]

_Answer = TypeVar("_Answer")


class Beside:
    """Threads whose results coroutines of an executor can await.

    A coroutine that awaits keeps its callback group to itself unless that is reentrant.

    Args:
        executor: executor of the coroutines.
        threads: how many there are at most; what comes then waits.
        name: of the threads.
    """

    def __init__(self, executor: Executor, threads: int, name: str) -> None:
        """Start no thread yet."""
        self._executor = executor
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, function: Callable[[], _Answer]) -> _Answer:
        """Run ``function`` on one of the threads; return what it returns, raise what it raises."""
        future: Any = Future(executor=self._executor)
        # Without a callback nothing would wake the executor when the result is there.
        future.add_done_callback(lambda done: None)

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # handed to whoever awaits
                future.set_exception(error)
            except SystemExit as error:  # would end whoever awaits, and say nothing here
                text = f"what it called wanted to end the program (SystemExit: {error})"
                future.set_exception(RuntimeError(text))

        self._threads.submit(run)
        answer: _Answer = await future
        return answer
