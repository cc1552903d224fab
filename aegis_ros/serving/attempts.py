"""Limits how often a client may give a wrong token."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["Attempts"]


class Attempts:
    """Wrong tokens of the last minute, by client address; in bounded memory.

    Args:
        most: how many are answered in a window; after that, none is looked at.
        window_s: length of the window in seconds.
        clients: how many addresses are remembered; the one seen longest ago is forgotten.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        most: int = 10,
        window_s: float = 60.0,
        clients: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know no client."""
        self._most = most
        self._window_s = window_s
        self._clients = clients
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Return for how many seconds no token of a client is looked at; 0 for not at all."""
        times = self._wrong.get(client)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + self._window_s - self._clock())

    def wrong(self, client: str) -> None:
        """Note a wrong token."""
        times = self._wrong.setdefault(client, deque(maxlen=self._most))
        times.append(self._clock())
        self._wrong.move_to_end(client)
        if len(self._wrong) > self._clients:
            self._wrong.popitem(last=False)
