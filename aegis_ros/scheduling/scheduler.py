"""The scheduler: decides which job's next segment runs on which lane.

A plain object without I/O, threads or a clock ("one scheduler, two clocks"): the engine calls it
with real times, the simulator with virtual ones. Within a lane, jobs are ordered by a
:class:`~aegis_ros.scheduling.policy.Policy` (EDF by default). A segment is never interrupted; a
more urgent job takes over at the next segment boundary (limited preemption with fixed points,
Bertogna & Baruah 2010). Partitioned: every task is bound to one lane.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import Edf, Policy

__all__ = ["Scheduler"]

_Entry = tuple[int, int, int, int, Job]


class _Task:
    __slots__ = ("lane", "queue", "segments", "waiting")

    def __init__(self, lane: int, segments: int, queue: int) -> None:
        self.lane = lane
        self.segments = segments
        self.queue = queue
        self.waiting: deque[Job] = deque()


class Scheduler:
    """Ready queues of all lanes. One caller at a time; nothing here blocks.

    Ties are broken by earlier release, then lower task id, then lower sequence number, so that
    the same events always give the same schedule.

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
        # Bound once: attribute look-ups are a measurable part of a dispatch.
        self._priority = self._policy.priority
        self._hold_until = self._policy.hold_until

    def add_task(self, task_id: int, *, lane: int, segments: int = 1, queue: int = 1) -> None:
        """Make a task known.

        Args:
            task_id: unique.
            lane: index of the lane it is bound to.
            segments: number of segments of its network, at least 1.
            queue: how many released jobs may wait, at least 1.

        Raises:
            ValueError: a value is out of range or the id is taken.
        """
        if task_id in self._tasks:
            raise ValueError(f"task {task_id} is known already")
        if not 0 <= lane < len(self._ready) or segments < 1 or queue < 1:
            raise ValueError(f"task {task_id}: lane {lane}, segments {segments}, queue {queue}")
        self._tasks[task_id] = _Task(lane, segments, queue)

    def remove_task(self, task_id: int) -> list[Job]:
        """Forget a task; return its jobs that were waiting or preempted between segments.

        A job whose segment runs now is finished by the caller as usual: ``segment_done`` returns
        it, whatever segments were left.
        """
        task = self._tasks.pop(task_id)
        dropped: list[Job] = []
        kept: list[_Entry] = []
        for entry in sorted(self._ready[task.lane]):
            job = entry[4]
            if job.displaced:
                continue
            if job.task_id == task_id:
                job.displaced = True
                dropped.append(job)
            else:
                kept.append(entry)
        self._ready[task.lane] = kept
        return dropped

    def release(self, job: Job, now_ns: int) -> Job | None:
        """Take in a job; return the oldest waiting job of its task if the queue overflowed."""
        task = self._tasks[job.task_id]
        job.ready_ns = now_ns
        waiting = task.waiting
        displaced = None
        if len(waiting) >= task.queue:
            displaced = waiting.popleft()
            displaced.displaced = True
        waiting.append(job)
        heappush(self._ready[task.lane], (self._priority(job), now_ns, job.task_id, job.seq, job))
        return displaced

    def dispatch(self, lane: int, now_ns: int) -> Job | None:
        """Return the job whose segment ``job.segment`` must start now on an idle lane.

        ``None`` when the lane is busy, nothing is ready, or the policy idles (``wake_ns``).
        """
        if self._running[lane] is not None:
            return None
        ready = self._ready[lane]
        while ready:
            entry = ready[0]
            job = entry[4]
            if job.displaced:
                heappop(ready)
                continue
            hold = self._hold_until(lane, job, now_ns)
            if hold > now_ns:
                self._wake_ns[lane] = hold
                return None
            heappop(ready)
            if job.segment == 0:
                waiting = self._tasks[job.task_id].waiting
                if waiting[0] is job:
                    waiting.popleft()
                else:
                    waiting.remove(job)
            self._running[lane] = job
            self._wake_ns[lane] = 0
            return job
        self._wake_ns[lane] = 0
        return None

    def segment_done(self, lane: int, now_ns: int) -> Job | None:
        """Note the end of the lane's segment; return the job if it was its last.

        Raises:
            ValueError: the lane is idle.
        """
        job = self._running[lane]
        if job is None:
            raise ValueError(f"lane {lane} is idle")
        self._running[lane] = None
        job.segment += 1
        task = self._tasks.get(job.task_id)
        if task is None or job.segment >= task.segments:
            return job
        heappush(self._ready[lane], (self._priority(job), job.ready_ns, job.task_id, job.seq, job))
        return None

    def abandon(self, lane: int) -> Job | None:
        """Give up the job that runs on a lane (it failed, or the lane died); return it."""
        job = self._running[lane]
        self._running[lane] = None
        return job

    def running(self, lane: int) -> Job | None:
        """Return the job whose segment runs on the lane now."""
        return self._running[lane]

    def waiting(self, lane: int) -> int:
        """Return how many jobs are ready and not running on the lane."""
        return sum(not entry[4].displaced for entry in self._ready[lane])

    def wake_ns(self, lane: int) -> int:
        """Return when ``dispatch`` must be asked again although nothing happens; 0 for never."""
        return self._wake_ns[lane]
