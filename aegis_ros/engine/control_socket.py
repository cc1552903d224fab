"""Sends and receives control messages, with the descriptors of memory that goes with them."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from aegis_ros.engine.messages import MAX_MESSAGE_BYTES, Answer, Request, encode

__all__ = ["receive", "send"]

_MAX_FDS = 4


def send(connection: socket.socket, message: Request | Answer, fds: Sequence[int] = ()) -> None:
    """Send one message over a SOCK_SEQPACKET socket.

    Raises:
        OSError: the peer is gone, or does not read in time.
        ValueError: the message is too long.
    """
    socket.send_fds(connection, [encode(message)], list(fds))


def receive(connection: socket.socket) -> tuple[bytes, list[int]] | None:
    """Return the next message, not decoded yet, and its descriptors; ``None``: the peer is gone.

    The caller owns the descriptors.

    Raises:
        OSError: the socket is closed, or nothing came in time.
        ValueError: the message is too long, or more descriptors came than any message has.
    """
    data, fds, flags, _ = socket.recv_fds(connection, MAX_MESSAGE_BYTES, _MAX_FDS)
    if not data:
        return None
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise ValueError(
            f"a control message is longer than {MAX_MESSAGE_BYTES} bytes or brings more than "
            f"{_MAX_FDS} descriptors"
        )
    return data, fds
