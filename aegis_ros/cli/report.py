"""`aegis report`: one page of a trace, to look at or to attach."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.cli.traces import open_trace, written
from aegis_ros.trace.page import report_page
from aegis_ros.views.terminal import say, terminal

__all__ = ["run"]


def run(path: Path, output: Path) -> int:
    """Write the page; return 0.

    Raises:
        ConfigError: the trace cannot be read, or the page cannot be written.
    """
    page = report_page(open_trace(path), path.name)
    written(output, page)
    say(terminal(), f"The page is {output} ({len(page) / 1e6:.1f} MB); open it in any browser")
    return 0
