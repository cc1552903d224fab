"""A lane on the CPU: one pinned thread that runs one segment at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from aegis_ros.backends.base import Completion

__all__ = ["CpuLane"]


class CpuLane:
    """Runs what it is handed, and says so through an eventfd.

    Args:
        name: name of the thread.
        cpu: core to pin the thread to, ``None`` for none.
        event_fd: non-blocking eventfd that completions are added to.
        priority: SCHED_FIFO priority, 0 for none.
    """

    def __init__(self, name: str, cpu: int | None, event_fd: int, priority: int) -> None:
        """Start the thread and wait until its affinity and priority are set."""
        self.completion = Completion()
        self.permitted: list[str] = []
        self.refused: list[str] = []
        self._event_fd = event_fd
        self._work: Callable[[], None] | None = None
        self._go = threading.Semaphore(0)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(cpu, priority, ready), name=f"lane-{name}", daemon=True
        )
        self._thread.start()
        ready.wait()

    def start(self, work: Callable[[], None]) -> None:
        """Hand over one piece of work; the lane must be idle."""
        self._work = work
        self._go.release()

    def stop(self) -> None:
        """End the thread after its present work; a thread that hangs is left behind."""
        self._work = None
        self._go.release()
        self._thread.join(timeout=1.0)

    def _run(self, cpu: int | None, priority: int, ready: threading.Event) -> None:
        self._claim(cpu, priority)
        ready.set()
        completion = self.completion
        clock = time.monotonic_ns
        while True:
            self._go.acquire()
            work = self._work
            if work is None:
                return
            error = ""
            completion.started_ns = clock()
            try:
                work()
            except Exception as caught:  # a network may fail in any way; its job is told
                error = f"{type(caught).__name__}: {caught}"[:300]
            completion.finished_ns = clock()
            completion.error = error
            completion.done = True
            os.eventfd_write(self._event_fd, 1)

    def _claim(self, cpu: int | None, priority: int) -> None:
        thread = threading.get_native_id()
        if cpu is not None:
            try:
                os.sched_setaffinity(thread, {cpu})
                self.permitted.append(f"core {cpu}")
            except (OSError, ValueError) as error:
                self.refused.append(f"core {cpu} ({error})")
        if priority:
            try:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
                self.permitted.append(f"SCHED_FIFO {priority}")
            except (OSError, ValueError) as error:
                self.refused.append(f"SCHED_FIFO ({error})")
