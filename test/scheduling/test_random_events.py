"""Whatever happens, on however many lanes: each job ends once, and no lane forgets to wake up."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import (
    Actions,
    Dispatch,
    EarlyExitPlan,
    ExecutionPlan,
    Finished,
    Job,
    Policy,
    Restored,
    Scheduler,
    SegmentPlan,
    Shed,
    Skipped,
    Slot,
    Table,
    VirtualDeadlines,
    WakeAt,
)
from aegis_ros.spec import Criticality, OverrunPolicy


class Wandering:
    """A plan that goes wherever an outcome sends it."""

    steps, total_ns, exit_after, branches = 3, 9, 0, True

    def first(self) -> int:
        return 1

    def after(self, step: int, outcome: object) -> int | None:
        assert isinstance(outcome, int)
        return outcome % 3 if outcome > 1 else None

    def limit(self, step: int) -> int:
        return (5, 3, 2)[step]

    def remaining_ns(self, step: int) -> int:
        return self.limit(step)


PLANS: tuple[ExecutionPlan, ...] = (
    SegmentPlan(2, (2, 2)),
    SegmentPlan(3, (1, 2, 3), 5),
    EarlyExitPlan(3, (2, 2, 2), 5, exit_after=1),
    SegmentPlan(1, (3,)),
    Wandering(),
)
LOW = {0: SegmentPlan(2, (1, 1)), 1: SegmentPlan(3, (1, 1, 1), 2), 3: SegmentPlan(1, (2,))}
LEVELS = (Criticality.HIGH, Criticality.LOW, Criticality.BEST_EFFORT)
TASK = st.tuples(
    st.integers(0, 3),
    st.integers(0, len(PLANS) - 1),
    st.integers(0, 2),
    st.integers(1, 3),
    st.sampled_from([None, *OverrunPolicy]),
    st.booleans(),
)
EVENT = st.tuples(
    st.sampled_from("rrrrttttssssawzkgmn"),
    st.integers(0, 5),
    st.integers(0, 6),
    st.integers(0, 8),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy | None:
    table = Table({0: [Slot(0, 0, 0, 2, 4), Slot(0, 0, 1, 6, 8)], 1: [Slot(1, 0, 0, 1, 4)]}, 10)
    return draw(st.sampled_from([None, VirtualDeadlines({0: 5, 1: 3}), table]))


class Watched:
    """A scheduler, and what its answers say of jobs and lanes."""

    def __init__(self, scheduler: Scheduler, lanes: int) -> None:
        self.scheduler = scheduler
        self.lanes = range(lanes)
        self.now = 0
        self.lane_of: dict[Job, int] = {}
        self.gone: set[Job] = set()
        self.running: list[Job | None] = [None] * lanes
        self.reserved = [False] * lanes
        self.wakes: list[int | None] = [None] * lanes
        self.shedding = [False] * lanes

    def hear(self, actions: Actions, *, ticking: bool = False) -> None:
        for action in actions:
            if isinstance(action, Dispatch):
                (job,) = action.jobs
                assert ticking and self.lane_of[job] == action.lane and job not in self.gone
                assert self.running[action.lane] is None and not self.reserved[action.lane]
                self.running[action.lane], self.wakes[action.lane] = job, None
            elif isinstance(action, (Finished, Skipped)):
                assert action.job in self.lane_of and action.job not in self.gone
                self.gone.add(action.job)
            elif isinstance(action, WakeAt):
                assert ticking and self.running[action.lane] is None and action.time_ns > self.now
                self.wakes[action.lane] = action.time_ns
            elif isinstance(action, Shed):
                self.shedding[action.lane] = True
            elif isinstance(action, Restored):
                assert self.shedding[action.lane]
                self.shedding[action.lane] = False

    def left(self, lane: int) -> int:
        return sum(
            at == lane and job not in self.gone and job is not self.running[lane]
            for job, at in self.lane_of.items()
        )

    def tick(self) -> None:
        self.wakes = [None if at is not None and at <= self.now else at for at in self.wakes]
        self.hear(self.scheduler.tick(self.now), ticking=True)
        for lane in self.lanes:
            if self.running[lane] is None and not self.reserved[lane] and self.left(lane):
                assert self.wakes[lane] is not None

    def end(self, lane: int, taken_ns: int, outcome: int) -> None:
        self.running[lane] = None
        self.hear(self.scheduler.step_done(lane, self.now, taken_ns, outcome))

    def give_back(self, lane: int) -> None:
        if self.reserved[lane]:
            self.reserved[lane] = False
            self.scheduler.give_back(lane)

    def drain(self) -> None:
        for lane in self.lanes:
            self.give_back(lane)
        self.tick()
        while any(job not in self.gone for job in self.lane_of):
            busy = [lane for lane in self.lanes if self.running[lane] is not None]
            self.now = self.now + 1 if busy else min(at for at in self.wakes if at is not None)
            for lane in busy:
                self.end(lane, 1, 0)
            self.tick()
        assert not any(self.shedding)


@given(policies(), st.integers(1, 4), st.lists(TASK, min_size=1, max_size=6), st.lists(EVENT))
def test_each_job_ends_once_on_its_lane_and_no_lane_forgets_one(
    policy: Policy | None,
    lanes: int,
    tasks: list[tuple[int, int, int, int, OverrunPolicy | None, bool]],
    events: list[tuple[str, int, int, int]],
) -> None:
    scheduler = Scheduler(lanes, policy)
    watched = Watched(scheduler, lanes)
    known: set[int] = set()

    def add(task: int) -> None:
        lane, plan, level, queue, on_overrun, low = tasks[task]
        with suppress(ConfigError):  # the table has no place for it on that lane
            scheduler.add_task(
                task,
                lane=lane % lanes,
                plan=PLANS[plan],
                deadline_ns=10 + task,
                period_ns=10,
                criticality=LEVELS[level],
                queue=queue,
                on_overrun=on_overrun,
                low=LOW.get(plan) if low else None,
            )
            known.add(task)

    for task in range(len(tasks)):
        add(task)
    for seq, (event, number, step, value) in enumerate(events):
        watched.now += step
        task, lane = number % len(tasks), number % lanes
        running = watched.running[lane]
        if event == "r" and task in known:
            job = Job(task, seq, watched.now - value % 3, watched.now + 10 + task)
            watched.lane_of[job] = tasks[task][0] % lanes
            watched.hear(scheduler.release(job, watched.now))
        elif event == "t":
            watched.tick()
        elif event == "s" and running is not None:
            watched.end(lane, value, value)
        elif event == "a" and running is not None:
            watched.running[lane] = None
            watched.hear(scheduler.abandon(lane, watched.now, value))
            assert running in watched.gone
        elif event == "w":
            watched.hear(scheduler.shed(lane))
        elif event == "z":
            scheduler.stretch_budgets(lane, (value + 1) / 4, (value + 1) * (number + 1) / 4)
        elif event == "k" and scheduler.reserve(lane):
            assert running is None
            watched.reserved[lane] = True
        elif event == "g":
            watched.give_back(lane)
        elif event == "m" and task in known:
            known.remove(task)
            watched.hear(scheduler.remove(task))
        elif event == "n" and task not in known:
            add(task)
        for each in watched.lanes:
            present = watched.running[each]
            assert scheduler.running(each) == (() if present is None else (present,))
            assert scheduler.waiting(each) == watched.left(each)
    watched.drain()
