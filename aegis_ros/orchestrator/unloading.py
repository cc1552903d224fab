"""Takes the networks of removed tasks out of the engine, beside whoever removed them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from aegis_ros.orchestrator.admitted import Entry

__all__ = ["Unloader"]

_log = logging.getLogger(__name__)


class Unloader:
    """Unloads on threads of its own, in the order of removal; the engine may take its time.

    Args:
        unload: takes a former entry out of the engine; called under ``loading``.
        unloaded: called afterwards, without a lock.

    Attributes:
        loading: held while something is loaded or unloaded, and until what was loaded is admitted.
    """

    def __init__(self, unload: Callable[[Entry], None], unloaded: Callable[[], None]) -> None:
        """Unload nothing yet."""
        self._unload = unload
        self._unloaded = unloaded
        self._waiting: deque[Entry] = deque()
        self._idle = threading.Condition()
        self._busy = 0
        self.loading = threading.RLock()

    def put(self, entry: Entry) -> None:
        """Have a former entry unloaded; returns at once."""
        self._waiting.append(entry)
        with self._idle:
            self._busy += 1
        threading.Thread(target=self._run, name="unload", daemon=True).start()

    def unload_now(self) -> None:
        """Unload what waits; what is unloaded already is waited for. Called under ``loading``."""
        while self._waiting:
            self._unload(self._waiting.popleft())

    def wait(self) -> None:
        """Wait until nothing is left to unload."""
        with self._idle:
            self._idle.wait_for(lambda: not self._busy)

    def _run(self) -> None:
        try:
            with self.loading:
                self.unload_now()
            self._unloaded()
        except Exception:  # the others must be unloaded, and waited for in vain by nobody
            _log.exception("a removed task was not unloaded")
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()
