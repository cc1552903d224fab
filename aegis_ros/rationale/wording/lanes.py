"""The English of :mod:`aegis_ros.rationale.lanes`."""

from __future__ import annotations

from aegis_ros.rationale import lanes
from aegis_ros.rationale.wording.units import ms, names, plural
from aegis_ros.rationale.wording.words import words_of

__all__ = ["falls_short"]


def falls_short(item: lanes.LaneAlternative) -> str:
    """Return why one way to divide a device does not hold all tasks; empty where it does."""
    if item.problem:
        return f"such lanes were not measured: {item.problem.rstrip('.')}"
    if item.unmeasured:
        was = "was" if len(item.unmeasured) == 1 else "were"
        return f"{names(item.unmeasured)} {was} never measured on such lanes"
    if item.memory:
        return "the networks do not fit into the arena"
    if item.utilization:
        return f"the tasks of a lane need {item.utilization:.0%} of it"
    if item.late_ns:
        return f"{item.task} would be late by up to {ms(item.late_ns)}"
    return "" if item.slack >= 0.0 else "not every deadline can be proven"


@words_of(lanes.LaneAlternative)
def _alternative(item: lanes.LaneAlternative) -> str:
    short = falls_short(item)
    if short:
        return f"{item.label}: {short}"
    whose = f" ({item.task})" if item.task else ""
    text = f"{item.label}: least slack {item.slack:.1%}{whose}"
    if item.gap:
        text += f", at most {item.gap:.1%} more with another placement"
    if item.assumed:
        text += f", with {plural(item.assumed, 'slowdown')} assumed"
    return text


@words_of(lanes.LanePlace)
def _place(item: lanes.LanePlace) -> str:
    return f"{item.lane}: {names(item.tasks) if item.tasks else 'nothing'}"


@words_of(lanes.LanesChosen)
def _chosen(reason: lanes.LanesChosen) -> str:
    head = "lanes were chosen by the largest least slack"
    if falls_short(reason.chosen):
        head = "no choice of lanes holds all tasks, and the one that comes closest is taken"
    text = f"{head}: {_alternative(reason.chosen)}"
    text += "".join(f"; lane {_place(each)}" for each in reason.places)
    if reason.others:
        text += ". Others: " + "; ".join(map(_alternative, reason.others))
    return text
