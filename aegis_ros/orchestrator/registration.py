"""Admits and removes tasks, each as one transaction: all of it happens, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aegis_ros.errors import AegisError, StateError
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.answers import admission_reason
from aegis_ros.orchestrator.decimator import Decimator
from aegis_ros.orchestrator.intake import FedTask
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.judging import Judge, no_such_task
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.moving import Mover
from aegis_ros.orchestrator.propagation import Propagation
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.types import Registration
from aegis_ros.orchestrator.window import window_ns
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.lane_choice import Admitted
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Reason, ResultCode, result_code
from aegis_ros.rationale.decimation import DecimationCause
from aegis_ros.rationale.rejection import Failed, Followed, Invalid
from aegis_ros.rationale.requests import TaskRemoved
from aegis_ros.spec import TaskSpec

__all__ = ["Registrar"]


class Registrar:
    """Carries out what was decided. Called under the orchestrator's lock.

    Args:
        lanes: how many there are.
        admitted: the tasks.
        judge: decides.
        loader: loads networks.
        mover: moves running tasks out of the way.
        decimator: changes how many frames tasks take.
        propagation: carries what has changed to the other parts.
        journal: remembers the tasks that are in no file.
        log: where decisions are reported.
        new_id: returns an id that no task has had.
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
        log: RationaleLog,
        new_id: Callable[[], int],
    ) -> None:
        """Register nothing yet."""
        self._lanes = lanes
        self._admitted = admitted
        self._judge = judge
        self._loader = loader
        self._mover = mover
        self._decimator = decimator
        self._propagation = propagation
        self._journal = journal
        self._log = log
        self._new_id = new_id

    def register(self, spec: TaskSpec, *, from_file: bool) -> Registration:
        """Admit a task and load it; a rejection leaves everything as it was.

        Args:
            spec: the task.
            from_file: whether it is configured, and so need not be remembered.
        """
        self._judge.arrived(spec.name)
        try:
            options, candidate, admitted = self._judge.judge(spec, measure=True)
        except Refusal as refusal:
            return self.refused(refusal.reason)
        except AegisError as error:
            return self.refused(Invalid(spec.name, error.rule, str(error)))
        try:
            for move in admitted.moves:
                self._mover.move(move, spec.name)
        except (AegisError, OSError, MemoryError) as error:
            return self.refused(Failed(spec.name, str(error) or repr(error)))
        statistics = TaskStatistics(window_ns(spec.period_ns))
        task_id = self._new_id()
        entry = Entry(
            task_id,
            candidate,
            admitted.lane,
            self._loader.streams_for(spec, self._admitted),
            FedTask(task_id, spec, statistics),
            statistics,
            from_file,
            options=options,
        )
        try:
            loaded = self._loader.load(entry)
        except (AegisError, OSError, MemoryError) as error:
            return self.refused(Failed(spec.name, str(error) or repr(error)))
        if not from_file:
            try:
                self._journal.add(spec)
            except StateError as error:
                self._propagation.unload(entry)
                return self.refused(Invalid(spec.name, error.rule, str(error)))
        slower = self._decimator.joins(entry, admitted.decimation)
        self._admitted.add(entry)
        self._propagation.publish_proofs()
        self._propagation.publish_tables()
        answer = self._accepted(candidate, admitted, options, task_id, publish=True, loaded=loaded)
        self._decimator.report(
            slower, DecimationCause.ADMITTED, spec.name, related=answer.rationale.id
        )
        return answer

    def evaluate(self, spec: TaskSpec, without: Sequence[str] = ()) -> Registration:
        """Return what :meth:`register` would answer, and change nothing.

        Args:
            spec: the task.
            without: admitted tasks to leave out in the question.
        """
        try:
            self._require_known(spec.name, without)
            options, candidate, admitted = self._judge.judge(spec, without=without, measure=False)
        except Refusal as refusal:
            return self.refused(refusal.reason, publish=False)
        except AegisError as error:
            return self.refused(Invalid(spec.name, error.rule, str(error)), publish=False)
        return self._accepted(candidate, admitted, options, task_id=0, publish=False)

    def unregister(self, name: str) -> Registration:
        """Remove a task. Its capacity is given away once its last job can delay nobody more."""
        entry = self._admitted.get(name)
        if entry is None:
            return self.unknown(name)
        followers = self._admitted.followers(name)
        if followers:
            return self.refused(Followed(name, followers))
        try:
            if not entry.from_file:
                self._journal.remove(name)
        except StateError as error:
            return self.refused(Invalid(name, error.rule, str(error)))
        self._decimator.leaves(entry)
        self._admitted.remove(entry)
        self._propagation.publish_tables()
        self._log.forget(name)
        self._propagation.publish_proofs()
        self._propagation.unload(entry)
        lane, task = entry.lane, entry.candidate.analysis_task()
        rationale = self._log.report(
            TaskRemoved(
                name,
                lane,
                entry.from_file,
                utilization_before=self._admitted.utilization(lane, [task]),
                utilization_after=self._admitted.utilization(lane),
            )
        )
        if self._decimator.refresh():
            self._propagation.publish_proofs()
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
        options: Options,
        task_id: int,
        *,
        publish: bool,
        loaded: str = "",
    ) -> Registration:
        name = candidate.spec.name
        others = [each.spec for each in self._admitted if each.spec.name != name]
        reason = admission_reason(
            candidate,
            admitted,
            options,
            others,
            lanes=self._lanes,
            load_note=loaded,
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
