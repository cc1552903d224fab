"""The programs that `ros2 run` knows: each can be ended from its first moment on.

``python -m aegis_ros.nodes.programs NAME`` runs one of them without the ROS command line.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from aegis_ros.nodes.ending import ENDING, run_and_leave
from aegis_ros.sandbox.ctrl_c import INTERRUPTED, end_at_once

__all__ = ["chat", "dashboard", "demo", "monitor", "replay"]


def chat(args: list[str] | None = None) -> NoReturn:
    """Serve the chat API; end the process with its exit code."""
    _run("chat", args)


def dashboard(args: list[str] | None = None) -> NoReturn:
    """Serve the live page; end the process with its exit code."""
    _run("dashboard", args)


def demo(args: list[str] | None = None) -> NoReturn:
    """Run the demo; end the process with its exit code."""
    _run("demo", args, INTERRUPTED)


def monitor(args: list[str] | None = None) -> NoReturn:
    """Show an orchestrator in the terminal; end the process with its exit code."""
    _run("monitor", args)


def replay(args: list[str] | None = None) -> NoReturn:
    """Play recordings; end the process with its exit code."""
    _run("replay", args)


def _run(module: str, args: list[str] | None, interrupted: int = 0) -> NoReturn:
    end_at_once(interrupted, ENDING)
    run_and_leave(lambda: import_module(f"aegis_ros.nodes.{module}").main(args))


if __name__ == "__main__":
    _PROGRAMS = {each.__name__: each for each in (chat, dashboard, demo, monitor, replay)}
    if len(sys.argv) < 2 or sys.argv[1] not in _PROGRAMS:
        sys.exit(f"which program? One of {', '.join(_PROGRAMS)}")
    _PROGRAMS[sys.argv.pop(1)]()
