"""What a generator is promised of its lane: so much time in each period, by a deadline."""

from __future__ import annotations

from itertools import accumulate, pairwise

from aegis_ros.scheduling.plans import GeneratorPlan

__all__ = ["Promise"]


class Promise:
    """Makes a job that never ends a sporadic task of budget C and period T, and work in the slack.

    A bucket is covered where the promise is due when it begins, or has a part left: the rest of it
    then counts as one job of n periods, the fewest with ``n * C`` enough for its budgets. Its
    deadline, the end of these periods, is when the promise is due again; buckets until then run
    where nothing else is ready. Deadlines are thus n periods after the deadline before, or after
    the job came, and the demand of any interval is no more than that of the sporadic task. This is
    a constant bandwidth server (Abeni & Buttazzo 1998) that asks for no more than is promised.

    Args:
        plan: the generator's, whose budgets are known.
        period_ns: T.
        budget_ns: C.

    Attributes:
        due_ns: when the next bucket is covered.

    Raises:
        ValueError: a budget is unknown, or a number is not positive.
    """

    __slots__ = ("_begins", "_budget_ns", "_left_ns", "_period_ns", "_rest_ns", "due_ns")

    def __init__(self, plan: GeneratorPlan, period_ns: int, budget_ns: int) -> None:
        """Be due from the beginning."""
        if period_ns <= 0 or budget_ns <= 0 or not all(plan.budgets_ns):
            raise ValueError(
                f"a promise of {budget_ns} ns in {period_ns} ns needs both, and all budgets"
            )
        self._period_ns = period_ns
        self._budget_ns = budget_ns
        self._begins = frozenset(plan.begins)
        edges = (*plan.begins, plan.steps)
        rest: list[int] = []
        for begin, end in pairwise(edges):
            rest += reversed([*accumulate(reversed(plan.budgets_ns[begin:end]))])
        self._rest_ns = tuple(rest)
        self._left_ns = 0
        self.due_ns = 0

    def begins(self, step: int) -> bool:
        """Return whether a step is the first one of a bucket."""
        return step in self._begins

    def cover(self, step: int, since_ns: int) -> int:
        """Cover the rest of a bucket; return its deadline. The promise is due.

        Args:
            step: that comes next.
            since_ns: when its job came.
        """
        periods = -(-self._rest_ns[step] // self._budget_ns)
        self._left_ns = periods * self._budget_ns
        self.due_ns = max(self.due_ns, since_ns) + periods * self._period_ns
        return self.due_ns

    def spend(self, taken_ns: int) -> None:
        """Take the time of a step that was covered; what is too much is repaid by later periods."""
        self._left_ns -= taken_ns
        if self._left_ns < 0:
            periods = -(self._left_ns // self._budget_ns)
            self._left_ns += periods * self._budget_ns
            self.due_ns += periods * self._period_ns
