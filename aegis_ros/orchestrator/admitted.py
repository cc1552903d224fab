"""The admitted tasks, those that are leaving, and what the tests say of them together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import (
    AnalysisTask,
    ChainsVerdict,
    LaneVerdict,
    breakdown,
    check_lane,
    safe_removal_ns,
)
from aegis_ros.memory import Holding
from aegis_ros.orchestrator.fed_task import FedTask
from aegis_ros.orchestrator.intake import Joint
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.chains import chains_verdict
from aegis_ros.planning.contention import Placed
from aegis_ros.planning.decimation import Decimation
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale import Reason
from aegis_ros.spec import Criticality, DeviceSpec, TaskSpec

__all__ = ["AdmittedSet", "Entry", "Origin"]

_NEVER_NS = 1 << 62
_MOST_SCALING = 20.0  # what takes longer is taken for hung


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task comes from.

    Attributes:
        from_file: whether it is in the configuration file, and so need not be remembered.
        remembered: whether it was admitted in an earlier run.
        since_ns: when it was admitted first (nanoseconds since 1970), 0 where that is not known.
    """

    from_file: bool = False
    remembered: bool = False
    since_ns: int = 0


@dataclass
class Entry:
    """An admitted task with everything that belongs to it."""

    task_id: int
    candidate: Candidate
    lane: str
    streams: tuple[Stream, ...]
    fed: FedTask
    statistics: TaskStatistics
    origin: Origin
    failure: Reason | None = None  # why it cannot be served any more
    decimation: int = 1  # n of which the proof at nominal speed takes every n-th frame
    options: Options | None = None  # the task on all lanes it may go to

    def analysis_task(self) -> AnalysisTask:
        """Return the task as the tests see it at its present rate."""
        return self.candidate.analysis_task(self.decimation)

    def __post_init__(self) -> None:
        """Make the place where its frames wait for each other."""
        self.joint = Joint(self.fed, tuple(stream.topic for stream in self.streams))

    @property
    def failed(self) -> bool:
        """Whether it cannot be served any more."""
        return self.failure is not None

    @property
    def joined(self) -> bool:
        """Whether its jobs need more than one frame, or wait for a timer."""
        return len(self.streams) > 1 or self.spec.timed

    @property
    def spec(self) -> TaskSpec:
        """What was asked for."""
        return self.candidate.spec


