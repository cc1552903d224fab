"""`aegis export`: a trace in the formats of other viewers."""

from __future__ import annotations

import json
from pathlib import Path

from aegis_ros.cli.traces import open_trace, written
from aegis_ros.errors import ConfigError
from aegis_ros.trace.chrome import chrome_events
from aegis_ros.views.terminal import say, terminal

__all__ = ["run"]


def run(path: Path, *, perfetto: Path | None, chrome: Path | None) -> int:
    """Write what was asked for; return 0.

    Both are Chrome's trace events: Perfetto reads them as they are.

    Args:
        path: of the trace.
        perfetto: file to write for ui.perfetto.dev.
        chrome: file to write for chrome://tracing.

    Raises:
        ConfigError: nothing was asked for, or a file cannot be read or written.
    """
    targets = [target for target in (perfetto, chrome) if target is not None]
    if not targets:
        raise ConfigError(
            "nothing is to be written",
            where="aegis export",
            expected="--perfetto FILE or --chrome FILE",
        )
    trace = open_trace(path)
    events = list(chrome_events(trace))
    text = json.dumps({"displayTimeUnit": "ms", "traceEvents": events}, separators=(",", ":"))
    console = terminal()
    for target in targets:
        written(target, text)
        viewer = "https://ui.perfetto.dev" if target == perfetto else "chrome://tracing"
        say(console, f"{len(events):,} events are in {target}; open it in {viewer}")
    return 0
