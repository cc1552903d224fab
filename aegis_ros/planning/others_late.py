"""Whether the tasks of other lanes stay in time beside a new one; else whom it makes late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.analysis.search import smallest
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.contention import Placed
from aegis_ros.planning.cutting import advise_cuts
from aegis_ros.planning.lane_choice import place, used_before
from aegis_ros.planning.late_task import late_task
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.admission import SlowedTask
from aegis_ros.rationale.changes import DropTask, OtherDeadlineLonger
from aegis_ros.rationale.rejection import OthersLate
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.spec import DeviceSpec

__all__ = ["require_others_in_time"]

_GRAIN_NS = 100_000  # answers are given in tenths of a millisecond
_MOST_LONGER = 16  # times the deadline

Running = Mapping[str, tuple[AnalysisTask, str]]


def require_others_in_time(
    options: Options,
    lane: str,
    running: Running,
    *,
    placed: Mapping[str, Placed],
    grown: Mapping[str, Candidate],
    device: DeviceSpec,
) -> None:
    """Pass if every other lane holds with the budgets that its tasks have beside the new one.

    Args:
        options: the new task, on one lane.
        lane: that lane.
        running: how the tests see each running task beside the new one, and its lane.
        placed: the same tasks as they are admitted.
        grown: those of them that take longer beside it.
        device: its lanes.

    Raises:
        Refusal: one of them could be late; says who, by how much, and what would help.
    """
    for other_lane in dict.fromkeys(placed[name].lane for name in grown):
        tasks = [item for item, where in running.values() if where == other_lane]
        verdict = check_lane(tasks, lane=other_lane, switch_ns=device.switch_ns)
        if verdict.schedulable:
            continue
        slowed = tuple(
            SlowedTask(name, other_lane, placed[name].candidate.work_ns, each.work_ns)
            for name, each in grown.items()
            if placed[name].lane == other_lane
        )
        before = {
            name: (each.candidate.analysis_task(), each.lane) for name, each in placed.items()
        }
        victim = late_task(tasks, verdict, slowed)
        late_ms = verdict.left - verdict.right if verdict.unit == "ms" else 0.0
        raise Refusal(
            OthersLate(
                task=options.spec.name,
                rule=verdict.rule,
                lane=lane,
                other=victim,
                other_lane=other_lane,
                late_ns=round(late_ms * 1e6),
                slowed=slowed,
                test=verdict.test,
                finding=verdict.finding,
                utilization_before=used_before(before, other_lane, device),
                utilization_after=verdict.utilization,
                witness=verdict.witness,
                counterfactuals=_changes(options, running, placed.get(victim), device),
            )
        )


def _changes(
    options: Options, running: Running, victim: Placed | None, device: DeviceSpec
) -> tuple[Counterfactual, ...]:
    """Return changes that admit the new task for the one that would be late, each verified."""
    if victim is None:
        return ()
    spec, name = victim.candidate.spec, options.spec.name
    task, lane = running[spec.name]

    def passes(changed: AnalysisTask | None) -> bool:
        others = {key: each for key, each in running.items() if key != spec.name}
        if changed is not None:
            others[spec.name] = (changed, lane)
        return place(options, others, {}, device=device, at_rest=False) is not None

    found = []
    low = task.deadline_ns // _GRAIN_NS
    grains = smallest(
        low,
        low * _MOST_LONGER + _MOST_LONGER,
        lambda value: passes(replace(task, deadline_ns=value * _GRAIN_NS)),
    )
    if grains is not None:
        declared_ns = grains * _GRAIN_NS + spec.output.publish_ns
        found.append(counterfactual(OtherDeadlineLonger(name, spec.name, declared_ns)))
    there = {
        key: item
        for key, (item, where) in running.items()
        if where == lane and key != spec.name and " " not in key  # nobody's name: it is leaving
    }
    found += advise_cuts(
        replace(task, name=name),
        there,
        lambda kept: (
            place(
                options,
                {
                    **{key: each for key, each in running.items() if key not in there},
                    **{item.name: (item, lane) for item in kept},
                },
                {},
                device=device,
                at_rest=False,
            )
            is not None
        ),
    )
    if passes(None):
        found.append(counterfactual(DropTask(name, spec.name, str(spec.criticality))))
    return tuple(found)
