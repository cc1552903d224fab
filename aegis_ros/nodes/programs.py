"""The programs that `ros2 run` knows: each can be ended from its first moment on.

``python -m aegis_ros.nodes.programs NAME`` runs one of them without the ROS command line.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

__all__ = ["dashboard", "demo", "monitor", "replay"]


def dashboard(args: list[str] | None = None) -> int:
    """Serve the live page; return the exit code."""
    return _run("dashboard", args)


def demo(args: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    return _run("demo", args)


def monitor(args: list[str] | None = None) -> int:
    """Show an orchestrator in the terminal; return the exit code."""
    return _run("monitor", args)


def replay(args: list[str] | None = None) -> int:
    """Play recordings; return the exit code."""
    return _run("replay", args)


def _run(module: str, args: list[str] | None) -> int:
    # Until there is something to give back, Ctrl+C ends the process at once: Python would answer
    # with a traceback of the imports, which take most of the start.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return int(import_module(f"aegis_ros.nodes.{module}").main(args))


if __name__ == "__main__":
    _PROGRAMS = {each.__name__: each for each in (dashboard, demo, monitor, replay)}
    if len(sys.argv) < 2 or sys.argv[1] not in _PROGRAMS:
        sys.exit(f"which program? One of {', '.join(_PROGRAMS)}")
    sys.exit(_PROGRAMS[sys.argv.pop(1)]())
