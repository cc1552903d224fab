"""A task whose network is ready and whose budget is known, on each class of lanes it can run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine.slots import output_bytes
from aegis_ros.memory import Footprint, Holding
from aegis_ros.network import PreparedNetwork
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Reason
from aegis_ros.rationale.admission import BudgetBasis, CutReason
from aegis_ros.scheduling import SegmentPlan
from aegis_ros.spec import TaskSpec

__all__ = ["Candidate", "Options", "loaded_footprint", "options_of"]


def loaded_footprint(compiled: CompiledNetwork) -> Footprint:
    """Return what a network and the slots of its outputs take."""
    return compiled.footprint + Footprint(staging=output_bytes(compiled))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task whose network is ready and whose budget is known.

    ``plan`` has the budgets of its segments and of a whole job, without the cost of switching.
    ``cut`` says why it runs in as many segments as it does; ``None`` for one that is whole and
    need not be anything else. ``lanes`` are those it may go to with this budget, all of one class.
    ``chain_jitter_ns`` is the proven response of the task before it in a chain, which counts as
    release jitter. ``measured_on`` says on what its budget was measured, as in
    :attr:`~aegis_ros.wcet.Condition.inputs`; empty for a budget that was not. ``block_bytes`` is as
    in :class:`~aegis_ros.memory.Holding`, once its lane is chosen.
    """

    spec: TaskSpec
    prepared: PreparedNetwork
    compiled: CompiledNetwork
    plan: SegmentPlan
    wcet_source: str
    wcet_basis: BudgetBasis
    cut: CutReason | None = None
    lanes: tuple[str, ...] = ()
    shares_activations: bool = False
    chain_jitter_ns: int = 0
    measured_on: str = ""
    block_bytes: int = 0

    @property
    def work_ns(self) -> int:
        """Budget of a whole job."""
        return self.plan.total_ns or sum(self.plan.budgets_ns)

    @property
    def footprint(self) -> Footprint:
        """What its network and the slots of its outputs take."""
        return loaded_footprint(self.compiled)

    def holding(self, lane: str) -> Holding:
        """Return what is in memory for it while it runs on a lane."""
        return Holding(
            (self.spec.name,), self.footprint, lane, self.shares_activations, self.block_bytes
        )

    def analysis_task(self, decimation: int = 1) -> AnalysisTask:
        """Return the task as the tests see it: the time kept for publishing is not available.

        Args:
            decimation: n where every n-th frame becomes a job.
        """
        spec = self.spec
        return AnalysisTask(
            spec.name,
            self.plan.budgets_ns,
            spec.period_ns * decimation,
            spec.deadline_ns - spec.output.publish_ns,
            spec.release_jitter_ns + self.chain_jitter_ns,
            spec.criticality,
            spec.lane,
            total_ns=self.plan.total_ns,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """A task on every class of lanes it can run on, each with a budget and a cut of its own.

    Attributes:
        candidates: one a class, at least one, in the order of the lanes.
        barred: why it cannot run on lanes of the other classes it may go to.
    """

    candidates: tuple[Candidate, ...]
    barred: tuple[Reason, ...] = ()

    @property
    def spec(self) -> TaskSpec:
        """What was asked for."""
        return self.candidates[0].spec

    @property
    def segments(self) -> tuple[int, ...]:
        """In how many segments it runs on each class."""
        return tuple(each.compiled.segments for each in self.candidates)

    def on(self, lane: str) -> Candidate:
        """Return the task as it runs on a lane it may go to."""
        return next(each for each in self.candidates if lane in each.lanes)

    def by_lane(self, decimation: int = 1) -> dict[str, AnalysisTask]:
        """Return, for each lane it may go to, how the tests see it there.

        Args:
            decimation: n where every n-th frame becomes a job.
        """
        return {
            lane: each.analysis_task(decimation) for each in self.candidates for lane in each.lanes
        }

    def off(self, lane: str) -> Options | None:
        """Return the task on the lanes it may go to but one; ``None`` where no lane is left."""
        left = [
            replace(one, lanes=tuple(each for each in one.lanes if each != lane))
            for one in self.candidates
        ]
        able = tuple(one for one in left if one.lanes)
        return replace(self, candidates=able) if able else None

    def each(self, change: Callable[[Candidate], Candidate]) -> Options:
        """Return the task with every candidate changed; those for which that fails are barred.

        Raises:
            Refusal: it fails for all of them.
        """
        return options_of([partial(change, one) for one in self.candidates], self.barred)


def options_of(
    attempts: Sequence[Callable[[], Candidate]], barred: Sequence[Reason] = ()
) -> Options:
    """Return the candidates that can be had.

    Raises:
        Refusal: the first, where there is none.
    """
    found: list[Candidate] = []
    refusals: list[Refusal] = []
    for attempt in attempts:
        try:
            found.append(attempt())
        except Refusal as refusal:
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return Options(tuple(found), (*barred, *(refusal.reason for refusal in refusals)))
