"""Runs five networks on one GPU in up to nine ways and counts who is late; needs no ROS.

Ways: each network alone, a stream a network, a process a network, one queue, and the orchestrator
with one lane, two, three, two that divide the GPU, and those that it chooses. All run the same
compiled networks through this package's engine, so that only who runs when differs. The load is a
share of what was measured first: the rate at which a stream a network begins to miss deadlines.
Everything runs on the whole GPU with larger frames, and inside 16 of its multiprocessors, which
are full where the whole GPU has room. Without a GPU the same runs on processor cores, one a lane.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gpu.card import circumstances
from benchmarks.gpu.drawing import draw_file
from benchmarks.gpu.options import device_of
from benchmarks.gpu.options import options as asked_for
from benchmarks.gpu.order import steps, ways_at
from benchmarks.gpu.partitions import offer
from benchmarks.gpu.place import controlled, places
from benchmarks.gpu.report import Report
from benchmarks.gpu.running import Run
from benchmarks.gpu.showing import show
from benchmarks.progress import progress

_GRACE_S = 15.0  # by which the last part may take longer than expected


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    options = asked_for(__doc__)
    if options.draw is not None:
        for path in draw_file(options.draw, options.plot or options.draw.with_suffix(".png")):
            print(path)
        return
    backend, device = device_of(options.backend)
    facts = {"device": device, "backend": backend, "runs": options.runs}
    report = Report(facts | circumstances(options.commit), options.json, options.minutes * 60.0)
    with tempfile.TemporaryDirectory() as temporary, progress() as shown:
        state = options.state or Path(temporary) / "state"
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        offer(state / "plugins", options.inside)
        shown.console.print(f"{backend}: {device}")
        found = {
            place.name: place
            for place in places(
                backend,
                options.places,
                inside=options.inside,
                share=options.share,
                scale=options.scale,
                copies=options.copies,
            )
        }
        on_cores = any(place.on_cores for place in found.values())
        cores = len(os.sched_getaffinity(0))
        ways = {name: ways_at(place, options.ways, cores) for name, place in found.items()}
        todo = steps(
            ways,
            loads=options.loads,
            parts=options.parts,
            seconds=options.seconds,
            choose_s=options.choose_seconds,
            on_cores=on_cores,
            controlled=controlled(backend),
        )
        run = Run(
            found, ways, options=options, report=report, state=state, folder=folder, shown=shown
        )
        with ended_after(options.minutes * 60.0 + _GRACE_S):
            run.all(todo)
    show(report)
    if options.plot is not None and options.json is not None:
        draw_file(options.json, options.plot)


@contextmanager
def ended_after(limit_s: float) -> Iterator[None]:
    """Interrupt what runs after some time, as Ctrl+C does."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
