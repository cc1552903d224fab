"""Bounds what a client can hold: how many connections, and for how long without a whole request."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from aegis_ros.serving.listening import Listening

__all__ = ["bounded"]

_WHOLE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)  # what a client's side is after its request


def bounded(listening: Listening) -> type[asyncio.Protocol]:
    """Return the protocol of a server with these limits."""

    class Bounded(H11Protocol):
        """Closes connections beyond the limit at once, and those that are slow after a while."""

        _refused = False
        _slow: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin to wait for a request."""
            assert isinstance(transport, asyncio.Transport)
            if len(self.connections) >= listening.connections:
                self._refused = True
                transport.abort()
                return
            super().connection_made(transport)
            self._wait(listening.request_s)

        def connection_lost(self, exc: Exception | None) -> None:
            """Give everything back."""
            self._wait(0.0)
            if not self._refused:
                super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Take a part of a request; the time runs from its first byte to its last."""
            super().data_received(data)
            if self.conn.their_state in _WHOLE:
                self._wait(0.0)
            elif self._slow is None:
                self._wait(listening.request_s)

        def pause_writing(self) -> None:
            """Wait for a client that does not read its answer."""
            super().pause_writing()
            self._wait(listening.request_s)

        def resume_writing(self) -> None:
            """Go on."""
            super().resume_writing()
            self._wait(0.0)

        def _wait(self, seconds: float) -> None:
            if self._slow is not None:
                self._slow.cancel()
                self._slow = None
            if seconds:
                self._slow = self.loop.call_later(seconds, self.transport.abort)

    return Bounded
