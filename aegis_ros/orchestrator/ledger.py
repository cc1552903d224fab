"""Books what becomes of every frame: each is counted and reported once, whoever drops it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aegis_ros.orchestrator.fed_task import FedTask
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.frames import FrameTooEarly
from aegis_ros.trace.balance import Balance

__all__ = ["Ledger"]

_KEPT = 16  # accounts of tasks that are gone: their last results may still be on their way


class Ledger:
    """Counts frames that give no result, and reports why. May be called from any thread.

    The account of a task outlives it, so that what was on its way when it went is counted, too.

    Args:
        log: where it is reported.
        note: called for each frame that becomes no job, with the id of the task, the number of its
            next job, the rule and the time (monotonic nanoseconds).
    """

    def __init__(
        self,
        log: RationaleLog,
        note: Callable[[int, int, Rule, int], None] = lambda task_id, job, rule, now_ns: None,
    ) -> None:
        """Begin with nothing booked."""
        self._log = log
        self._note = note
        self._lock = threading.Lock()
        self._accounts: dict[int, TaskStatistics] = {}  # by the id of the task
        self._names: dict[int, str] = {}
        self._closed: list[int] = []  # ids, the oldest first
        self._settled = Balance()  # of accounts that are kept no more

    def open(self, task_id: int, name: str, statistics: TaskStatistics) -> None:
        """Book what becomes of the frames of a task, also under another id of it."""
        with self._lock:
            self._accounts[task_id] = statistics
            self._names[task_id] = name

    def close(self, task_id: int) -> None:
        """Note that no frame comes for a task any more; what is on its way still counts."""
        with self._lock:
            closed = self._accounts.get(task_id)
            if closed is not None:
                self._closed.append(task_id)
                if all(
                    each is not closed or number in self._closed
                    for number, each in self._accounts.items()
                ):
                    closed.retire()
            while len(self._closed) > _KEPT:
                gone = self._closed.pop(0)
                statistics = self._accounts.pop(gone)
                del self._names[gone]
                if all(each is not statistics for each in self._accounts.values()):
                    self._settled += statistics.balance

    def clear(self) -> None:
        """Forget everything: the next frame is the first."""
        with self._lock:
            self._accounts.clear()
            self._names.clear()
            self._closed.clear()
            self._settled = Balance()

    def account(self, task_id: int) -> TaskStatistics | None:
        """Return the account of a task, also of one that went lately."""
        return self._accounts.get(task_id)

    def balance(self) -> Balance:
        """Return what became of all frames of all tasks since the node was configured."""
        with self._lock:
            whole = self._settled
            accounts = {id(each): each for each in self._accounts.values()}
        for each in accounts.values():
            whole += each.balance
        return whole

    def balances(self) -> dict[str, Balance]:
        """Return what became of the frames of each task, by name; those that are gone as well."""
        with self._lock:
            accounts = {
                id(each): (self._names[number], each) for number, each in self._accounts.items()
            }
        found: dict[str, Balance] = {}
        for name, each in accounts.values():
            found[name] = found.get(name, Balance()) + each.balance
        return found

    # -- frames that become no job ------------------------------------------------------------

    def gated(self, task: FedTask, reason: Reason, now_ns: int) -> None:
        """Book a frame that becomes no job."""
        task.statistics.drop(reason)
        self._note(task.task_id, task.next_seq, reason.rule, now_ns)
        self._log.report_often(reason)

    def early(self, task: FedTask, topic: str, now_ns: int) -> None:
        """Book a frame that came too early; they are reported together."""
        spec = task.spec
        task.statistics.drop(
            FrameTooEarly(spec.name, task.next_seq, topic, spec.period_ns, spec.release_jitter_ns)
        )
        self._note(task.task_id, task.next_seq, Rule.RATE_GATE, now_ns)
        if task.early.due(now_ns):
            self.report_early(task, topic, now_ns)

    def report_early(self, task: FedTask, topic: str, now_ns: int) -> None:
        """Report the frames that came too early since the last report, if any did."""
        found = task.early.take(now_ns, task.next_seq, topic)
        if found is not None:
            reason, count = found
            task.statistics.explain(reason)
            self._log.report(reason, count=count)

    def decimated(self, task: FedTask, now_ns: int) -> None:
        """Book a frame that is left out because only every n-th is taken."""
        task.statistics.decimate()
        self._note(task.task_id, task.next_seq, Rule.DECIMATION, now_ns)

    # -- jobs without a result ----------------------------------------------------------------

    def ended(self, task_id: int, reason: Reason) -> None:
        """Book a job that gives no result."""
        statistics = self.account(task_id)
        if statistics is not None:
            statistics.drop(reason)
        self._log.report_often(reason)

    def lost(self, task_id: int, reason: Reason, count: int, *, related: int) -> None:
        """Book jobs that went with the engine; ``related`` is the id of why it went."""
        statistics = self.account(task_id)
        if statistics is not None:
            statistics.drop(reason, count)
        self._log.report(reason, count=count, related=related)
