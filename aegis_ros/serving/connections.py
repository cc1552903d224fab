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
        _asking: asyncio.TimerHandle | None = None  # ends who does not send a whole request
        _hearing: asyncio.TimerHandle | None = None  # ends who does not read the answer

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin to wait for a request."""
            assert isinstance(transport, asyncio.Transport)
            if len(self.connections) >= listening.connections:
                self._refused = True
                transport.abort()
                return
            super().connection_made(transport)
            self._asking = self._end_later()

        def connection_lost(self, exc: Exception | None) -> None:
            """Give everything back."""
            self._asking = _stopped(self._asking)
            self._hearing = _stopped(self._hearing)
            if not self._refused:
                super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Take a part of a request; the time runs from its first byte to its last."""
            super().data_received(data)
            if self.conn.their_state in _WHOLE:
                self._asking = _stopped(self._asking)
            elif self._asking is None:
                self._asking = self._end_later()

        def pause_writing(self) -> None:
            """Wait for a client that does not read its answer."""
            super().pause_writing()
            _stopped(self._hearing)
            self._hearing = self._end_later()

        def resume_writing(self) -> None:
            """Go on."""
            super().resume_writing()
            self._hearing = _stopped(self._hearing)

        def _end_later(self) -> asyncio.TimerHandle:
            return self.loop.call_later(listening.request_s, self.transport.abort)

    return Bounded


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer, if there is one; return what then stands in its place."""
    if timer is not None:
        timer.cancel()
    return None
