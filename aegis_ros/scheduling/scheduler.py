"""The scheduler: decides which job's next segment runs on which lane.

A plain object without I/O, threads or a clock ("one scheduler, two clocks"): the engine calls it
with real times, the simulator with virtual ones. Within a lane, jobs are ordered by a
:class:`~aegis_ros.scheduling.policy.Policy` (EDF by default). A segment is never interrupted; a
more urgent job takes over at the next segment boundary (limited preemption with fixed points,
Bertogna & Baruah 2010). Partitioned: every task is bound to one lane.

Budgets are checked where a segment ends. What a job takes beyond its whole budget is owed by its
task and paid back, by time in which the lane has nothing to do and by jobs that are skipped, so
that an overrun stays with the task that caused it.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise

from aegis_ros.rationale import Rule
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.overrun import Overrun
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
from aegis_ros.spec import Criticality, OverrunPolicy

__all__ = ["Scheduler"]

_Entry = tuple[int, int, int, int, Job]
_NO_RANK = -(1 << 63)
# Behind every deadline and every job a table has no place for; those there are served in turn.
_BACKGROUND = 7 << 60
_NO_LIMIT = 1 << 62
_BUSY = -1
_SHED_ORDER = (Criticality.BEST_EFFORT, Criticality.LOW, Criticality.HIGH)


class _Task:
    __slots__ = (
        "_declared_low_ns",
        "_declared_low_total_ns",
        "_declared_ns",
        "_declared_total_ns",
        "background",
        "best_effort",
        "budgets_ns",
        "criticality",
        "exit_after",
        "high",
        "lane",
        "last_rank",
        "limits_ns",
        "low_ns",
        "low_total_ns",
        "marks_ns",
        "on_overrun",
        "owed_ns",
        "owes_little",
        "queue",
        "segments",
        "shares_ns",
        "tell_total_ns",
        "total_ns",
        "waiting",
    )

    def __init__(
        self,
        lane: int,
        segments: int,
        queue: int,
        criticality: Criticality,
        budgets_ns: tuple[int, ...],
        on_overrun: OverrunPolicy | None,
        low_ns: tuple[int, ...],
        exit_after: int,
        totals_ns: tuple[int, int],
        stretch: tuple[float, float],
    ) -> None:
        self.lane = lane
        self.segments = segments
        self.best_effort = criticality is Criticality.BEST_EFFORT
        self.queue = 1 if self.best_effort else queue
        self.criticality = criticality
        self.high = criticality is Criticality.HIGH
        self.waiting: deque[Job] = deque()
        self.last_rank = _NO_RANK
        self.on_overrun = on_overrun if budgets_ns else None
        self.exit_after = exit_after if on_overrun is OverrunPolicy.EARLY_EXIT else 0
        self.owed_ns = 0  # lane time taken beyond the budget and not paid back yet
        self.owes_little = False  # less than a budget
        self.background: Job | None = None  # its job that was demoted
        self._declared_ns = budgets_ns
        self._declared_low_ns = low_ns
        self._declared_total_ns, self._declared_low_total_ns = totals_ns
        self.stretch(*stretch)

    def stretch(self, told: float, enforced: float) -> None:
        """Tell of what takes longer than ``told`` times its budget, act from ``enforced`` times."""
        self.budgets_ns = tuple(math.ceil(part * enforced) for part in self._declared_ns)
        self.low_ns = tuple(math.ceil(part * enforced) for part in self._declared_low_ns)
        # What a segment may take before anything has to be said; empty for any time.
        declared = self._declared_ns if self.on_overrun is not None else self._declared_low_ns
        lowest = map(min, zip(declared, self._declared_low_ns or declared, strict=True))
        self.limits_ns = tuple(math.ceil(part * told) for part in lowest)
        self.total_ns = sum(self.budgets_ns) if self.on_overrun is not None else _NO_LIMIT
        self.low_total_ns = _NO_LIMIT
        # Lane time of a whole job beyond which something has to be said or done. The sum of the
        # segments is no such mark: who exceeds that has exceeded a segment's.
        marks = []
        if self._declared_total_ns and self.on_overrun is not None:
            self.total_ns = min(self.total_ns, math.ceil(self._declared_total_ns * enforced))
            marks += [math.ceil(self._declared_total_ns * told), self.total_ns]
        if self._declared_low_total_ns:
            self.low_total_ns = math.ceil(self._declared_low_total_ns * enforced)
            marks += [math.ceil(self._declared_low_total_ns * told), self.low_total_ns]
        self.marks_ns = tuple(sorted(set(marks)))
        self.tell_total_ns = self.marks_ns[0] if marks else _NO_LIMIT
        shares = [min(self.tell_total_ns, each) for each in accumulate(self.limits_ns)]
        self.shares_ns = tuple(after - before for before, after in pairwise([0, *shares]))

    def allowed_ns(self, segments: int) -> int:
        """Return what the first segments of a job may take together."""
        return min(self.total_ns, sum(self.budgets_ns[:segments]))

    def passes_mark(self, used_ns: int, taken_ns: int) -> bool:
        """Return whether a job has passed a budget of its whole with the segment just ended."""
        return any(used_ns - taken_ns <= mark < used_ns for mark in self.marks_ns)


class Scheduler:
    """Ready queues of all lanes. One caller at a time; nothing here blocks.

    Ties are broken by earlier release, then lower task id, then lower sequence number, so that
    the same events always give the same schedule. Jobs of one task never overtake each other.

    Jobs of best effort run only where nothing else is ready, in turn: each has its place in line
    from its release on, and a newer frame takes the place of the one it displaces, so that a fast
    camera is not always last. The rest of a demoted job waits in the same line.

    Args:
        lanes: number of lanes, at least 1.
        policy: order within a lane.
    """

    def __init__(self, lanes: int, policy: Policy | None = None) -> None:
        """Start with idle lanes and no task."""
        if lanes < 1:
            raise ValueError(f"a scheduler needs at least one lane, got {lanes}")
        self._policy: Policy = Edf() if policy is None else policy
        self._tasks: dict[int, _Task] = {}
        self._ready: list[list[_Entry]] = [[] for _ in range(lanes)]
        self._running: list[Job | None] = [None] * lanes
        self._wake_ns: list[int] = [0] * lanes
        self._waiting = [0] * lanes
        self._shedding = [False] * lanes
        self._owing = [False] * lanes
        self._idle_ns = [_BUSY] * lanes  # since when nothing is to do, while something is owed
        self._overrun: list[Overrun | None] = [None] * lanes
        self._stretch = [(1.0, 1.0)] * lanes
        self._line = _BACKGROUND  # the next place in line of what has no deadline to keep
        # Bound once: attribute look-ups are a measurable part of a dispatch.
        self._priority = self._policy.priority
        self._observer = self._policy if self._policy.observes else None
        self._fills = self._policy.fills
        # A policy that never idles is not asked about each job.
        self._hold_until = None if type(self._policy) is Edf else self._policy.hold_until

    def add_task(
        self,
        task_id: int,
        *,
        lane: int,
        segments: int = 1,
        deadline_ns: int = 0,
        period_ns: int = 0,
        jitter_ns: int = 0,
        criticality: Criticality = Criticality.HIGH,
        queue: int = 1,
        wcet_ns: tuple[int, ...] = (),
        on_overrun: OverrunPolicy | None = None,
        low_ns: tuple[int, ...] = (),
        exit_after: int = 0,
        total_ns: int = 0,
        low_total_ns: int = 0,
    ) -> None:
        """Make a task known. EDF needs no more than lane, segments and queue.

        Args:
            task_id: unique.
            lane: index of the lane it is bound to.
            segments: number of segments of its network, at least 1.
            deadline_ns: relative deadline, 0 for unknown.
            period_ns: minimum inter-arrival time, 0 for unknown.
            jitter_ns: release jitter.
            criticality: tasks below ``HIGH`` are shed by :meth:`shed`.
            queue: how many released jobs may wait, at least 1; of best effort only the newest does.
            wcet_ns: budget of each segment, switch cost included; empty for unknown.
            on_overrun: what becomes of a job that exceeds ``wcet_ns``; ``None`` not to enforce it.
            low_ns: low-mode budget of each segment, which makes the lane :meth:`shed` when it is
                exceeded; empty for never.
            exit_after: number of segments after which its early exit is complete; 0 for none, and
                ``early_exit`` is then ``skip_next``.
            total_ns: budget of a whole job, switch costs included; 0 for the sum of ``wcet_ns``.
                The first k segments may take no more than it, nor than the sum of theirs.
            low_total_ns: the same of ``low_ns``.

        Raises:
            ValueError: a value is out of range or the id is taken.
        """
        if task_id in self._tasks:
            raise ValueError(f"task {task_id} is known already")
        if not 0 <= lane < len(self._ready) or segments < 1 or queue < 1:
            raise ValueError(f"task {task_id}: lane {lane}, segments {segments}, queue {queue}")
        if not 0 <= exit_after < segments:
            raise ValueError(f"task {task_id}: an exit after {exit_after} of {segments} segments")
        for budgets in (wcet_ns, low_ns):
            if budgets and len(budgets) != segments:
                raise ValueError(f"task {task_id}: {len(budgets)} budgets for {segments} segments")
        if self._observer is not None:
            self._observer.admit(
                TaskTiming(
                    task_id,
                    lane,
                    segments,
                    period_ns,
                    deadline_ns,
                    jitter_ns,
                    criticality,
                    wcet_ns,
                )
            )
        self._tasks[task_id] = _Task(
            lane,
            segments,
            queue,
            criticality,
            wcet_ns,
            on_overrun,
            low_ns,
            exit_after,
            (total_ns, low_total_ns),
            self._stretch[lane],
        )

    def remove_task(self, task_id: int) -> list[Job]:
        """Forget a task; return its jobs that were waiting or preempted between segments.

        A job whose segment runs now is finished by the caller as usual: ``segment_done`` returns
        it, whatever segments were left.
        """
        task = self._tasks.pop(task_id)
        running = self._running[task.lane]
        if running is not None and running.task_id == task_id:
            running.displaced = True
            running.reason = Rule.OPERATOR
        if self._observer is not None:
            self._observer.forget(task_id)
        return self._drop(task.lane, {task_id}, Rule.OPERATOR)

    def release(self, job: Job, now_ns: int) -> Job | None:
        """Take in a job; return the job that is dropped for it, if any; its ``reason`` says why.

        That is the oldest waiting job of its task if the queue overflowed, or ``job`` itself
        where its lane sheds tasks of its criticality, where its task has lane time to pay back, or
        where an older job of its task was demoted and has not ended.
        """
        task = self._tasks[job.task_id]
        lane = task.lane
        job.ready_ns = now_ns
        if self._owing[lane] and self._idle_ns[lane] != _BUSY:
            self._pay_back(lane, now_ns)
        if self._shedding[lane] and not task.high:
            job.displaced = True
            job.reason = Rule.CRITICALITY
            return job
        if task.owed_ns > 0:
            task.owed_ns -= task.total_ns
            task.owes_little = False
            job.displaced = True
            job.reason = Rule.OVERRUN
            return job
        if task.background is not None:
            job.displaced = True
            job.reason = Rule.OVERRUN
            return job
        if task.best_effort:
            rank = task.waiting[0].rank if task.waiting else self._next_in_line()
        else:
            rank = self._priority(job)
            if rank < task.last_rank:  # a stamp that went backwards does not overtake
                rank = task.last_rank
            else:
                task.last_rank = rank
        job.rank = rank
        waiting = task.waiting
        displaced = None
        if len(waiting) >= task.queue:
            displaced = waiting.popleft()
            displaced.displaced = True
            displaced.reason = Rule.NEWER_FRAME
        else:
            self._waiting[lane] += 1
        waiting.append(job)
        heappush(self._ready[lane], (rank, now_ns, job.task_id, job.seq, job))
        if self._observer is not None:
            self._observer.released(job, now_ns)
        return displaced

    def dispatch(self, lane: int, now_ns: int) -> Job | None:
        """Return the job whose segment ``job.segment`` must start now on an idle lane.

        ``None`` when the lane is busy, nothing is ready, or the policy idles (``wake_ns``).
        """
        if self._running[lane] is not None:
            return None
        ready = self._ready[lane]
        while ready:
            job = ready[0][4]
            if job.displaced:
                heappop(ready)
                continue
            if self._hold_until is not None:
                hold = self._hold_until(lane, job, now_ns)
                if hold > now_ns:
                    return self._fill(lane, now_ns, hold)
            heappop(ready)
            self._start(lane, job, now_ns)
            return job
        self._wake_ns[lane] = 0
        if self._owing[lane] and self._idle_ns[lane] == _BUSY:
            self._idle_ns[lane] = now_ns
        if self._shedding[lane]:
            self._stop_shedding(lane)
        return None

    def segment_done(self, lane: int, now_ns: int, taken_ns: int = 0) -> Job | None:
        """Note the end of the lane's segment; return the job if it has ended with it.

        A job that ended before its last segment is ``displaced`` where its task was removed or it
        was stopped for an overrun, and ``early`` where it ended at its early exit.
        :meth:`take_overrun` must be asked after every call.

        Args:
            lane: index of the lane.
            now_ns: present time.
            taken_ns: lane time the segment took; 0 where budgets are not enforced.

        Raises:
            ValueError: the lane is idle.
        """
        job = self._running[lane]
        if job is None:
            raise ValueError(f"lane {lane} is idle")
        self._running[lane] = None
        segment = job.segment
        job.segment = segment + 1
        if job.displaced:
            return job
        task = self._tasks[job.task_id]
        job.used_ns += taken_ns
        ended = job.segment >= task.segments
        if job.late and not ended:
            ended = self._leaves(task, job)
        limits = task.limits_ns
        if limits and (
            taken_ns > limits[segment]
            or (ended and job.used_ns > task.total_ns)
            or (job.used_ns > task.tell_total_ns and task.passes_mark(job.used_ns, taken_ns))
        ):
            return self._exceeded(lane, task, job, now_ns, taken_ns, ended)
        if ended:
            if task.background is job:
                task.background = None
            return job
        self._push(lane, task, job)
        return None

    def abandon(self, lane: int, now_ns: int = 0, taken_ns: int = 0) -> Job | None:
        """Give up the job that runs on a lane (it failed, or the lane died); return it.

        Args:
            lane: index of the lane.
            now_ns: present time.
            taken_ns: lane time the failed segment took; it counts like that of any other.
        """
        job = self._running[lane]
        self._running[lane] = None
        if job is None or job.displaced:
            return job
        task = self._tasks[job.task_id]
        job.used_ns += taken_ns
        segment = job.segment
        limits = task.limits_ns
        if limits and (
            taken_ns > limits[segment]
            or job.used_ns > task.total_ns
            or (job.used_ns > task.tell_total_ns and task.passes_mark(job.used_ns, taken_ns))
        ):
            job.segment = segment + 1
            return self._exceeded(lane, task, job, now_ns, taken_ns, ended=True)
        if task.background is job:
            task.background = None
        return job

    def take_overrun(self, lane: int) -> Overrun | None:
        """Return what was decided about the segment that ended last, once; ``None`` for nothing."""
        overrun = self._overrun[lane]
        self._overrun[lane] = None
        return overrun

    def shed(self, lane: int, now_ns: int) -> list[Job]:
        """Enter high-criticality mode: drop what waits below ``HIGH`` and refuse more of it.

        To be called when a job of high criticality exceeds its low-mode budget (Vestal 2007).
        The mode ends when the lane has nothing left to do.

        Returns:
            The jobs dropped, those of best effort first.
        """
        self._shedding[lane] = True
        tasks = self._tasks
        low = {key for key, task in tasks.items() if task.lane == lane and not task.high}
        dropped = self._drop(lane, low, Rule.CRITICALITY)
        dropped.sort(key=lambda job: _SHED_ORDER.index(tasks[job.task_id].criticality))
        if self._observer is not None:
            self._observer.shedding(lane, True)
            self._rank_again(lane)
        return dropped

    def share_ns(self, job: Job) -> int:
        """Return by how much a job's next segment raises what it may have used before it is told.

        In ns; 0 where its budgets are not known.
        """
        shares = self._tasks[job.task_id].shares_ns
        # Of a job that may use no more, not even nothing: that would stand for an unknown budget.
        return max(1, shares[job.segment]) if shares else 0

    def stretch_budgets(self, lane: int, told: float, enforced: float) -> None:
        """Stretch what was declared: a device is slower, or a lane has room.

        Where a set of tasks is proven with all budgets multiplied by a factor, nobody is late for
        a segment that takes so much longer: it is told, and nothing else follows. What the policy
        was told of budgets stays as it was.

        Args:
            lane: index of the lane.
            told: factor on budgets beyond which an overrun is told.
            enforced: factor beyond which something follows from it, not below ``told``.

        Raises:
            ValueError: a factor is not above 0 and finite, or they are the wrong way around.
        """
        if not 0.0 < told <= enforced < math.inf:
            raise ValueError(f"budgets cannot be stretched by {told} and {enforced}")
        self._stretch[lane] = (told, enforced)
        for task in self._tasks.values():
            if task.lane == lane:
                task.stretch(told, enforced)

    def shedding(self, lane: int) -> bool:
        """Return whether the lane is in high-criticality mode."""
        return self._shedding[lane]

    def running(self, lane: int) -> Job | None:
        """Return the job whose segment runs on the lane now."""
        return self._running[lane]

    def waiting(self, lane: int) -> int:
        """Return how many jobs are ready and not running on the lane."""
        return self._waiting[lane]

    def wake_ns(self, lane: int) -> int:
        """Return when ``dispatch`` must be asked again although nothing happens; 0 for never."""
        return self._wake_ns[lane]

    def _push(self, lane: int, task: _Task, job: Job) -> None:
        """Have a job wait for its next segment."""
        if self._hold_until is not None and job.rank < _BACKGROUND:
            job.rank = self._priority(job)  # a table has a place for every segment
        heappush(self._ready[lane], (job.rank, job.ready_ns, job.task_id, job.seq, job))
        self._waiting[lane] += 1

    def _exceeded(
        self, lane: int, task: _Task, job: Job, now_ns: int, taken_ns: int, ended: bool
    ) -> Job | None:
        """Decide what follows from a segment that took too long; return the job if it has ended."""
        segment = job.segment - 1
        dropped: list[Job] = []
        applied: OverrunPolicy | None = None
        owed_ns = 0
        policy = task.on_overrun
        # The rest of a demoted job runs in time that nobody else wants: nothing more is owed.
        if policy is not None and task.background is not job:
            over = job.used_ns > task.allowed_ns(job.segment)
            if over and not ended and policy is not OverrunPolicy.SKIP_NEXT:
                applied = policy
                if policy is OverrunPolicy.STOP:
                    job.displaced = ended = True
                    job.reason = Rule.OVERRUN
                elif policy is OverrunPolicy.DEMOTE:
                    task.background = job
                    job.rank = self._next_in_line()
                elif task.exit_after:
                    ended = self._leaves(task, job)
                else:
                    applied = None
            if job.early:
                applied = policy
            if ended or task.background is job:
                owed_ns = max(0, job.used_ns - task.total_ns)
                task.owed_ns = owed_ns  # what was paid too much before is no credit
                task.owes_little = 0 < owed_ns < task.total_ns
                self._owing[lane] |= task.owes_little
            while task.waiting and (task.owed_ns > 0 or task.background is not None):
                waited = task.waiting.popleft()
                waited.displaced = True
                waited.reason = Rule.OVERRUN
                task.owed_ns -= task.total_ns if task.owed_ns > 0 else 0
                self._waiting[lane] -= 1
                dropped.append(waited)
        if ended:
            if task.background is job:
                task.background = None
        else:
            self._push(lane, task, job)
        low = task.low_ns
        over_low = bool(low) and (taken_ns > low[segment] or job.used_ns > task.low_total_ns)
        sheds = over_low and not self._shedding[lane]
        if sheds:
            dropped += self.shed(lane, now_ns)
        self._overrun[lane] = Overrun(
            job,
            segment,
            taken_ns,
            task.limits_ns[segment],
            job.used_ns,
            applied,
            -(-owed_ns // task.total_ns),
            tuple(dropped),
            sheds,
            absorbed=bool(task.budgets_ns)
            and taken_ns <= task.budgets_ns[segment]
            and job.used_ns <= task.total_ns,
        )
        return job if ended else None

    @staticmethod
    def _leaves(task: _Task, job: Job) -> bool:
        """Return whether a job over its budget ends here; it goes on where it has caught up."""
        job.late = job.used_ns > task.allowed_ns(job.segment)
        job.early = job.late and job.segment >= task.exit_after
        return job.early

    def _next_in_line(self) -> int:
        """Return the rank behind everything that is known."""
        self._line += 1
        return self._line

    def _start(self, lane: int, job: Job, now_ns: int) -> None:
        if job.segment == 0:
            waiting = self._tasks[job.task_id].waiting
            if waiting[0] is job:
                waiting.popleft()
            else:
                waiting.remove(job)
        self._waiting[lane] -= 1
        self._running[lane] = job
        self._idle_ns[lane] = _BUSY
        self._wake_ns[lane] = 0
        if self._observer is not None:
            self._observer.started(lane, job, now_ns)

    def _fill(self, lane: int, now_ns: int, hold_ns: int) -> Job | None:
        """Return a job behind the held one that may start now; else note when to wake."""
        hold_until = self._hold_until
        if self._fills and hold_until is not None:
            kept = sorted(entry for entry in self._ready[lane] if not entry[4].displaced)
            held: set[int] = set()
            for index, entry in enumerate(kept):
                if entry[2] in held:  # an older job of its task waits for a gap
                    continue
                held.add(entry[2])
                hold = hold_until(lane, entry[4], now_ns)
                if hold <= now_ns:
                    del kept[index]
                    self._ready[lane] = kept  # sorted: a heap as it is
                    self._start(lane, entry[4], now_ns)
                    return entry[4]
                hold_ns = min(hold_ns, hold)
        self._wake_ns[lane] = hold_ns
        return None

    def _pay_back(self, lane: int, now_ns: int) -> None:
        """Have the time in which the lane had nothing to do pay for what tasks took too much.

        Only for less than a budget: who takes more often makes others late, and must come less
        often however much time there is between.
        """
        spare = now_ns - self._idle_ns[lane]
        self._idle_ns[lane] = now_ns
        owing = False
        for task in self._tasks.values():
            if task.lane == lane and task.owes_little:
                paid = min(spare, task.owed_ns)
                task.owed_ns -= paid
                spare -= paid
                task.owes_little = task.owed_ns > 0
                owing |= task.owes_little
        self._owing[lane] = owing

    def _stop_shedding(self, lane: int) -> None:
        self._shedding[lane] = False
        if self._observer is not None:
            self._observer.shedding(lane, False)
            for task in self._tasks.values():  # nothing waits that a new job could overtake
                if task.lane == lane:
                    task.last_rank = _NO_RANK

    def _rank_again(self, lane: int) -> None:
        for task in self._tasks.values():
            if task.lane == lane:
                task.last_rank = _NO_RANK
        ranked: list[_Entry] = []
        for _, ready_ns, task_id, seq, job in sorted(self._ready[lane]):
            task = self._tasks[task_id]
            if job.displaced:
                continue
            if job.rank >= _BACKGROUND:
                ranked.append((job.rank, ready_ns, task_id, seq, job))
                continue
            task.last_rank = job.rank = max(self._priority(job), task.last_rank)
            ranked.append((job.rank, ready_ns, task_id, seq, job))
        heapify(ranked)
        self._ready[lane] = ranked

    def _drop(self, lane: int, task_ids: set[int], reason: Rule) -> list[Job]:
        dropped: list[Job] = []
        kept: list[_Entry] = []
        for entry in sorted(self._ready[lane]):
            job = entry[4]
            if job.displaced:
                continue
            if job.task_id in task_ids:
                job.displaced = True
                job.reason = reason
                dropped.append(job)
            else:
                kept.append(entry)
        for task_id in task_ids:
            if task_id in self._tasks:
                task = self._tasks[task_id]
                task.waiting.clear()
                if task.background is not None and task.background.displaced:
                    task.background = None
        self._ready[lane] = kept
        self._waiting[lane] = len(kept)
        return dropped
