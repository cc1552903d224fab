"""The scheduler: events in, actions out; decides which job's next step runs on which lane.

A plain object without I/O, threads or a clock ("one scheduler, two clocks"): the engine feeds it
events with real times, the simulator with virtual ones, on all lanes at once. Within a lane, jobs
are ordered by a :class:`~aegis_ros.scheduling.policy.Policy` (EDF by default). A step is never
interrupted; a more urgent job takes over where it ends (limited preemption with fixed points,
Bertogna & Baruah 2010). Partitioned: every task is bound to one lane.

All events of one instant come first, in any order; ``tick`` then says what starts.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from operator import index

from aegis_ros.rationale import Rule
from aegis_ros.scheduling.actions import (
    Action,
    Actions,
    Dispatch,
    Finished,
    Overrun,
    Restored,
    Shed,
    Skipped,
    WakeAt,
)
from aegis_ros.scheduling.budgets import Budget
from aegis_ros.scheduling.job import BEGUN, DROPPED, EARLY, LATE, NEW, Job
from aegis_ros.scheduling.plans import ExecutionPlan, SegmentPlan
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
from aegis_ros.scheduling.promise import Promise
from aegis_ros.spec import Criticality, OverrunPolicy

__all__ = ["Scheduler"]

_Entry = tuple[int, int, int, int, Job, "_Task"]  # rank, release, task, number: the order
_NO_RANK = -(1 << 63)
# Behind every deadline and every job a table has no place for; those there are served in turn.
_BACKGROUND = 7 << 60
_BUSY = -1
_SHED_ORDER = (Criticality.BEST_EFFORT, Criticality.LOW, Criticality.HIGH)
_NOTHING: Actions = ()
_WHOLE = SegmentPlan()


class _Lane:
    """The state of one lane; ``idle`` from a tick that had nothing to start to the next event."""

    __slots__ = (
        "action",
        "answer",
        "entry",
        "idle",
        "idle_ns",
        "index",
        "next_due",
        "owing",
        "promised",
        "ready",
        "reserved",
        "running",
        "shedding",
        "stale",
        "strained",
        "stretch",
    )
    entry: _Entry  # of the job that runs

    def __init__(self, index: int) -> None:
        self.index = index
        self.ready: list[_Entry] = []
        self.stale = 0  # dropped jobs that are still in `ready`
        self.running: tuple[Job, ...] | None = None
        self.idle = True
        self.reserved = False
        self.next_due: _Lane | None = None
        self.shedding = False
        self.strained = False  # a release may be refused: it sheds, or somebody owes
        self.owing = False  # somebody owes what idle time may repay
        self.promised: tuple[_Task, ...] = ()  # those with a promise
        self.idle_ns = _BUSY  # since when nothing is to do, while something is owed
        self.stretch = (1.0, 1.0)
        # The usual answer, made once.
        self.action = Dispatch(index)
        self.answer: list[Action] = [self.action]


class _Task:
    __slots__ = (
        "after",
        "background",
        "best_effort",
        "budget",
        "checked",
        "criticality",
        "first",
        "follows",
        "high",
        "lane",
        "last_rank",
        "promise",
        "queue",
        "steps",
        "waiting",
    )

    def __init__(
        self,
        *,
        lane: _Lane,
        plan: ExecutionPlan,
        queue: int,
        criticality: Criticality,
        budget: Budget,
        promise: Promise | None,
    ) -> None:
        self.lane = lane
        self.steps = plan.steps
        self.first = self.known(plan.first())
        self.after = plan.after
        self.follows: tuple[int | None, ...] | None = None
        if not plan.branches:
            after = [plan.after(step, None) for step in range(plan.steps)]
            self.follows = tuple(None if step is None else self.known(step) for step in after)
        self.promise = promise
        # Whose jobs wait in line; those with a promise leave it while that covers them.
        self.best_effort = criticality is Criticality.BEST_EFFORT or promise is not None
        self.queue = 1 if self.best_effort else queue
        self.criticality = criticality
        self.high = criticality is Criticality.HIGH
        self.budget = budget
        self.checked = bool(budget.limits_ns)
        self.waiting: deque[Job] = deque()
        self.last_rank = _NO_RANK
        self.background: Job | None = None  # its job that was demoted

    def known(self, step: object) -> int:
        """Return a step that a plan names; refuse what is none of its steps."""
        try:
            number = index(step)  # type: ignore[arg-type]  # a plan may name anything
        except TypeError:
            number = -1
        if not 0 <= number < self.steps:
            raise ValueError(f"the plan goes on with step {step!r}, and has {self.steps} steps")
        return number


class Scheduler:
    """Ready queues of all lanes. One caller at a time; nothing here blocks.

    Ties are broken by earlier release, then lower task id, then lower sequence number, so that
    the same events always give the same schedule. Jobs of one task never overtake each other.

    Jobs of best effort run only where nothing else is ready, in turn: each has its place in line
    from its release on, and a newer frame takes the place of the one it displaces, so that a fast
    camera is not always last. The rest of a demoted job waits in the same line. A job whose plan
    goes back to a step, as a generator does for each token, goes to the end of that line: however
    long its answer becomes, the others have their turns between. One with a promise waits there,
    too, and has a deadline while that covers a bucket
    (:class:`~aegis_ros.scheduling.promise.Promise`).

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
        self._lanes = tuple(_Lane(index) for index in range(lanes))
        self._line = _BACKGROUND  # the next place in line of what has no deadline to keep
        # Lanes on which something may start, each with the next one. No list: one that grows from
        # nothing and becomes empty again allocates each time.
        self._due: _Lane | None = None
        self._held: dict[_Lane, int] = {}  # lanes that idle on purpose, and until when
        # Bound once: attribute look-ups are a measurable part of a dispatch.
        self._priority = self._policy.priority
        self._observer = self._policy if self._policy.observes else None
        self._reranks = self._policy.reranks
        self._fills = self._policy.fills
        self._hold_until = self._policy.hold_until if self._policy.idles else None
        # The usual answer to the end of a job, made once.
        self._finished = Finished(Job(-1, -1, 0, 0))
        self._one_finished: list[Action] = [self._finished]

    # -- the set of tasks ---------------------------------------------------------------------

    def add_task(
        self,
        task_id: int,
        *,
        lane: int,
        plan: ExecutionPlan = _WHOLE,
        deadline_ns: int = 0,
        period_ns: int = 0,
        jitter_ns: int = 0,
        criticality: Criticality = Criticality.HIGH,
        queue: int = 1,
        on_overrun: OverrunPolicy | None = None,
        low: ExecutionPlan | None = None,
        promise: Promise | None = None,
    ) -> None:
        """Add a task. EDF needs no more than lane, plan and queue.

        Args:
            task_id: unique.
            lane: index of the lane it is bound to.
            plan: what its jobs are made of, and what each step may take.
            deadline_ns: relative deadline, 0 for unknown.
            period_ns: minimum inter-arrival time, 0 for unknown.
            jitter_ns: release jitter.
            criticality: tasks below ``HIGH`` are shed by :meth:`shed`.
            queue: how many released jobs may wait, at least 1; of best effort only the newest does.
            on_overrun: what becomes of a job that exceeds ``plan``; ``None`` not to enforce it.
                Where the plan has no early exit, ``early_exit`` is ``skip_next``.
            low: low-mode budgets of the same steps, which make the lane :meth:`shed` when they are
                exceeded; ``None`` for never.
            promise: what a generator is promised; the rest of its work is of best effort. Its
                deadlines are those of EDF, and of other policies no business.

        Raises:
            ValueError: a value or a step of the plan is out of range, or the id is taken.
        """
        if task_id in self._tasks:
            raise ValueError(f"task {task_id} is known already")
        if not 0 <= lane < len(self._lanes) or queue < 1:
            raise ValueError(f"task {task_id}: lane {lane}, queue {queue}")
        if low is not None and low.steps != plan.steps:
            raise ValueError(f"task {task_id}: low budgets of {low.steps} for {plan.steps} steps")
        where = self._lanes[lane]
        task = _Task(
            lane=where,
            plan=plan,
            queue=queue,
            criticality=criticality,
            budget=Budget(plan, low, on_overrun, where.stretch),
            promise=promise,
        )
        if promise is not None:
            where.promised = (*where.promised, task)
        if self._observer is not None:
            self._observer.admit(
                TaskTiming(
                    task_id=task_id,
                    lane=lane,
                    plan=plan,
                    period_ns=period_ns,
                    deadline_ns=deadline_ns,
                    jitter_ns=jitter_ns,
                    criticality=criticality,
                )
            )
        self._tasks[task_id] = task

    def remove(self, task_id: int) -> Actions:
        """Forget a task; its jobs that wait, or wait between two steps, are skipped.

        A job whose step runs now is skipped when that has ended, whatever steps were left.
        """
        task = self._tasks.pop(task_id)
        lane = task.lane
        lane.promised = tuple(each for each in lane.promised if each is not task)
        for job in lane.running or ():
            if job.task_id == task_id:
                job.state = DROPPED
        if self._observer is not None:
            self._observer.forget(task_id)
        dropped = self._drop(lane, {task_id})
        self._look_at(lane)
        return [Skipped(job, Rule.OPERATOR) for job in dropped]

    def change_budgets(
        self, task_id: int, plan: ExecutionPlan, low: ExecutionPlan | None = None
    ) -> None:
        """Hold a task to other budgets of the same steps, from the next step that ends on.

        What it owes stays owed. The budgets that the policy knows do not change.

        Args:
            task_id: of the task.
            plan: with as many steps as the one it was added with.
            low: as for :meth:`add_task`.

        Raises:
            KeyError: there is no such task.
            ValueError: a plan has other steps.
        """
        task = self._tasks[task_id]
        if any(each.steps != task.steps for each in (plan, low) if each is not None):
            raise ValueError(f"task {task_id}: budgets of other steps than its {task.steps}")
        task.budget.change(plan, low)
        task.checked = bool(task.budget.limits_ns)

    def stretch_budgets(self, lane: int, reported: float, enforced: float) -> None:
        """Scale all budgets of a lane: a device is slower, or the proof leaves a reserve.

        Where a set of tasks is proven with all budgets multiplied by a factor, a step that takes
        that much longer makes no job late: it is reported, without consequences. The budgets that
        the policy knows do not change.

        Args:
            lane: index of the lane.
            reported: factor on budgets beyond which an overrun is reported.
            enforced: factor beyond which something follows from it, not below ``reported``.

        Raises:
            ValueError: a factor is not above 0 and finite, or they are the wrong way around.
        """
        if not 0.0 < reported <= enforced < math.inf:
            raise ValueError(f"budgets cannot be stretched by {reported} and {enforced}")
        where = self._lanes[lane]
        where.stretch = (reported, enforced)
        for task in self._tasks.values():
            if task.lane is where:
                task.budget.stretch(reported, enforced)

    # -- events -------------------------------------------------------------------------------

    def release(self, job: Job, now_ns: int) -> Actions:
        """Take in a job; answers with :class:`Skipped` where one is dropped.

        That is the oldest waiting job of its task if the queue overflowed, or ``job`` itself
        where its lane sheds tasks of its criticality, where its task has lane time to repay, or
        where an older job of its task was demoted and has not ended.
        """
        task = self._tasks[job.task_id]
        lane = task.lane
        job.ready_ns = now_ns
        if lane.strained:
            rule = self._refusal(lane, task, now_ns)
            if rule is not None:
                job.state = DROPPED
                return [Skipped(job, rule)]
        job.step = task.first
        waiting = task.waiting
        if task.best_effort:
            rank = self._place_in_line(task)
        else:
            rank = self._priority(job)
            if rank < task.last_rank:  # a stamp that went backwards does not overtake
                rank = task.last_rank
            else:
                task.last_rank = rank
        job.rank = rank
        if task.checked:
            job.used_ns = job.allowed_ns = 0
        heappush(lane.ready, (rank, now_ns, job.task_id, job.seq, job, task))
        if self._observer is not None:
            self._observer.released(job, now_ns)
        if lane.idle:
            lane.idle = False
            lane.next_due = self._due
            self._due = lane
        waiting.append(job)
        if len(waiting) > task.queue:
            displaced = waiting.popleft()
            displaced.state = DROPPED
            lane.stale += 1
            return [Skipped(displaced, Rule.NEWER_FRAME)]
        return _NOTHING

    def step_done(
        self, lane: int, now_ns: int, taken_ns: int = 0, outcome: object = None
    ) -> Actions:
        """Note the end of a lane's work; answers with the outcome of its jobs.

        :class:`Finished` for a job that has ended with it, :class:`Skipped` for one that was
        stopped or whose task was removed, before it :class:`Overrun` and what follows from that.

        Args:
            lane: index of the lane.
            now_ns: present time.
            taken_ns: lane time it took; 0 where budgets are not enforced.
            outcome: what the backend made of it, for plans whose steps depend on that.

        Raises:
            ValueError: the lane is idle.
            Exception: the plan cannot say what follows, in any way; its job still runs, and can be
                given up by :meth:`abandon`.
        """
        where = self._lanes[lane]
        jobs = where.running
        if jobs is None:
            raise ValueError(f"lane {lane} is idle")
        where.running = None
        where.next_due = self._due
        self._due = where
        (job,) = jobs
        if job.state == DROPPED:
            return [Skipped(job, Rule.OPERATOR)]
        entry = where.entry
        task = entry[5]
        step = job.step
        follows = task.follows
        following = follows[step] if follows is not None else self._branch(task, job, outcome)
        if task.checked:
            budget = task.budget
            job.used_ns += taken_ns
            job.allowed_ns += budget.declared_ns[step]
            if job.state == LATE and following is not None and budget.leaves(job, step):
                following = None
            if follows is None and following is not None and budget.is_endless(job):
                return self._exceeded(
                    where, task, job, taken_ns=taken_ns, following=None, stopped=True
                )
            if taken_ns > budget.limits_ns[step] or (
                job.used_ns > budget.least_total_ns
                and budget.is_exceeded(job, step, taken_ns, ended=following is None)
            ):
                return self._exceeded(where, task, job, taken_ns=taken_ns, following=following)
            if following is None and task.background is job:
                task.background = None
        if following is None:
            self._finished.job = job
            return self._one_finished
        job.step = following
        if task.promise is not None:
            self._spend(task, job, following, taken_ns)
            entry = (job.rank, job.ready_ns, job.task_id, job.seq, job, task)
        elif job.rank >= _BACKGROUND:
            if following <= step:
                job.rank = self._place_in_line(task)
                entry = (job.rank, job.ready_ns, job.task_id, job.seq, job, task)
        elif self._reranks:
            job.rank = self._priority(job)  # a table has a place for every step
            entry = (job.rank, job.ready_ns, job.task_id, job.seq, job, task)
        heappush(where.ready, entry)
        return _NOTHING

    def abandon(
        self,
        lane: int,
        now_ns: int,
        taken_ns: int = 0,
        *,
        rule: Rule = Rule.RUN_FAILED,
        detail: str = "",
    ) -> Actions:
        """Abandon the jobs that run on a lane; answers with :class:`Skipped` for each.

        Args:
            lane: index of the lane.
            now_ns: present time.
            taken_ns: lane time the failed work took; it counts like that of any other.
            rule: why they are abandoned.
            detail: more of it, handed on.
        """
        where = self._lanes[lane]
        jobs = where.running
        if jobs is None:
            return _NOTHING
        where.running = None
        where.next_due = self._due
        self._due = where
        actions: list[Action] = []
        for job in jobs:
            if job.state == DROPPED:
                actions.append(Skipped(job, rule, detail))
                continue
            task = self._tasks[job.task_id]
            if task.checked:
                budget = task.budget
                job.used_ns += taken_ns
                job.allowed_ns += budget.declared_ns[job.step]
                if budget.is_exceeded(job, job.step, taken_ns, ended=True):
                    exceeded = self._exceeded(where, task, job, taken_ns=taken_ns, following=None)
                    actions += [each for each in exceeded if type(each) is not Finished]
            if task.background is job:
                task.background = None
            job.state = DROPPED
            actions.append(Skipped(job, rule, detail))
        return actions

    def shed(self, lane: int) -> Actions:
        """Enter high-criticality mode: drop waiting jobs below ``HIGH`` and refuse new ones.

        To be called when a job of high criticality exceeds its low-mode budget (Vestal 2007);
        jobs of best effort are dropped first. The mode ends when the lane next goes idle.
        """
        return self._shed(self._lanes[lane])

    def tick(self, now_ns: int) -> Actions:
        """Answer with what starts now: :class:`Dispatch` for idle lanes on which a job is ready.

        Also :class:`WakeAt` for each lane that idles on purpose, and :class:`Restored` for one
        that has gone idle after it had shed. To be called after all events of this
        instant.
        """
        held = self._held
        if held:
            for each, until_ns in held.items():
                if until_ns <= now_ns:
                    self._look_at(each)
        lane = self._due
        if lane is None:
            return _NOTHING
        if lane.next_due is not None:
            return self._decide_in_turn(lane, now_ns)
        self._due = None
        if held:
            held.pop(lane, None)
        if lane.promised:
            self._cover(lane, now_ns)
        ready = lane.ready
        while ready:
            entry = ready[0]
            if entry[4].state == DROPPED:
                heappop(ready)
                lane.stale -= 1
                continue
            if self._hold_until is None:
                heappop(ready)
            else:
                chosen = self._choose(lane, now_ns)
                if chosen is None:
                    return [WakeAt(lane.index, held[lane])]
                entry = chosen
            job = entry[4]
            if job.state == NEW:
                job.state = BEGUN
                waiting = entry[5].waiting
                if waiting[0] is job:
                    waiting.popleft()
                else:  # a policy let it overtake
                    waiting.remove(job)
            if self._observer is not None:
                self._observer.started(lane.index, job, now_ns)
            lane.entry = entry
            lane.idle_ns = _BUSY
            lane.action.jobs = lane.running = (job,)
            return lane.answer
        lane.idle = True
        if lane.owing and lane.idle_ns == _BUSY:
            lane.idle_ns = now_ns
        if lane.shedding:
            self._stop_shedding(lane)
            return [Restored(lane.index)]
        return _NOTHING

    # -- timed runs ---------------------------------------------------------------------------

    def reserve(self, lane: int) -> bool:
        """Reserve an idle lane for the caller; return whether that succeeded.

        No lane is idle before the tick that follows its last event.
        """
        where = self._lanes[lane]
        if not where.idle or where.ready:
            return False
        where.idle = False
        where.reserved = True
        return True

    def give_back(self, lane: int) -> None:
        """Release a reserved lane."""
        where = self._lanes[lane]
        if where.reserved:
            where.reserved = False
            self._ask(where)

    # -- state --------------------------------------------------------------------------------

    def share_ns(self, job: Job) -> int:
        """Return by how much a job's step raises what it may have used before it is reported.

        In ns; 0 where its budgets are not known.
        """
        return self._tasks[job.task_id].budget.share_ns(job)

    def shedding(self, lane: int) -> bool:
        """Return whether the lane is in high-criticality mode."""
        return self._lanes[lane].shedding

    def running(self, lane: int) -> tuple[Job, ...]:
        """Return the jobs whose step runs on the lane now; empty for none."""
        return self._lanes[lane].running or ()

    def waiting(self, lane: int) -> int:
        """Return how many jobs are ready and not running on the lane."""
        where = self._lanes[lane]
        return len(where.ready) - where.stale

    # -- inside -------------------------------------------------------------------------------

    def _branch(self, task: _Task, job: Job, outcome: object) -> int | None:
        """Return what a plan has follow from an outcome; if it raises, the job still runs."""
        try:
            following = task.after(job.step, outcome)
            return None if following is None else task.known(following)
        except Exception:
            lane = task.lane
            lane.running = (job,)
            self._due = lane.next_due
            raise

    def _look_at(self, lane: _Lane) -> None:
        """Let the next tick decide about a lane, if it is idle."""
        if lane.idle:
            lane.idle = False
            self._ask(lane)

    def _ask(self, lane: _Lane) -> None:
        """Let the next tick decide about a lane."""
        lane.next_due = self._due
        self._due = lane

    def _shed(self, lane: _Lane) -> list[Action]:
        actions: list[Action] = [Shed(lane.index)]
        lane.shedding = lane.strained = True
        tasks = self._tasks
        low = {key for key, task in tasks.items() if task.lane is lane and not task.high}
        dropped = self._drop(lane, low)
        dropped.sort(key=lambda job: _SHED_ORDER.index(tasks[job.task_id].criticality))
        actions += [Skipped(job, Rule.CRITICALITY) for job in dropped]
        if self._observer is not None:
            self._observer.shedding(lane.index, True)
        if self._reranks:
            self._rank_again(lane)
        self._look_at(lane)
        return actions

    def _decide_in_turn(self, first: _Lane, now_ns: int) -> Actions:
        """Decide about several lanes, in their order."""
        lanes = []
        lane: _Lane | None = first
        while lane is not None:
            lanes.append(lane)
            lane = lane.next_due
        actions: list[Action] = []
        for each in sorted(lanes, key=lambda each: each.index):
            each.next_due = None
            self._due = each
            actions += self.tick(now_ns)
        return actions

    def _exceeded(
        self,
        lane: _Lane,
        task: _Task,
        job: Job,
        *,
        taken_ns: int,
        following: int | None,
        stopped: bool = False,
    ) -> list[Action]:
        """Decide what follows from a step that took too long, or has a job end that would not."""
        step = job.step
        budget = task.budget
        ended = following is None
        applied: OverrunPolicy | None = None
        skips = 0
        dropped: list[Job] = []
        policy = budget.policy
        # The rest of a demoted job runs in time that nobody else wants: nothing more is owed.
        if policy is not None and task.background is not job:
            if not ended and policy is not OverrunPolicy.SKIP_NEXT and budget.is_over(job):
                applied = policy
                if policy is OverrunPolicy.STOP:
                    stopped = ended = True
                elif policy is OverrunPolicy.DEMOTE:
                    task.background = job
                    lane.strained = True
                    job.rank = self._next_in_line()
                elif budget.has_exit:
                    ended = budget.leaves(job, step)
                else:
                    applied = None
            if job.state == EARLY:
                applied = policy
            if ended or task.background is job:
                skips = budget.charge(job.seq, job.used_ns)
                lane.strained |= skips > 0
                lane.owing |= budget.idle_repays
            while task.waiting and (budget.owed_ns > 0 or task.background is not None):
                waited = task.waiting.popleft()
                waited.state = DROPPED
                if budget.owed_ns > 0:
                    budget.owed_ns -= budget.total_ns
                lane.stale += 1
                dropped.append(waited)
        if ended:
            if task.background is job:
                task.background = None
        else:
            assert following is not None
            job.step = following
            if task.promise is not None:
                self._spend(task, job, following, taken_ns)
            elif job.rank >= _BACKGROUND and following <= step:
                job.rank = self._place_in_line(task)
            heappush(lane.ready, (job.rank, job.ready_ns, job.task_id, job.seq, job, task))
        over_low = budget.is_over_low(step, taken_ns, job.used_ns)
        sheds = over_low and not lane.shedding
        actions: list[Action] = [
            Overrun(
                lane=lane.index,
                job=job,
                step=step,
                taken_ns=taken_ns,
                budget_ns=budget.limits_ns[step],
                used_ns=job.used_ns,
                applied=applied,
                skips=skips,
                sheds=sheds,
                absorbed=budget.is_absorbed(step, taken_ns, job.used_ns),
            )
        ]
        actions += [Skipped(each, Rule.OVERRUN) for each in dropped]
        if sheds:
            actions += self._shed(lane)
        if stopped:
            job.state = DROPPED
            actions.append(Skipped(job, Rule.OVERRUN, stopped=True))
        elif ended:
            actions.append(Finished(job))
        return actions

    def _next_in_line(self) -> int:
        """Return a rank behind all current ones."""
        self._line += 1
        return self._line

    def _place_in_line(self, task: _Task) -> int:
        """Return the place of a task's job: the last one, or that of a job of its own that waits.

        Of two in the same place, the one released first runs first.
        """
        waiting = task.waiting
        return waiting[0].rank if waiting else self._next_in_line()

    def _spend(self, task: _Task, job: Job, following: int, taken_ns: int) -> None:
        """Note a step of a job with a promise; one that begins a bucket waits in line again."""
        promise = task.promise
        assert promise is not None
        if job.rank < _BACKGROUND:
            promise.spend(taken_ns)
        if promise.begins(following):
            job.rank = self._place_in_line(task)

    def _cover(self, lane: _Lane, now_ns: int) -> None:
        """Give jobs in line whose promise is due their deadlines."""
        for task in lane.promised:
            promise = task.promise
            assert promise is not None
            if promise.due_ns > now_ns:
                continue
            for place, entry in enumerate(lane.ready):
                job = entry[4]
                if entry[5] is task and job.rank >= _BACKGROUND and job.state != DROPPED:
                    job.rank = promise.cover(job.step, job.ready_ns)
                    lane.ready[place] = (job.rank, *entry[1:])
                    heapify(lane.ready)
                    break

    def _choose(self, lane: _Lane, now_ns: int) -> _Entry | None:
        """Take the first job that the policy lets start out of line; else hold the lane."""
        hold_until = self._hold_until
        assert hold_until is not None
        hold_ns = hold_until(lane.index, lane.ready[0][4], now_ns)
        if hold_ns <= now_ns:
            return heappop(lane.ready)
        if self._fills:
            kept = sorted(entry for entry in lane.ready if entry[4].state != DROPPED)
            held: set[int] = set()
            for index, entry in enumerate(kept):
                if entry[2] in held:  # an older job of its task waits for a gap
                    continue
                held.add(entry[2])
                hold = hold_until(lane.index, entry[4], now_ns)
                if hold <= now_ns:
                    del kept[index]
                    lane.ready = kept  # sorted: a heap as it is
                    lane.stale = 0
                    return entry
                hold_ns = min(hold_ns, hold)
        lane.idle = True
        self._held[lane] = hold_ns
        return None

    def _refusal(self, lane: _Lane, task: _Task, now_ns: int) -> Rule | None:
        """Return why a job of a task is refused now; ``None`` where it is not."""
        if lane.owing and lane.idle_ns != _BUSY:
            self._repay(lane, now_ns)
        if lane.shedding and not task.high:
            return Rule.CRITICALITY
        if task.budget.owed_ns > 0:
            task.budget.skip_one()
            return Rule.OVERRUN
        if task.background is not None:
            return Rule.OVERRUN
        lane.strained = lane.shedding or any(
            each.lane is lane and (each.budget.owed_ns > 0 or each.background is not None)
            for each in self._tasks.values()
        )
        return None

    def _repay(self, lane: _Lane, now_ns: int) -> None:
        """Repay overruns of tasks with the idle time of the lane."""
        spare = now_ns - lane.idle_ns
        lane.idle_ns = now_ns
        owing = False
        for task in self._tasks.values():
            if task.lane is lane and task.budget.idle_repays:
                spare -= task.budget.repay(spare)
                owing |= task.budget.idle_repays
        lane.owing = owing

    def _stop_shedding(self, lane: _Lane) -> None:
        lane.shedding = False
        if self._observer is not None:
            self._observer.shedding(lane.index, False)
        if self._reranks:
            for task in self._tasks.values():  # nothing waits that a new job could overtake
                if task.lane is lane:
                    task.last_rank = _NO_RANK

    def _rank_again(self, lane: _Lane) -> None:
        for task in self._tasks.values():
            if task.lane is lane:
                task.last_rank = _NO_RANK
        ranked: list[_Entry] = []
        for _, ready_ns, task_id, seq, job, task in sorted(lane.ready):
            if job.state == DROPPED:
                continue
            if job.rank < _BACKGROUND:
                task.last_rank = job.rank = max(self._priority(job), task.last_rank)
            ranked.append((job.rank, ready_ns, task_id, seq, job, task))
        heapify(ranked)
        lane.ready = ranked
        lane.stale = 0

    def _drop(self, lane: _Lane, task_ids: set[int]) -> list[Job]:
        dropped: list[Job] = []
        kept: list[_Entry] = []
        for entry in sorted(lane.ready):
            job = entry[4]
            if job.state == DROPPED:
                continue
            if job.task_id in task_ids:
                job.state = DROPPED
                dropped.append(job)
            else:
                kept.append(entry)
        for task_id in task_ids:
            if task_id in self._tasks:
                task = self._tasks[task_id]
                task.waiting.clear()
                if task.background is not None and task.background.state == DROPPED:
                    task.background = None
        lane.ready = kept
        lane.stale = 0
        return dropped
