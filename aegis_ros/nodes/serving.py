"""What the nodes share that serve HTTP beside an orchestrator: parameters, token, start and end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.nodes.ending import end_on_signals, wait_for
from aegis_ros.nodes.parameters import Declaration, Parameters
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.nodes.starting import starting
from aegis_ros.serving import Listening, read_token

__all__ = ["FIXED", "TARGET", "serve", "served_at", "target_of", "token_of"]

FIXED = "read at start only: start the node again"
TARGET = Declaration(
    "target",
    "orchestrator",
    "Name of the orchestrator node; relative: in this one's.",
    fixed=FIXED,
)


class _Serving(Protocol):
    url: str

    def close(self) -> None: ...


def served_at(port: int, token_file: str) -> tuple[Declaration, ...]:
    """Return the parameters that say where a node serves, and to whom.

    Args:
        port: that it listens on unless told otherwise.
        token_file: what the token is for.
    """
    return (
        Declaration(
            "host", "127.0.0.1", "Address to listen on. 127.0.0.1: this machine only.", fixed=FIXED
        ),
        Declaration(
            "port",
            port,
            "Port to listen on. 0: any free one; the log says which.",
            low=0,
            high=65535,
            fixed=FIXED,
        ),
        Declaration("token_file", "", token_file, fixed=FIXED),
        Declaration(
            "token",
            "",
            "Refused: every node of the domain could read it. Use token_file.",
            fixed="every node of the domain could read it: use token_file",
        ),
    )


def target_of(node: Node, given: Parameters) -> str:
    """Return the full name of the orchestrator.

    It is as the graph resolves it: remapped, and in the node's namespace where it is relative.
    """
    status: str = node.resolve_topic_name(f"{given['target']}/status")
    return status.removesuffix("/status")


def token_of(given: Parameters, variable: str) -> str:
    """Return the token, from a file or the environment.

    Raises:
        ConfigError: it stands where others can read it, or cannot be read.
    """
    if given["token"]:
        raise ConfigError(
            "every node of the ROS domain can read a parameter",
            where="token",
            hint="Put the token into a file (chmod 600) and name it with token_file, or into "
            f"the environment as {variable}",
        )
    return read_token(given["token_file"], variable, os.environ)


def serve(
    make: Callable[[], Any],
    open_server: Callable[[Any], _Serving],
    args: list[str] | None,
    *,
    what: Callable[[Any], str],
    seen: str,
) -> int:
    """Serve until asked to end; return the exit code (1: it could not be served).

    Args:
        make: makes the node, which has ``settings`` that say where it serves.
        open_server: opens its server.
        args: command line of the program; ``None`` for that of the process.
        what: returns what is served, for the log.
        seen: what anyone can do who reaches it, where it is served to other machines.
    """
    end = threading.Event()
    end_on_signals(end)
    with ExitStack() as opened:
        opened.callback(rclpy.try_shutdown)
        try:
            with starting():
                rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
                node = make()
            opened.callback(spin_beside(node).leave)
            server = open_server(node)
        except AegisError as error:
            print(str(error), file=sys.stderr)
            return 1
        opened.callback(server.close)
        listening: Listening = node.settings
        node.get_logger().info(f"{what(node)} at {server.url}")
        if not listening.loopback:
            node.get_logger().warning(
                f"anyone who can reach {listening.host} can {seen}, unencrypted; "
                "a tunnel (ssh -L) to 127.0.0.1 is safer"
            )
        wait_for(end)
    return 0
