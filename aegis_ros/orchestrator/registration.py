"""Admits and removes tasks, each as one transaction: all of it happens, or nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from aegis_ros.errors import AegisError, StoppedError
from aegis_ros.orchestrator.admissions import Ticket, cancelled_reason
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry, Origin
from aegis_ros.orchestrator.answers import admission_reason
from aegis_ros.orchestrator.claims import Claims
from aegis_ros.orchestrator.decimator import Decimator
from aegis_ros.orchestrator.fed_task import FedTask
from aegis_ros.orchestrator.generators import Generators
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.judging import Judge, no_such_task
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.moving import Mover
from aegis_ros.orchestrator.propagation import Propagation
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.rejected import Rejected
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.types import (
    AdmissionRequest,
    AdmissionStage,
    AdmissionSummary,
    Registration,
)
from aegis_ros.orchestrator.unloading import Unloader
from aegis_ros.orchestrator.window import window_ns
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.lane_choice import Admitted
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Reason, ResultCode, result_code
from aegis_ros.rationale.admission import BesideBudget, SlowedTask
from aegis_ros.rationale.decimation import DecimationCause
from aegis_ros.rationale.rejection import Failed, Followed, Invalid
from aegis_ros.rationale.requests import AdmissionCancelled, TaskForgotten, TaskRemoved
from aegis_ros.scheduling import SegmentPlan
from aegis_ros.spec import TaskSpec

__all__ = ["Registrar"]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Registrar:
    """Carries out what was decided.

    What is admitted is judged, loaded and remembered in the turn of its request and without a lock,
    so that a removal need not wait for it; only the last step, which cannot fail, is under the
    orchestrator's lock.

    Args:
        lanes: how many there are.
        admitted: the tasks.
        judge: decides.
        loader: loads networks.
        mover: moves running tasks out of the way.
        decimator: changes how many frames tasks take.
        propagation: carries what has changed to the other parts.
        journal: remembers the tasks that are in no file.
        rejected: the tasks that should run and do not.
        claims: know who shares a lane's core or device.
        log: where decisions are reported.
        ledger: books what becomes of frames.
        new_id: returns an id that no task has had.
        unloader: takes the networks of removed tasks out of the engine.
        changing: the orchestrator's lock.
        generators: give way to tasks.
    """

    def __init__(
        self,
        *,
        lanes: int,
        admitted: AdmittedSet,
        judge: Judge,
        loader: Loader,
        mover: Mover,
        decimator: Decimator,
        propagation: Propagation,
        journal: Journal,
        rejected: Rejected,
        claims: Claims,
        log: RationaleLog,
        ledger: Ledger,
        new_id: Callable[[], int],
        unloader: Unloader,
        changing: threading.RLock,
        generators: Generators,
    ) -> None:
        """Register nothing yet."""
        self._generators = generators
        self._lanes = lanes
        self._admitted = admitted
        self._judge = judge
        self._loader = loader
        self._mover = mover
        self._decimator = decimator
        self._propagation = propagation
        self._journal = journal
        self._rejected = rejected
        self._claims = claims
        self._log = log
        self._ledger = ledger
        self._new_id = new_id
        self._unloader = unloader
        self._changing = changing

    def register(self, spec: TaskSpec, ticket: Ticket, origin: Origin) -> Registration:
        """Admit a task and load it; a rejection leaves everything as it was.

        Args:
            spec: the task.
            ticket: of the request, which has its turn.
            origin: where it comes from.
        """
        self._judge.arrived(spec.name)
        try:
            judged = self._judge.judge(spec, ticket, measure=True)
            with self._unloader.loading:
                self._unloader.unload_now()
                return self._admit(judged, ticket, origin)
        except Refusal as refusal:
            reason: Reason = refusal.reason
        except AegisError as error:
            reason = Invalid(spec.name, error.rule, str(error))
        return self.refused(cancelled_reason(ticket) if ticket.stop.is_set else reason)

    def _admit(
        self, judged: tuple[Options, Candidate, Admitted], ticket: Ticket, origin: Origin
    ) -> Registration:
        """Load a task that may run, and have it run; called under the lock of the unloader.

        Raises:
            Refusal: it does not work; nothing has changed.
            StoppedError: the request was cancelled.
        """
        options, candidate, admitted = judged
        spec = candidate.spec
        ticket.at(AdmissionStage.LOADING)
        statistics = TaskStatistics(window_ns(spec.period_ns))
        task_id = self._new_id()
        entry = Entry(
            task_id,
            candidate,
            admitted.lane,
            self._loader.streams_for(spec, self._admitted),
            FedTask(task_id, spec, statistics, candidate.prepared.inputs),
            statistics,
            origin,
            options=options,
        )
        with ExitStack() as undo:
            # It runs only once others have moved; until then it can fail without a trace.
            loaded = _or_refuse(spec, partial(self._loader.load, entry))
            undo.callback(self._propagation.unload, entry)
            if not origin.from_file:
                self._journal.add(spec, origin.since_ns)
                if not origin.remembered:  # which stays so, also where it cannot run today
                    undo.callback(self._journal.remove, spec.name)
            _or_refuse(spec, partial(self._mover.move, admitted.moves, spec.name))
            undo.callback(self._mover.move_back, admitted.moves, spec.name)
            undo.callback(self._settle)
            self._narrow(spec, admitted)
            for name, grown in admitted.grown.items():
                other = self._admitted.get(name)
                if other is not None:
                    undo.callback(self._shrink, other, other.candidate.plan)
                    _or_refuse(spec, partial(self._loader.change_budgets, other, grown.plan))
            with self._changing:
                self._require_followed(spec)
                ticket.at(AdmissionStage.LOADING)  # the last moment to cancel it
                ticket.settled = True
                undo.pop_all()
                return self._add(entry, admitted, loaded)

    def _narrow(self, spec: TaskSpec, admitted: Admitted) -> None:
        """Have generators give up what would make a task late.

        Raises:
            Refusal: one of them is not done with it.
        """
        still = self._generators.narrow(admitted.generators)
        if still:
            step = f"a step of {' and '.join(still)} that {spec.name} cannot wait for"
            raise Refusal(Failed(spec.name, f"{step} has not ended yet; try again"))

    def _settle(self) -> None:
        with self._changing:
            self._generators.widen()
            self._generators.settle()

    def _shrink(self, entry: Entry, plan: SegmentPlan) -> None:
        """Hold a task to its former budgets; larger ones do no harm where that fails."""
        try:
            self._loader.change_budgets(entry, plan)
        except AegisError as error:
            _log.debug("%s keeps larger budgets in the engine: %s", entry.spec.name, error)

    def _add(self, entry: Entry, admitted: Admitted, loaded: str) -> Registration:
        """Have a loaded task run; called under the orchestrator's lock."""
        spec = entry.spec
        self._ledger.open(entry.task_id, spec.name, entry.statistics)
        slowed = self._slowed(admitted)
        slower = self._decimator.joins(entry, admitted.decimation)
        self._admitted.grow(admitted.grown)
        self._admitted.add(entry)
        self._rejected.drop(spec.name)
        self._generators.widen()
        self._propagation.publish_proofs()
        self._propagation.publish_tables()
        answer = self._accepted(
            entry.candidate,
            admitted,
            entry.options,
            entry.task_id,
            publish=True,
            loaded=loaded,
            slowed=slowed,
        )
        self._decimator.report(
            slower, DecimationCause.ADMITTED, spec.name, related=answer.rationale.id
        )
        return answer

    def _slowed(self, admitted: Admitted) -> tuple[SlowedTask, ...]:
        """Return whose budgets grow; to be asked before they have."""
        return tuple(
            SlowedTask(name, before.lane, before.candidate.work_ns, grown.work_ns)
            for name, grown in admitted.grown.items()
            if (before := self._admitted.get(name)) is not None
        )

    def _require_followed(self, spec: TaskSpec) -> None:
        """Pass if the task whose results trigger this one is still there.

        Raises:
            Refusal: it was removed meanwhile.
        """
        if spec.follows and self._admitted.get(spec.follows) is None:
            raise Refusal(no_such_task(self._admitted, spec.name, spec.follows))

    def refused_as_cancelled(self, ticket: Ticket) -> Registration:
        """Return the rejection of a request that was cancelled before its turn."""
        return self.refused(
            cancelled_reason(ticket),
            publish=ticket.request is AdmissionRequest.REGISTER,
        )

    def evaluate(self, spec: TaskSpec, ticket: Ticket, without: Sequence[str] = ()) -> Registration:
        """Return what :meth:`register` would answer, and change nothing.

        Args:
            spec: the task.
            ticket: of the request, which has its turn.
            without: admitted tasks to leave out in the question.
        """
        try:
            self._require_known(spec.name, without)
            options, candidate, admitted = self._judge.judge(
                spec, ticket, without=without, measure=False
            )
        except Refusal as refusal:
            return self.refused(refusal.reason, publish=False)
        except AegisError as error:
            return self.refused(Invalid(spec.name, error.rule, str(error)), publish=False)
        return self._accepted(
            candidate,
            admitted,
            options,
            task_id=0,
            publish=False,
            slowed=self._slowed(admitted),
        )

    def unregister(self, name: str, cancelled: Sequence[AdmissionSummary] = ()) -> Registration:
        """Remove a task. Its capacity is given away once its last job can delay nobody more.

        Called under the orchestrator's lock. Its network is unloaded beside it, and its entry in
        the journal's file is left to who holds no lock.

        Args:
            name: of the task.
            cancelled: requests that would have admitted or measured it, and were cancelled.
        """
        entry = self._admitted.get(name)
        if entry is None:
            remembered = self._journal.remembers(name)
            self._journal.forget(name)
            rejected = self._rejected.drop(name)
            if (remembered or rejected is not None) and not cancelled:
                forgotten = TaskForgotten(name, rejected is not None and rejected.from_file)
                return Registration(True, ResultCode.DONE, 0, self._log.report(forgotten))
            if not cancelled:
                return self.unknown(name)
            first = cancelled[0]
            reason = AdmissionCancelled(
                name, str(first.request), str(first.stage), first.done, first.total
            )
            return Registration(True, ResultCode.DONE, 0, self._log.report(reason))
        followers = self._admitted.followers(name)
        if followers:
            return self.refused(Followed(name, followers))
        if not entry.origin.from_file:
            self._journal.forget(name)
        self._decimator.leaves(entry)
        self._admitted.remove(entry)
        self._propagation.publish_tables()
        entry.joint.close()
        self._log.forget(name)
        lane, task = entry.lane, entry.candidate.analysis_task()
        rationale = self._log.report(
            TaskRemoved(
                name,
                lane,
                entry.origin.from_file,
                utilization_before=self._admitted.utilization(lane, [task]),
                utilization_after=self._admitted.utilization(lane),
                kept=tuple(
                    each.spec.name
                    for each in self._admitted
                    if isinstance(basis := each.candidate.wcet_basis, BesideBudget)
                    and basis.neighbour == name
                ),
            )
        )
        self._unloader.put(entry)
        return Registration(True, ResultCode.DONE, entry.task_id, rationale)

    def refused(self, reason: Reason, *, publish: bool = True) -> Registration:
        """Return a rejection, reported if it is to be."""
        rationale = self._log.make(reason)
        if publish:
            self._log.record(rationale)
        return Registration(
            False,
            result_code(reason.rule),
            0,
            rationale,
            rationale.utilization_before,
            rationale.utilization_after,
            rationale.right,
        )

    def unknown(self, name: str) -> Registration:
        """Return the rejection of a request that names a task which is not admitted."""
        return self.refused(no_such_task(self._admitted, name, name))

    def _accepted(
        self,
        candidate: Candidate,
        admitted: Admitted,
        options: Options | None,
        task_id: int,
        *,
        publish: bool,
        loaded: str = "",
        slowed: Sequence[SlowedTask] = (),
    ) -> Registration:
        assert options is not None
        name = candidate.spec.name
        others = [each.spec for each in self._admitted if each.spec.name != name]
        reason = admission_reason(
            candidate,
            admitted,
            options,
            others,
            lanes=self._lanes,
            load_note=loaded,
            neighbours=self._claims.neighbours(admitted.lane),
            slowed=slowed,
            unknown=admitted.unknown,
        )
        rationale = self._log.make(reason)
        if publish:
            self._log.record(rationale)
        return Registration(
            True,
            ResultCode.ADMITTED,
            task_id,
            rationale,
            reason.utilization_before,
            reason.utilization_after,
            rationale.right,
            reason.bound_ns,
            candidate.analysis_task().deadline_ns,
        )

    def _require_known(self, task: str, names: Sequence[str]) -> None:
        for name in names:
            if self._admitted.get(name) is None:
                raise Refusal(no_such_task(self._admitted, task, name))


def _or_refuse(spec: TaskSpec, step: Callable[[], _T]) -> _T:
    """Return what a step returns.

    Raises:
        Refusal: it fails.
        StoppedError: the request was cancelled.
    """
    try:
        return step()
    except StoppedError:
        raise
    except (AegisError, OSError, MemoryError) as error:
        raise Refusal(Failed(spec.name, str(error) or repr(error))) from error
