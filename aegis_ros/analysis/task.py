"""A task as the schedulability tests see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aegis_ros.errors import ConfigError
from aegis_ros.spec import Criticality

__all__ = ["AnalysisTask", "by_promise", "require_unique"]

_MAX_NS = 10**16  # 115 days: sums over a testing set stay inside 64 bits


@dataclass(frozen=True, slots=True)
class AnalysisTask:
    """Budget and timing contract of one sporadic task; integer nanoseconds.

    Attributes:
        name: for sentences.
        segments_ns: WCET budget of each segment, at least one, each > 0.
        period_ns: minimum inter-arrival time, > 0.
        deadline_ns: relative deadline from arrival, > 0; may exceed the period.
        jitter_ns: release jitter (arrival to ready), >= 0.
        criticality: what is shed first; a task of best effort is promised no deadline, and runs
            only where nothing else is ready.
        lane: lane it must run on; empty for any.
        high_segments_ns: budgets that hold even where ``segments_ns`` do not, none below its own;
            empty where no segment ever exceeds its budget.
        total_ns: budget of all segments of one job together, from the longest of ``segments_ns`` up
            to their sum; 0 for that sum. The worst runs of the segments need not be one run.
        high_total_ns: the same of ``high_segments_ns``, not below the budget of a whole job.
    """

    name: str
    segments_ns: tuple[int, ...]
    period_ns: int
    deadline_ns: int
    jitter_ns: int = 0
    criticality: Criticality = Criticality.HIGH
    lane: str = ""
    high_segments_ns: tuple[int, ...] = ()
    total_ns: int = 0
    high_total_ns: int = 0

    def __post_init__(self) -> None:
        """Refuse what the tests cannot decide.

        Raises:
            ConfigError: names the field and the value.
        """
        if not self.segments_ns:
            raise ConfigError(
                "a task needs at least one segment",
                where=f"{self.name}.segments_ns",
                value=self.segments_ns,
            )
        for index, part in enumerate(self.segments_ns):
            self._check(f"segments_ns[{index}]", part, 1)
        if self.high_segments_ns and self.criticality is not Criticality.HIGH:
            raise ConfigError(
                "only a task of high criticality may exceed its budgets",
                where=f"{self.name}.high_segments_ns",
                value=self.criticality,
                expected="criticality high",
            )
        if self.high_segments_ns and len(self.high_segments_ns) != len(self.segments_ns):
            raise ConfigError(
                "a budget of either kind is needed for every segment",
                where=f"{self.name}.high_segments_ns",
                value=len(self.high_segments_ns),
                expected=f"{len(self.segments_ns)} of them",
            )
        for index, part in enumerate(self.high_segments_ns):
            self._check(f"high_segments_ns[{index}]", part, self.segments_ns[index])
        self._check("period_ns", self.period_ns, 1)
        self._check("deadline_ns", self.deadline_ns, 1)
        self._check("jitter_ns", self.jitter_ns, 0)
        self._check_total("total_ns", self.total_ns, self.segments_ns, 0)
        self._check_total("high_total_ns", self.high_total_ns, self.high_segments_ns, self.work_ns)

    def _check_total(self, field: str, total: int, parts: tuple[int, ...], least: int) -> None:
        least = max(least, max(parts, default=0))
        if total and not least <= total <= sum(parts):
            raise ConfigError(
                "the budget of a whole job does not fit those of its segments",
                where=f"{self.name}.{field}",
                value=total,
                expected=f"{least} to {sum(parts)} nanoseconds, or 0 for the sum of the segments",
            )

    def _check(self, field: str, value: int, least: int) -> None:
        if not least <= value <= _MAX_NS:
            raise ConfigError(
                "the time is out of range",
                where=f"{self.name}.{field}",
                value=value,
                expected=f"{least} to {_MAX_NS} nanoseconds",
            )

    def wcet_ns(self, switch_ns: int = 0) -> int:
        """Return the budget of the whole network with one switch a segment."""
        return self.work_ns + switch_ns * len(self.segments_ns)

    def longest_ns(self, switch_ns: int = 0) -> int:
        """Return the longest segment with its switch: how long this task can block others."""
        return max(self.segments_ns) + switch_ns

    def at_high(self) -> AnalysisTask:
        """Return the task with its high budgets in place of the others."""
        if not self.high_segments_ns:
            return self
        return replace(
            self,
            segments_ns=self.high_segments_ns,
            high_segments_ns=(),
            total_ns=self.high_total_ns,
            high_total_ns=0,
        )

    def at_low(self) -> AnalysisTask:
        """Return the task without its high budgets."""
        if not self.high_segments_ns:
            return self
        return replace(self, high_segments_ns=(), high_total_ns=0)

    def by_segments(self) -> AnalysisTask:
        """Return the task with all its segments at their budgets in one job."""
        if not self.total_ns and not self.high_total_ns:
            return self
        return replace(self, total_ns=0, high_total_ns=0)

    def scaled(self, scale: Callable[[int], int]) -> AnalysisTask:
        """Return the task with every budget scaled by a factor and rounded up by ``scale``."""
        return replace(
            self,
            segments_ns=tuple(scale(part) for part in self.segments_ns),
            high_segments_ns=tuple(scale(part) for part in self.high_segments_ns),
            total_ns=scale(self.total_ns) if self.total_ns else 0,
            high_total_ns=scale(self.high_total_ns) if self.high_total_ns else 0,
        )

    def switched(self, switch_ns: int) -> AnalysisTask:
        """Return the task with the cost of a switch inside the budget of each segment."""
        cost = switch_ns * len(self.segments_ns)
        return replace(
            self,
            segments_ns=tuple(part + switch_ns for part in self.segments_ns),
            high_segments_ns=tuple(part + switch_ns for part in self.high_segments_ns),
            total_ns=self.total_ns + cost if self.total_ns else 0,
            high_total_ns=self.high_total_ns + cost if self.high_total_ns else 0,
        )

    def execution_ns(self, *first: int) -> tuple[int, ...]:
        """Return one job that takes its whole budget: what each segment takes.

        Args:
            first: segments that take all of theirs as long as there is any left, in this order;
                the others follow from the front. What comes last may take nothing.
        """
        order = (*first, *(each for each in range(len(self.segments_ns)) if each not in first))
        left = self.work_ns
        taken = [0] * len(self.segments_ns)
        for each in order:
            taken[each] = min(left, self.segments_ns[each])
            left -= taken[each]
        return tuple(taken)

    def cut(self, parts: int) -> AnalysisTask:
        """Return the task with the same work in equal segments, rounded up."""
        low, high = self.work_ns, self.at_high().work_ns if self.high_segments_ns else 0
        return replace(
            self.by_segments(),
            segments_ns=(-(-low // parts),) * parts,
            high_segments_ns=(-(-high // parts),) * parts if high else (),
        )

    @property
    def best_effort(self) -> bool:
        """Whether it runs in the slack of the others, without a deadline that is promised."""
        return self.criticality is Criticality.BEST_EFFORT

    @property
    def work_ns(self) -> int:
        """Budget of a whole job, without switch costs."""
        return self.total_ns or sum(self.segments_ns)

    @property
    def last_ns(self) -> int:
        """What the last segment takes at least in a job that takes its whole budget.

        The later a job begins its last segment, the more can come before it, so this is the worst
        of all its jobs.
        """
        return max(0, self.work_ns - sum(self.segments_ns[:-1]))

    @property
    def utilization(self) -> float:
        """Budget over period, without switch costs."""
        return self.work_ns / self.period_ns

    @property
    def density(self) -> float:
        """Budget over the shorter of period and deadline."""
        return self.work_ns / min(self.period_ns, self.deadline_ns)


def by_promise(
    tasks: Sequence[AnalysisTask],
) -> tuple[list[AnalysisTask], list[AnalysisTask]]:
    """Return the tasks whose deadlines are promised, and those of best effort."""
    promised = [task for task in tasks if not task.best_effort]
    return promised, [task for task in tasks if task.best_effort]


def require_unique(tasks: Sequence[AnalysisTask]) -> None:
    """Refuse two tasks of one name.

    Raises:
        ConfigError: names both places.
    """
    seen: dict[str, int] = {}
    for index, task in enumerate(tasks):
        if task.name in seen:
            raise ConfigError(
                f"the name is taken by tasks[{seen[task.name]}]",
                where=f"tasks[{index}].name",
                value=task.name,
                expected="a name of its own",
                hint="Rename one of the two",
            )
        seen[task.name] = index