class AdmittedSet:
    """Tasks by name and by id. Changed under the orchestrator's lock, read without it.

    Args:
        device: lanes and the cost of a switch.

    Attributes:
        promises: by name, what generators promise, and their lanes: tasks that are always there.
    """

    def __init__(self, device: DeviceSpec) -> None:
        """Begin empty."""
        self._device = device
        self.promises: Mapping[str, tuple[AnalysisTask, str]] = {}
        self._steps: Mapping[str, tuple[AnalysisTask, str]] = {}
        self._entries: dict[str, Entry] = {}
        self._by_id: dict[int, Entry] = {}
        # Replaced as a whole, and only under the lock: a reader goes through what it found.
        self._leaving: tuple[tuple[int, AnalysisTask, Placed], ...] = ()
        self.verdicts: dict[str, LaneVerdict] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Go through the tasks that are admitted now."""
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)

    def get(self, name: str) -> Entry | None:
        """Return the task of this name."""
        return self._entries.get(name)

    def of_id(self, task_id: int) -> Entry | None:
        """Return the task of this id, also while its last results are on their way."""
        return self._by_id.get(task_id)

    def add(self, entry: Entry) -> None:
        """Admit a task."""
        self._entries[entry.spec.name] = entry
        self._by_id[entry.task_id] = entry
        self._judge()

    def remove(self, entry: Entry) -> None:
        """Admit it no more; its capacity stays taken while its last jobs can delay others."""
        del self._entries[entry.spec.name]
        self._leave(entry)
        self._judge()

    def move(self, before: Entry, after: Entry) -> None:
        """Admit a task on another lane, under another id; the former id is heard of until forgot.

        Its time on the lane it leaves has to be kept by :meth:`vacate` once it is fed no more.
        """
        self._entries[after.spec.name] = after
        self._by_id[after.task_id] = after
        self._judge()

    def stepped(self, steps: Mapping[str, tuple[AnalysisTask, str]]) -> None:
        """Prove all with these steps of generators in the slack, and what they promise, if new.

        Args:
            steps: by name, the step and its lane.
        """
        self._steps = steps
        self._judge()

    def vacate(self, before: Entry) -> int:
        """Keep the time of a task that moved on the lane it left, and return until when.

        Returns:
            Monotonic time from which on nothing of it can delay others there.
        """
        return self._leave(before)

    def movable(self, without: Sequence[str] = ()) -> dict[str, Options]:
        """Return each task that may be moved, as it runs on each lane it may go to.

        Those that name their lane stay there, and those that take every n-th frame only.
        """
        return {
            entry.spec.name: entry.options
            for entry in self
            if entry.options is not None
            and not entry.spec.lane
            and entry.decimation == 1
            # Frames that wait for each other, and results that release jobs, stay with their lane.
            and not entry.joined
            and not entry.spec.follows
            and not entry.fed.followed
            and entry.spec.name not in without
        }

    def at_rest(self) -> bool:
        """Whether no job of any task has been released yet, nor of one that was removed lately."""
        return not self._still_leaving() and all(
            not entry.statistics.last_deadline_ns for entry in self
        )

    def bound_ns(self, entry: Entry) -> int:
        """Return the proven response bound of a task beside what is admitted now; 0 for none."""
        verdict = self.verdicts.get(entry.lane)
        responses = verdict.responses if verdict is not None else ()
        return next((item.bound_ns for item in responses if item.task == entry.spec.name), 0)

    def decimate(self, decimation: Mapping[str, int]) -> None:
        """Prove these tasks with every n-th of their frames from now on."""
        for name, n in decimation.items():
            entry = self._entries.get(name)
            if entry is not None:
                entry.decimation = n
        self._judge()

    def forget(self, entry: Entry) -> None:
        """Let its id go: nothing more is heard of it."""
        self._by_id.pop(entry.task_id, None)
        if entry.spec.criticality is Criticality.BEST_EFFORT:  # a segment may have begun until now
            self._leave(entry)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._by_id.clear()
        self._leaving = ()
        self.verdicts = {}

    def running(
        self, without: Sequence[str] = (), grown: Mapping[str, Candidate] | None = None
    ) -> dict[str, tuple[AnalysisTask, str]]:
        """Return how the tests see each task, and its lane; those that are leaving as well.

        Args:
            without: names of tasks to leave out.
            grown: tasks with other budgets, by name.
        """
        more = {} if grown is None else grown
        running = {
            entry.spec.name: (
                more.get(entry.spec.name, entry.candidate).analysis_task(entry.decimation),
                entry.lane,
            )
            for entry in self
            if entry.spec.name not in without
        }
        promises = {name: each for name, each in self.promises.items() if name not in without}
        return (
            running
            | promises
            | {
                task.name: (
                    task
                    if (own := more.get(task.name)) is None or own.spec != placed.candidate.spec
                    else replace(own.analysis_task(), name=task.name),
                    placed.lane,
                )
                for task, placed in self._still_leaving()
            }
        )

    def placed(self, without: Sequence[str] = ()) -> dict[str, Placed]:
        """Return each task on its lane, under the names that :meth:`running` has for them."""
        found = {
            entry.spec.name: Placed(entry.candidate, entry.lane)
            for entry in self
            if entry.spec.name not in without
        }
        return found | {task.name: placed for task, placed in self._still_leaving()}

    def grow(self, grown: Mapping[str, Candidate]) -> None:
        """Prove these tasks with larger budgets from now on; those that are gone are left out."""
        for name, candidate in grown.items():
            entry = self._entries.get(name)
            if entry is not None:
                entry.candidate = replace(
                    entry.candidate, plan=candidate.plan, wcet_basis=candidate.wcet_basis
                )
                if entry.options is not None:
                    own = replace(entry.candidate, lanes=(entry.lane,))
                    entry.options = replace(entry.options, candidates=(own,))
        if grown:
            self._judge()

    def decimations(self, without: Sequence[str] = ()) -> dict[str, Decimation]:
        """Return the decimation of each task that may be decimated."""
        return {
            entry.spec.name: Decimation(entry.decimation, entry.spec.decimation_limit)
            for entry in self
            if entry.spec.decimation_limit > 1 and entry.spec.name not in without
        }

    def holdings(self, without: Sequence[str] = ()) -> list[Holding]:
        """Return what is in memory for each task, without the frames of its stream."""
        return [
            entry.candidate.holding(entry.lane) for entry in self if entry.spec.name not in without
        ]

    def share(self, entry: Entry) -> float:
        """Return which part of its lane is reserved for a task; nothing is for best effort."""
        task = entry.analysis_task()
        return self._share(task)

    def _share(self, task: AnalysisTask) -> float:
        return 0.0 if task.best_effort else task.wcet_ns(self._device.switch_ns) / task.period_ns

    def utilization(self, lane: str, more: Sequence[AnalysisTask] = ()) -> float:
        """Return which part of a lane its tasks, and ``more``, may take."""
        own = sum(self.share(entry) for entry in self if entry.lane == lane)
        promised = [task for task, where in self.promises.values() if where == lane]
        return own + sum(self._share(task) for task in (*promised, *more))

    def judge_chains(
        self, tasks: Mapping[str, tuple[AnalysisTask, str]], more: Candidate | None = None
    ) -> ChainsVerdict | None:
        """Return the proof of all chains among these tasks; ``None`` where there are none.

        Args:
            tasks: how the tests see each task, and its lane.
            more: one of them that is not admitted yet.

        Raises:
            ConfigError: it cannot follow the task it names.
        """
        candidates = [entry.candidate for entry in self] + ([] if more is None else [more])
        own = [each for each in candidates if each.spec.follows]
        return chains_verdict(
            tasks,
            {each.spec.name: each.spec.follows for each in own},
            {each.spec.name: each.chain_jitter_ns for each in own},
            switch_ns=self._device.switch_ns,
        )

    def followers(self, name: str) -> tuple[str, ...]:
        """Return the names of the tasks that results of a task trigger."""
        return tuple(entry.spec.name for entry in self if entry.spec.follows == name)

    def critical_scaling(self, lane: str) -> float:
        """Return by what all budgets of a lane can be multiplied before anybody is late."""
        tasks = self._tasks_on(lane)
        if not tasks:
            return 1.0
        tasks += [task for task, placed in self._still_leaving() if placed.lane == lane]
        return min(_MOST_SCALING, max(1.0, breakdown(tasks, self._device.switch_ns)))

    def sheddable(self, lane: str) -> list[Entry]:
        """Return the tasks of a lane that are not of high criticality, what is shed first first."""
        order = list(Criticality)
        found = [
            entry
            for entry in self
            if entry.lane == lane and entry.spec.criticality is not Criticality.HIGH
        ]
        return sorted(found, key=lambda entry: -order.index(entry.spec.criticality))

    def _judge(self) -> None:
        switch_ns = self._device.switch_ns
        proven = self.judge_chains(self.running() | dict(self._steps))
        for entry in self:
            jitter_ns = 0
            if proven is not None and entry.spec.follows:
                own = entry.candidate
                jitter_ns = proven.jitters_ns[entry.spec.name] - (
                    own.analysis_task().jitter_ns - own.chain_jitter_ns
                )
            entry.candidate = replace(entry.candidate, chain_jitter_ns=jitter_ns)
            entry.fed.followed = any(other.spec.follows == entry.spec.name for other in self)
        self.verdicts = {
            lane.name: check_lane(self._tasks_on(lane.name), lane=lane.name, switch_ns=switch_ns)
            for lane in self._device.lanes
        }

    def _tasks_on(self, lane: str) -> list[AnalysisTask]:
        generators = (*self.promises.values(), *self._steps.values())
        own = [entry.analysis_task() for entry in self if entry.lane == lane]
        return own + [task for task, where in generators if where == lane]

    def _leave(self, entry: Entry) -> int:
        """Keep the time of a task on its lane, and return until when."""
        task = entry.analysis_task()
        until = self._free_from_ns(entry)
        now = time.monotonic_ns()
        placed = Placed(entry.candidate, entry.lane)
        others = (item for item in self._leaving if (item[1], item[2].lane) != (task, entry.lane))
        self._leaving = tuple(item for item in (*others, (until, task, placed)) if item[0] > now)
        return until

    def _still_leaving(self) -> list[tuple[AnalysisTask, Placed]]:
        """Return the removed tasks whose last jobs can still delay others, each under its own name.

        The same task may leave more than once, and a new one may have taken its name.
        """
        now = time.monotonic_ns()
        remaining = [(task, placed) for until, task, placed in self._leaving if until > now]
        return [
            (replace(task, name=f"{task.name} (leaving {index})"), placed)
            for index, (task, placed) in enumerate(remaining)
        ]

    def _free_from_ns(self, removed: Entry) -> int:
        """Return from when on no job of a removed task can have left others late; 0 for none."""
        last_ns = removed.statistics.last_deadline_ns
        if not last_ns:
            return 0
        task = removed.analysis_task()
        leaving = [item for _, item, where in self._leaving if where.lane == removed.lane]
        free = safe_removal_ns(
            [task, *leaving, *self._tasks_on(removed.lane)],
            # Of best effort, a frame may wait for long after its arrival.
            time.monotonic_ns()
            if task.best_effort
            else last_ns - task.deadline_ns + task.jitter_ns,
            switch_ns=self._device.switch_ns,
        )
        return _NEVER_NS if free is None else free
