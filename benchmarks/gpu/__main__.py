"""Runs five networks on one GPU in eight ways and counts who is late; needs no ROS.

Ways: a stream a network, a process a network, one queue, and the orchestrator with one lane, two,
three, two that divide the GPU, and, where asked for, those that it chooses. All run the same
compiled networks through this package's engine, so that only who runs when differs. The load is a
share of what was measured first: the rate at which a stream a network begins to miss deadlines.
Everything runs on the whole GPU, and once more inside 16 of its multiprocessors, which are full
where the whole GPU has room.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from aegis_ros.backends import create_backend
from aegis_ros.errors import AegisError
from benchmarks.gpu.card import circumstances
from benchmarks.gpu.drawing import draw_file
from benchmarks.gpu.options import options as asked_for
from benchmarks.gpu.partitions import offer
from benchmarks.gpu.place import places
from benchmarks.gpu.report import Report
from benchmarks.gpu.running import run_at
from benchmarks.gpu.showing import show
from benchmarks.progress import progress


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    options = asked_for(__doc__)
    if options.draw is not None:
        for path in draw_file(options.draw, options.plot or options.draw.with_suffix(".png")):
            print(path)
        return
    with tempfile.TemporaryDirectory() as temporary, progress() as shown:
        state = options.state or Path(temporary) / "state"
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        offer(state / "plugins", options.inside)
        try:
            named = create_backend(options.backend).device_name()
        except AegisError as error:
            raise SystemExit(str(error)) from error
        facts = {"device": named, "runs": options.runs, **circumstances(options.commit)}
        report = Report(facts, options.json, options.minutes * 60.0)
        for place in places(
            options.backend,
            options.places,
            inside=options.inside,
            share=options.share,
            scale=options.scale,
            copies=options.copies,
        ):
            with report.part(place.title), contextlib.suppress(KeyboardInterrupt):
                run_at(place, options, report, state=state, folder=folder, shown=shown)
    show(report)
    if options.plot is not None and options.json is not None:
        draw_file(options.json, options.plot)


if __name__ == "__main__":
    main()
