"""The program `aegis`, which can be ended from its first moment on."""

from __future__ import annotations

from aegis_ros.sandbox.ctrl_c import INTERRUPTED, end_at_once

__all__ = ["aegis"]


def aegis() -> int:
    """Run the command; return the exit code."""
    end_at_once(INTERRUPTED)
    from aegis_ros.cli.main import main

    return main()
