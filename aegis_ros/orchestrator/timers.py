"""Releases jobs at regular times, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from aegis_ros.orchestrator.intake import Joint

__all__ = ["Timers"]


class Timers:
    """Calls back for each task with a timer, a period after the time before, whatever came between.

    Ticks that were missed as a whole, because the thread got no processor, are left out.

    Args:
        tick: called with the task and when its timer was due (monotonic nanoseconds).
    """

    def __init__(self, tick: Callable[[Joint, int], None]) -> None:
        """Have no timer and no thread yet."""
        self._tick = tick
        self._due_ns: dict[Joint, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def replace(self, joints: Sequence[Joint]) -> None:
        """Have timers for exactly these tasks; those that are known keep their phase."""
        now = time.monotonic_ns()
        with self._changed:
            self._due_ns = {
                joint: self._due_ns.get(joint, now + joint.task.spec.period_ns) for joint in joints
            }
            self._changed.notify_all()
            if self._due_ns and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread; not to be called from it."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._due_ns = {}
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout=5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return
                if not self._due_ns:
                    self._changed.wait()
                    continue
                joint, due_ns = min(self._due_ns.items(), key=lambda item: item[1])
                now = time.monotonic_ns()
                if now < due_ns:
                    self._changed.wait((due_ns - now) / 1e9)
                    continue
                period_ns = joint.task.spec.period_ns
                self._due_ns[joint] = due_ns + (now - due_ns) // period_ns * period_ns + period_ns
            self._tick(joint, due_ns)
