"""The programs that `ros2 run` knows: each can be ended from its first moment on.

``python -m aegis_ros.nodes.programs NAME`` runs one of them without the ROS command line.
"""

from __future__ import annotations

import sys
from importlib import import_module

from aegis_ros.nodes.ending import ENDING
from aegis_ros.sandbox.ctrl_c import INTERRUPTED, end_at_once

__all__ = ["chat", "dashboard", "demo", "monitor", "replay"]


def chat(args: list[str] | None = None) -> int:
    """Serve the chat API; return the exit code."""
    return _run("chat", args)


def dashboard(args: list[str] | None = None) -> int:
    """Serve the live page; return the exit code."""
    return _run("dashboard", args)


def demo(args: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    return _run("demo", args, INTERRUPTED)


def monitor(args: list[str] | None = None) -> int:
    """Show an orchestrator in the terminal; return the exit code."""
    return _run("monitor", args)


def replay(args: list[str] | None = None) -> int:
    """Play recordings; return the exit code."""
    return _run("replay", args)


def _run(module: str, args: list[str] | None, interrupted: int = 0) -> int:
    end_at_once(interrupted, ENDING)
    return int(import_module(f"aegis_ros.nodes.{module}").main(args))


if __name__ == "__main__":
    _PROGRAMS = {each.__name__: each for each in (chat, dashboard, demo, monitor, replay)}
    if len(sys.argv) < 2 or sys.argv[1] not in _PROGRAMS:
        sys.exit(f"which program? One of {', '.join(_PROGRAMS)}")
    sys.exit(_PROGRAMS[sys.argv.pop(1)]())
