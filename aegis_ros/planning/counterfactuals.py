"""Which changes would admit a task that is rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from aegis_ros.analysis import AnalysisTask, counterfactuals
from aegis_ros.analysis.lanes import admits
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.cutting import advise_cuts
from aegis_ros.planning.streaming import more_resident
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.changes import DeadlineLonger
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.spec import TaskSpec

__all__ = ["changes_that_admit"]


def changes_that_admit(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    first: str,
    *,
    switch_ns: int,
    fits: Callable[[Candidate], bool],
) -> tuple[Counterfactual, ...]:
    """Return changes that would admit a task, those on the lanes it comes closest to first.

    Args:
        options: the task.
        admitted: for each running task, how the tests see it and its lane.
        first: the lane it comes closest to.
        switch_ns: charged to every segment.
        fits: whether the arena has room for the task as another candidate has it.
    """
    found: dict[tuple[str, str], Counterfactual] = {}
    for candidate in sorted(options.candidates, key=lambda each: first not in each.lanes):
        for change in _changes_on(candidate, admitted, switch_ns=switch_ns, fits=fits):
            # Advice about the task itself is given once: for the class it is closest to.
            about = change.task if change.change in ("drop", "segments") else ""
            found.setdefault((change.change, about), change)
    return tuple(found.values())


def _changes_on(
    candidate: Candidate,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    *,
    switch_ns: int,
    fits: Callable[[Candidate], bool],
) -> tuple[Counterfactual, ...]:
    task, lanes = candidate.analysis_task(), candidate.lanes
    there = {name: item for name, (item, lane) in admitted.items() if lane in lanes}
    fixed = {name: admitted[name][1] for name in there}
    more = (
        counterfactual(change)
        for other, seen, change in more_resident(candidate)
        if fits(other) and admits([*there.values(), seen], lanes, switch_ns=switch_ns, fixed=fixed)
    )
    return (
        *islice(more, 1),
        *advise_cuts(
            task,
            # One that is leaving has a name no task can have.
            {name: item for name, item in there.items() if " " not in name},
            lambda kept: admits(
                [*kept, *(item for item in there.values() if " " in item.name), task],
                lanes,
                switch_ns=switch_ns,
                fixed=fixed,
            ),
        ),
        *(
            _as_declared(change, candidate.spec)
            for change in counterfactuals(
                [*there.values(), task],
                task.name,
                lanes,
                switch_ns=switch_ns,
                fixed=fixed,
                reserve_ns=candidate.spec.output.publish_ns,
            )
            # Where the number is not declared, all have been tried on the network itself.
            if change.change != "segments" or candidate.spec.segments
        ),
    )


def _as_declared(change: Counterfactual, spec: TaskSpec) -> Counterfactual:
    """Return a change of the tests' deadline as one of the declared deadline."""
    if change.change != "deadline_ms":
        return change
    deadline_ns = round(change.value * 1e6) + spec.output.publish_ns
    return counterfactual(DeadlineLonger(spec.name, deadline_ns))
