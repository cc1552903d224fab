"""What a task's jobs may take of a lane, what they have taken too much, and what is still owed.

Budgets are checked where a step ends. What a job takes beyond its whole budget is owed by its task
and repaid, by time in which the lane has nothing to do and by jobs that are skipped, so that an
overrun stays with the task that caused it.
"""

from __future__ import annotations

import math
from operator import index

from aegis_ros.scheduling.job import BEGUN, EARLY, LATE, Job
from aegis_ros.scheduling.plans import ExecutionPlan
from aegis_ros.spec import OverrunPolicy

__all__ = ["NO_LIMIT", "Budget"]

NO_LIMIT = 1 << 62
_ENDLESS = 20  # budgets of a whole job; as with a segment that hangs
# Jobs within their budget, for every budget that an overrun used, after which it counts as rare.
_RARE = 10


class Budget:
    """The account of one task.

    Args:
        plan: budgets of its steps and of a whole job.
        low: low-mode budgets; ``None`` where exceeding them has no consequence.
        policy: what becomes of a job beyond ``plan``; ``None`` not to enforce it.
        stretch: factors on all of them, as in :meth:`stretch`.

    Attributes:
        declared_ns: budget of each step as declared, the one that is looked at; empty for none.
        limits_ns: what a step may take before anything has to be reported; empty for any time.
        total_ns: what a whole job may take before anything follows.
        least_total_ns: the smaller one of ``total_ns`` and ``report_total_ns``.
        report_total_ns: what a whole job may take before anything has to be reported.
        owed_ns: lane time taken beyond the budget and not repaid yet.
        idle_repays: what is owed may be repaid by idle time as well: it is less than a budget, or
            the task exceeds its budget rarely.
    """

    __slots__ = (
        "_budgets_ns",
        "_enforced",
        "_exit_after",
        "_last_over",
        "_low_declared_ns",
        "_low_ns",
        "_low_total_declared_ns",
        "_low_total_ns",
        "_marks_ns",
        "_plan",
        "_plan_ns",
        "_plan_total_ns",
        "_reported",
        "declared_ns",
        "idle_repays",
        "least_total_ns",
        "limits_ns",
        "owed_ns",
        "policy",
        "report_total_ns",
        "total_ns",
    )

    def __init__(
        self,
        plan: ExecutionPlan,
        low: ExecutionPlan | None,
        policy: OverrunPolicy | None,
        stretch: tuple[float, float],
    ) -> None:
        """Owe nothing."""
        self.policy = policy if _limits(plan) else None
        self._exit_after = plan.exit_after if policy is OverrunPolicy.EARLY_EXIT else 0
        self.owed_ns = 0
        self.idle_repays = False
        self._last_over = -1  # the last job that took too much
        self._reported, self._enforced = stretch
        self.change(plan, low)

    def change(self, plan: ExecutionPlan, low: ExecutionPlan | None) -> None:
        """Hold the task to other budgets of the same steps; what it owes stays owed."""
        self._plan = plan
        self._plan_ns = _limits(plan)
        self._plan_total_ns = _time_ns(plan.total_ns)
        self._low_total_declared_ns = 0 if low is None else _time_ns(low.total_ns)
        self._low_declared_ns = _limits(low) if low is not None else ()
        self.declared_ns = self._plan_ns if self.policy is not None else self._low_declared_ns
        self.stretch(self._reported, self._enforced)

    def stretch(self, reported: float, enforced: float) -> None:
        """Report what takes longer than ``reported`` times its budget, act from ``enforced``."""
        self._reported, self._enforced = reported, enforced
        self._budgets_ns = tuple(_stretched(part, enforced) for part in self._plan_ns)
        self._low_ns = tuple(_stretched(part, enforced) for part in self._low_declared_ns)
        pairs = zip(self.declared_ns, self._low_declared_ns or self.declared_ns, strict=True)
        lowest = map(min, pairs)
        self.limits_ns = tuple(_stretched(part, reported) for part in lowest)
        self.total_ns = NO_LIMIT
        # Of a plan that branches, the steps are a menu: a job may take one of them again and again.
        if self.policy is not None and not self._plan.branches:
            self.total_ns = min(NO_LIMIT, sum(self._budgets_ns))
        self._low_total_ns = NO_LIMIT
        # Lane time of a whole job beyond which something has to be said or done. The sum of the
        # steps is no such mark: who exceeds that has exceeded a step's.
        marks = []
        if self._plan_total_ns and self.policy is not None:
            self.total_ns = min(self.total_ns, _stretched(self._plan_total_ns, enforced))
            marks += [_stretched(self._plan_total_ns, reported), self.total_ns]
        if self._low_total_declared_ns:
            self._low_total_ns = _stretched(self._low_total_declared_ns, enforced)
            marks += [_stretched(self._low_total_declared_ns, reported), self._low_total_ns]
        self._marks_ns = tuple(sorted(set(marks)))
        self.report_total_ns = self._marks_ns[0] if marks else NO_LIMIT
        self.least_total_ns = min(self.total_ns, self.report_total_ns)

    def share_ns(self, job: Job) -> int:
        """Return by how much a job's next step raises what it may use unreported; 0 for unknown."""
        if not self.limits_ns:
            return 0
        so_far = math.ceil(job.allowed_ns * self._reported)
        before = min(self.report_total_ns, so_far)
        after = min(self.report_total_ns, so_far + self.limits_ns[job.step])
        # Of a job that may use no more, not even nothing: that would stand for an unknown budget.
        return max(1, after - before)

    def is_exceeded(self, job: Job, step: int, taken_ns: int, *, ended: bool) -> bool:
        """Return whether something has to be reported of a step that has just ended.

        It took too long itself, its job has ended with more than a whole one may take, or has
        passed a budget of its whole with it.
        """
        used_ns = job.used_ns
        return (
            taken_ns > self.limits_ns[step]
            or (ended and used_ns > self.total_ns)
            or (
                used_ns > self.report_total_ns
                and any(used_ns - taken_ns <= mark < used_ns for mark in self._marks_ns)
            )
        )

    def is_over(self, job: Job) -> bool:
        """Return whether a job has used more than the steps it has ended may take together."""
        return job.used_ns > min(self.total_ns, math.ceil(job.allowed_ns * self._enforced))

    def is_endless(self, job: Job) -> bool:
        """Return whether a job that would go on has used so much that it never ends by itself."""
        return self.total_ns < NO_LIMIT and job.used_ns > _ENDLESS * self.total_ns

    def is_absorbed(self, step: int, taken_ns: int, used_ns: int) -> bool:
        """Return whether an overrun stays within what is enforced."""
        return bool(self._budgets_ns) and (
            taken_ns <= self._budgets_ns[step] and used_ns <= self.total_ns
        )

    def is_over_low(self, step: int, taken_ns: int, used_ns: int) -> bool:
        """Return whether a low-mode budget is exceeded."""
        return bool(self._low_ns) and (
            taken_ns > self._low_ns[step] or used_ns > self._low_total_ns
        )

    @property
    def has_exit(self) -> bool:
        """Whether a job beyond its budget may end early."""
        return self._exit_after > 0

    def leaves(self, job: Job, step: int) -> bool:
        """Return whether a job over its budget ends after this step; not where it has caught up."""
        if not self.is_over(job):
            job.state = BEGUN
            return False
        job.state = EARLY if step + 1 >= self._exit_after else LATE
        return job.state == EARLY

    def charge(self, seq: int, used_ns: int) -> int:
        """Owe what a job that has ended took too much; return how many jobs repay it at most.

        Args:
            seq: number of the job.
            used_ns: what it took.
        """
        owed = max(0, used_ns - self.total_ns)
        jobs = -(-owed // self.total_ns)
        self.owed_ns = owed  # what was repaid too much before is no credit
        rare = seq - self._last_over > _RARE * jobs
        self.idle_repays = owed > 0 and (owed < self.total_ns or rare)
        if owed:
            self._last_over = seq
        return jobs

    def skip_one(self) -> None:
        """Repay with a job that is skipped."""
        if self.owed_ns > 0:
            self.owed_ns -= self.total_ns
            self.idle_repays &= self.owed_ns > 0

    def repay(self, spare_ns: int) -> int:
        """Repay with time in which nobody wanted the lane; return how much of it was used.

        Only what :attr:`idle_repays`: who takes whole budgets too much again and again makes others
        late each time, and must come less often however much time there is between.
        """
        paid = min(spare_ns, self.owed_ns)
        self.owed_ns -= paid
        self.idle_repays = self.owed_ns > 0
        return paid


def _limits(plan: ExecutionPlan) -> tuple[int, ...]:
    """Return the budget of each step, no limit where it is unknown; empty where all are."""
    limits = tuple(_time_ns(plan.limit(step)) for step in range(plan.steps))
    return tuple(limit or NO_LIMIT for limit in limits) if any(limits) else ()


def _time_ns(value: object) -> int:
    """Return a budget that a plan names.

    Raises:
        ValueError: it is no whole number of nanoseconds, or negative.
    """
    try:
        time_ns = index(value)  # type: ignore[arg-type]  # a plan may name anything
    except TypeError:
        time_ns = -1
    if time_ns < 0:
        raise ValueError(f"a plan's budget is {value!r}; expected whole nanoseconds, 0 for unknown")
    return min(time_ns, NO_LIMIT)


def _stretched(limit_ns: int, factor: float) -> int:
    return min(NO_LIMIT, math.ceil(limit_ns * factor)) if limit_ns < NO_LIMIT else NO_LIMIT
