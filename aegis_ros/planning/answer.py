"""The answer of the tests to a task set, with what would change it, for every command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from aegis_ros.analysis import (
    AnalysisTask,
    Assignment,
    LaneVerdict,
    assign,
    counterfactuals,
    decimated,
    find_decimation,
)
from aegis_ros.analysis.lanes import admits
from aegis_ros.planning.chains import chains_verdict
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.planning.in_slack import judge_generators
from aegis_ros.planning.modes import Modes, modes_of, with_tight_bounds
from aegis_ros.planning.set_memory import SetMemoryAnswer
from aegis_ros.planning.slowdown import Slowdown, slowdown_of
from aegis_ros.planning.task_set import TaskSet
from aegis_ros.rationale import Counterfactual, ResponseBound
from aegis_ros.rationale.changes import DeadlineLonger, DropForRest
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.scheduling import (
    CwEdf,
    Edf,
    ExecutionPlan,
    Policy,
    Table,
    VirtualDeadlines,
)
from aegis_ros.simulation import plan_of
from aegis_ros.spec import Criticality

__all__ = ["Answer", "blocker_of", "judge"]

_MAX_TASKS_TO_ADVISE = 400  # beyond, the search for what would help takes minutes
_MAX_TASKS_TO_IDLE = 100
_MAX_TASKS_TO_DECIMATE = 256
_MAX_CANDIDATES = 12


@dataclass(frozen=True)
class Answer:
    """What the tests say of a set, and why.

    Attributes:
        asked: the set.
        assignment: lane of each task, and a verdict for each lane.
        changes: verified changes that would turn a rejection around.
        hint: what else may be said of a rejection; empty for nothing.
        decimation: n of each task that takes every n-th frame so that everything fits, by name; the
            periods of ``asked`` are n times those of its frames.
        generators: what each generator may run beside the tasks.
        memory: who holds what of the arena; ``None`` where that is not known.
    """

    asked: TaskSet
    assignment: Assignment
    changes: tuple[Counterfactual, ...]
    hint: str = ""
    decimation: Mapping[str, int] = field(default_factory=dict)
    generators: tuple[GeneratorAnswer, ...] = ()
    memory: SetMemoryAnswer | None = None

    @property
    def admitted(self) -> bool:
        """Whether every deadline holds, every generator may run, and there is memory for all."""
        room = self.memory is None or self.memory.fits
        return self.schedulable and room and all(each.admitted for each in self.generators)

    @property
    def schedulable(self) -> bool:
        """Whether every deadline holds."""
        return self.assignment.schedulable

    @property
    def deciding(self) -> LaneVerdict:
        """The first lane that fails, or else the one with the least slack for its interval."""
        verdicts = list(self.assignment.verdicts.values())
        failed = [verdict for verdict in verdicts if not verdict.schedulable]
        return failed[0] if failed else min(verdicts, key=_spare)

    def on_lane(self, lane: str) -> tuple[AnalysisTask, ...]:
        """Return the tasks of a lane, the shortest deadline first."""
        lane_of = self.assignment.lane_of
        own = [task for task in self.asked.tasks if lane_of[task.name] == lane]
        return tuple(sorted(own, key=lambda task: task.deadline_ns))

    def judged_on(self, lane: str) -> tuple[AnalysisTask, ...]:
        """Return what the verdict of a lane counts: its tasks, and steps of its generators."""
        return (*self.on_lane(lane), *self.steps_on(lane))

    def steps_on(self, lane: str) -> tuple[AnalysisTask, ...]:
        """Return the steps of the generators that are admitted on a lane."""
        return tuple(
            each.step() for each in self.generators if each.admitted and each.generator.lane == lane
        )

    def policy_of(self, lane: str) -> Policy | None:
        """Return what orders the jobs of a lane, whose tasks are numbered as in :meth:`on_lane`.

        ``None`` where the policy is a table and there is none for the lane.
        """
        if self.asked.policy == "table" and lane not in self.assignment.tables:
            return None
        return self.policy_on((lane,))

    def policy_on(self, lanes: Sequence[str]) -> Policy:
        """Return what orders the jobs of several lanes, numbered in this order.

        Their tasks are numbered as in :meth:`on_lane`, those of the first lane first. A lane for
        which there is no table runs in deadline order.
        """
        named = [task.name for lane in lanes for task in self.on_lane(lane)]
        ids = {name: index for index, name in enumerate(named)}
        if self.asked.policy == "table":
            tables = self.assignment.tables
            made = {index: tables[lane] for index, lane in enumerate(lanes) if lane in tables}
            return Table.of(made, ids)
        if self.asked.policy == "cw_edf":
            return CwEdf()
        virtual_ns = {
            ids[name]: own
            for lane in lanes
            if (modes := self.modes_of(lane)) is not None
            for name, own in modes.virtual_ns.items()
        }
        return VirtualDeadlines(virtual_ns) if virtual_ns else Edf()

    def planned_on(self, lane: str) -> tuple[AnalysisTask, ...]:
        """Return the tasks of :meth:`on_lane` with the budgets that the scheduler plans by.

        Those are the high ones under a policy that plans ahead, where nothing is ever dropped.
        """
        tasks = self.on_lane(lane)
        return tasks if self.asked.policy == "edf" else tuple(task.at_high() for task in tasks)

    def modes_of(self, lane: str) -> Modes | None:
        """Return both modes of a lane; ``None`` where no task may exceed its budgets."""
        return self._modes[lane]

    def slowdown_of(self, lane: str) -> Slowdown | None:
        """Return how slow the device may become; ``None`` where that is not known."""
        if not self.assignment.verdicts[lane].schedulable or self.asked.policy != "edf":
            return None
        limits = {
            name: limit // self.decimation.get(name, 1)
            for name, limit in self.asked.decimation_limits.items()
        }
        return slowdown_of(self.judged_on(lane), self.asked.switch_ns, limits)

    def low_plans(self, lane: str) -> dict[int, ExecutionPlan]:
        """Return the budgets that make a lane drop tasks when they are exceeded.

        By number of the task as in :meth:`on_lane`, with switches; empty where nothing is ever
        dropped.
        """
        modes = self.modes_of(lane)
        if modes is None or (modes.high.schedulable and not modes.sheds):
            return {}
        return {
            index: plan_of(task, self.asked.switch_ns)
            for index, task in enumerate(self.on_lane(lane))
            if task.criticality is Criticality.HIGH
        }

    def bound_of(self, name: str) -> ResponseBound | None:
        """Return the response bound of a task; ``None`` where its lane was rejected."""
        return self._bounds.get(name)

    @cached_property
    def _modes(self) -> dict[str, Modes | None]:
        return {
            lane: modes_of(self.assignment, lane, self.judged_on(lane), self.asked.switch_ns)
            for lane in self.assignment.verdicts
        }

    def utilization(self, lane: str) -> float:
        """Return the share of a lane that the budgets take, while none is exceeded."""
        modes = self.modes_of(lane)
        return (
            self.assignment.verdicts[lane].utilization if modes is None else modes.low.utilization
        )

    @cached_property
    def _bounds(self) -> dict[str, ResponseBound]:
        return {
            item.task: item
            for verdict in self.assignment.verdicts.values()
            for item in verdict.responses
        }


def judge(asked: TaskSet, *, advise: bool = True, share: bool = True) -> Answer:
    """Run the tests, and for a rejection, if wanted, the search for what would help.

    Args:
        asked: the set.
        advise: whether to search for changes that would turn a rejection around.
        share: whether tasks of low criticality may take every n-th frame, as an orchestrator has
            them do where not everything fits.

    Raises:
        ConfigError: the policy needs something that is not installed.
    """
    asked = _with_promises(_with_chains(asked))
    answer = _judge_tasks(asked, advise=advise, share=share)
    if asked.memory is not None:
        answer = replace(answer, memory=asked.memory.judged(answer.assignment.lane_of))
    return _with_generators(answer) if asked.generators else answer


def _with_promises(asked: TaskSet) -> TaskSet:
    """Return the set with a task for what each generator promises, never decimated."""
    promises = [task for each in asked.generators if (task := each.promise()) is not None]
    return replace(
        asked,
        tasks=(*asked.tasks, *promises),
        max_decimation={**asked.max_decimation, **{task.name: 1 for task in promises}},
    )


def _with_generators(answer: Answer) -> Answer:
    """Return an answer with its generators, and bounds that count the steps they may take."""
    switch_ns = answer.asked.switch_ns
    lanes = {each.lane for each in answer.asked.generators}
    generators, memory = answer.asked.generators, answer.memory
    if answer.asked.memory is not None and memory is not None:
        generators = answer.asked.memory.with_room(generators, memory)
    together = judge_generators(
        generators, {lane: answer.on_lane(lane) for lane in lanes}, switch_ns
    )
    if answer.asked.memory is not None and memory is not None:
        together, memory = answer.asked.memory.with_generators(together, memory)
    answer = replace(answer, generators=together, memory=memory)
    found = answer.assignment
    verdicts, modes = dict(found.verdicts), dict(found.modes)
    for lane in {each.generator.lane for each in together if each.admitted}:
        counted = [replace(task, lane=lane) for task in answer.judged_on(lane)]
        proven = assign(counted, [lane], switch_ns=switch_ns)
        proven = with_tight_bounds(proven, counted, switch_ns)
        steps = {each.step_name for each in together}
        slack = tuple(share for share in proven.verdicts[lane].slack if share.task not in steps)
        verdicts[lane] = replace(proven.verdicts[lane], slack=slack)
        modes |= proven.modes
    return replace(answer, assignment=replace(found, verdicts=verdicts, modes=modes))


def _judge_tasks(asked: TaskSet, *, advise: bool, share: bool) -> Answer:
    found = assign(asked.tasks, asked.lanes, switch_ns=asked.switch_ns, policy=asked.policy)
    found = with_tight_bounds(found, asked.tasks, asked.switch_ns)
    if found.schedulable:
        return Answer(asked, found, ())
    decimation = _decimation(asked) if share else None
    if decimation is not None:
        asked = replace(asked, tasks=tuple(decimated(asked.tasks, decimation)))
        decimated_lanes = assign(asked.tasks, asked.lanes, switch_ns=asked.switch_ns)
        if decimated_lanes.schedulable:
            decimated_lanes = with_tight_bounds(decimated_lanes, asked.tasks, asked.switch_ns)
            return Answer(asked, decimated_lanes, (), decimation=decimation)
    if not advise:
        return Answer(asked, found, ())
    return Answer(asked, found, _changes(asked), _hint(asked))


def _with_chains(asked: TaskSet) -> TaskSet:
    """Return the set with the jitter that chains cause, and tasks on lanes as it was proven so."""
    if not asked.follows:
        return asked
    first: TaskSet | None = None
    for tried in _other_places(asked):
        found = assign(tried.tasks, tried.lanes, switch_ns=tried.switch_ns)
        if not found.schedulable:
            continue
        lane_of = found.lane_of
        proven = chains_verdict(
            {task.name: (task, lane_of[task.name]) for task in tried.tasks},
            tried.follows,
            {},
            switch_ns=tried.switch_ns,
        )
        if proven is None:
            return asked
        jitters = proven.jitters_ns
        tasks = tuple(
            replace(task, jitter_ns=jitters[task.name], lane=lane_of[task.name])
            for task in tried.tasks
        )
        if proven.schedulable:
            return replace(asked, tasks=tasks)
        first = first or replace(asked, tasks=tasks)
    return first or asked


def _other_places(asked: TaskSet) -> Iterator[TaskSet]:
    """Yield a set, and then with each task that others trigger on each lane it may go to."""
    yield asked
    for index, task in enumerate(asked.tasks):
        if task.name in asked.follows and not task.lane:
            for lane in asked.lanes:
                tasks = list(asked.tasks)
                tasks[index] = replace(task, lane=lane)
                yield replace(asked, tasks=tuple(tasks))


def _decimation(asked: TaskSet) -> dict[str, int] | None:
    if asked.policy != "edf" or len(asked.tasks) > _MAX_TASKS_TO_DECIMATE:
        return None
    return find_decimation(
        asked.tasks, asked.decimation_limits, asked.lanes, switch_ns=asked.switch_ns
    )


def blocker_of(
    task: AnalysisTask, others: Sequence[AnalysisTask], switch_ns: int
) -> tuple[str, int] | None:
    """Return who can hold the lane when a job of ``task`` becomes ready, and for how long.

    That is the longest segment of the tasks that are due later, or of best effort, and so yield at
    its end; ``None`` where there is none, and for best effort itself, which waits for everybody.
    """
    if task.best_effort:
        return None
    first = task.deadline_ns - task.jitter_ns
    later = [
        other
        for other in others
        if other.best_effort or other.deadline_ns - other.jitter_ns > first
    ]
    if not later:
        return None
    longest = max(later, key=lambda other: other.longest_ns(switch_ns))
    return longest.name, longest.longest_ns(switch_ns)


def _spare(verdict: LaneVerdict) -> float:
    witness = verdict.witness
    return 1.0 if witness is None else witness.slack_ns / max(1, witness.t_ns)


def _changes(asked: TaskSet) -> tuple[Counterfactual, ...]:
    """Ask of each task, the densest first, what would admit it beside the others."""
    # What the test for EDF passes, CW-EDF passes too; for a table there is no such rule.
    if len(asked.tasks) > _MAX_TASKS_TO_ADVISE or asked.policy == "table":
        return ()
    densest = sorted(asked.tasks, key=lambda item: item.density, reverse=True)
    for task in densest[:_MAX_CANDIDATES]:
        found = counterfactuals(
            asked.tasks,
            task.name,
            asked.lanes,
            switch_ns=asked.switch_ns,
            reserve_ns=asked.kept_free_ns.get(task.name, 0),
        )
        if found:
            return _declarable(asked, found)
    return _shed(asked)


def _shed(asked: TaskSet) -> tuple[Counterfactual, ...]:
    """Return the few tasks, least critical and largest first, without which the others pass."""

    def passes(kept: Sequence[AnalysisTask]) -> bool:
        return admits(kept, asked.lanes, switch_ns=asked.switch_ns)

    rank = {criticality: index for index, criticality in enumerate(Criticality)}
    order = sorted(asked.tasks, key=lambda task: (-rank[task.criticality], -task.utilization))
    low, high = 0, len(order)  # the test is monotone in the set of tasks
    while high - low > 1:
        middle = (low + high) // 2
        if passes(order[middle:]):
            high = middle
        else:
            low = middle
    dropped = order[:high]
    for task in reversed(order[:high]):
        fewer = [item for item in dropped if item is not task]
        if passes([item for item in order if item not in fewer]):
            dropped = fewer
    if len(dropped) == len(order):
        return ()
    names = tuple(task.name for task in dropped)
    return (counterfactual(DropForRest(names, len(order) - len(dropped))),)


def _hint(asked: TaskSet) -> str:
    """Return whether another policy would do, or why nothing was searched for."""
    if len(asked.tasks) > _MAX_TASKS_TO_ADVISE:
        return f"No changes are searched for in sets of more than {_MAX_TASKS_TO_ADVISE} tasks"
    if asked.policy != "edf" or asked.configured or len(asked.tasks) > _MAX_TASKS_TO_IDLE:
        return ""
    idling = assign(asked.tasks, asked.lanes, switch_ns=asked.switch_ns, policy="cw_edf")
    if not idling.schedulable:
        return ""
    return (
        "With policy: cw_edf, which keeps a lane idle for a job that arrives soon, every deadline "
        "would hold, but only if all arrivals are strictly periodic and begin together"
    )


def _declarable(asked: TaskSet, changes: Sequence[Counterfactual]) -> tuple[Counterfactual, ...]:
    """Return the changes in the terms of the file they would be made in."""
    if not asked.configured:
        return tuple(changes)
    kept = []
    for change in changes:
        if change.change == "segments":  # made by the compiler, not declared
            continue
        if change.change == "deadline_ms":
            value = change.value + asked.kept_free_ns.get(change.task, 0) / 1e6
            change = counterfactual(DeadlineLonger(change.task, round(value * 1e6)))
        kept.append(change)
    return tuple(kept)
