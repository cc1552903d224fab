"""Draws the picture of a run from its file of figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.results import QUANTILES

__all__ = ["draw_file", "picture_of"]

_POINTS = 2000


def draw_file(source: Path, target: Path) -> list[Path]:
    """Draw a picture for each place of a file of figures; return their paths.

    Args:
        source: what ``--json`` wrote.
        target: of the first picture; others have the name of their place behind.

    Raises:
        SystemExit: the file has no responses to draw.
    """
    written = json.loads(source.read_text(encoding="utf-8"))
    drawn: list[Path] = []
    for name, place in written.get("places", {}).items():
        path = target.with_stem(f"{target.stem}-{name}") if drawn else target
        if picture_of(place, path, f"{written.get('device', '')}, {place['title']}"):
            drawn.append(path)
    if not drawn:
        raise SystemExit(f"{source} has no responses to draw; it was written by another version")
    return drawn


def picture_of(place: Mapping[str, Any], path: Path, title: str) -> bool:
    """Draw one place; return whether there was anything to draw."""
    from benchmarks.compare.picture import draw  # whose package may be missing

    quantiles = place.get("response_over_deadline_quantiles", {})
    if not quantiles:
        return False
    at, steps = np.linspace(0.0, 1.0, _POINTS), np.linspace(0.0, 1.0, QUANTILES)
    samples = {
        (float(load), arm, task): np.interp(at, steps, values)
        for load, arms in quantiles.items()
        for arm, tasks in arms.items()
        for task, values in tasks.items()
    }
    loads = dict(sorted((float(load), one) for load, one in place["loads"].items()))
    run = {arm for one in loads.values() for arm in one["rows"]}
    ways = {arm: label for arm, label in place["ways"].items() if arm in run}
    shares = ", ".join(f"{load:.0%}" for load in loads)
    draw(
        path,
        loads,
        samples=samples,
        ways=ways,
        title=f"{title}: {shares} of the rate at which a stream a network begins to miss",
    )
    return True
