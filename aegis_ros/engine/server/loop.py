"""The engine's loop: frames in, segments onto lanes, results out; the hot path.

Frames come in on the loop's thread. Where a segment ends, the lane's own thread asks the scheduler
for the next one and runs it, so that a busy lane waits for no other thread. One lock, held for some
tens of microseconds a record or a segment, guards all of it. No I/O but the sockets, and nothing
allocated that can be kept: records are unpacked from one buffer, arrays of slots are made when a
network is loaded.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident

from aegis_ros.backends.base import MOST_INPUTS, Arrays, Completion, Runtime, Shapes, Work
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.server.host import collect_garbage
from aegis_ros.engine.server.loaded import InputChannel, JobFrame, LoadedTask, ProfileRun
from aegis_ros.engine.server.outbox import Outbox
from aegis_ros.engine.server.tracing import LoopTrace
from aegis_ros.engine.types import ChannelSpec
from aegis_ros.engine.wire import (
    MAX_RECORD_BYTES,
    OUTPUT_FREE,
    PLACE_BYTES,
    SUBMIT,
    Kind,
    unpack_places,
)
from aegis_ros.errors import BackendError
from aegis_ros.network.generator.ending import Ending
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import (
    Actions,
    Dispatch,
    ExecutionPlan,
    Finished,
    Job,
    Overrun,
    Promise,
    Restored,
    Scheduler,
    SegmentPlan,
    Shed,
    Skipped,
    WakeAt,
)
from aegis_ros.spec import Criticality, OverrunPolicy

__all__ = ["EngineLoop"]

_HEARTBEAT_S = 0.1
_MOST_KNOWN = 256  # places whose arrays are kept; frames of ever new sizes need ever new ones
_SUBMIT, _OUTPUT_FREE = int(Kind.SUBMIT), int(Kind.OUTPUT_FREE)
_SUBMIT_BYTES = SUBMIT.size
_GARBAGE_INTERVAL_NS = 10_000_000_000
_LATEST_NS = 1 << 62  # of a monotonic clock


class EngineLoop:
    """Owns scheduler and lanes. ``run`` is the loop; ``call`` is for other threads.

    Args:
        backend: to be opened with :meth:`ended` before ``run``.
        frames: non-blocking SOCK_SEQPACKET socket to the node.
        page: shared page the node watches.
        lanes: number of lanes.
        scheduler: what decides; one that knows no task yet, for as many lanes.
    """

    def __init__(
        self,
        backend: Runtime,
        frames: socket.socket,
        page: EnginePage,
        lanes: int,
        *,
        scheduler: Scheduler | None = None,
    ) -> None:
        """Prepare everything; nothing runs yet."""
        self._backend = backend
        self._lock = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._frames = frames
        self._page = page
        self._lanes = lanes
        self._scheduler = Scheduler(lanes) if scheduler is None else scheduler
        self._shed_since_ns = [0] * lanes  # 0: the lane takes all
        # Until when the scheduler keeps a lane idle; 0: it does not. And whether it ever has.
        self._wake_ns = [0] * lanes
        self._holds = False
        self._page_version = 0
        self.trace: LoopTrace | None = None
        self._tasks: dict[int, LoadedTask] = {}
        self._channels: dict[int, InputChannel] = {}
        self._inputs: dict[bytes, Arrays] = {}  # by their places in a record
        self._profiles: list[deque[ProfileRun]] = [deque() for _ in range(lanes)]
        self._to_profile = 0  # runs that wait in all of them
        self._profiling: list[ProfileRun | None] = [None] * lanes
        self._work = [
            Work([], partial=self.partial) for _ in range(lanes)
        ]  # of the jobs; one at a time
        self._awaited: list[int | None] = [None] * lanes  # token of what each lane runs
        self._token = 0  # a multiple of the number of lanes
        self._starting = 0  # the thread that is inside a backend's `start`; it holds the lock
        self._orphans: dict[int, tuple[LoadedTask, Callable[[LoadedTask | None], None]]] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._buffer = bytearray(MAX_RECORD_BYTES)
        self._record = memoryview(self._buffer)
        self._running = True
        self._epoll = select.epoll()
        self._outbox = Outbox(frames, self._epoll, self._end)

    def ended(self, token: int, completion: Completion) -> None:
        """Take the end of a work and start the next; may be called from any thread.

        A token that is not awaited (any more) is ignored.

        Raises:
            BackendError: it was called from inside ``start``.
        """
        if self._starting and self._starting == get_ident():
            raise _reported_too_early()
        lane = token % self._lanes
        try:
            with self._lock:
                if self._awaited[lane] != token:
                    return
                self._awaited[lane] = None
                now = time.monotonic_ns()
                self._complete(lane, completion, now)
                self._tick(now)
                if self._awaited[lane] is None:
                    self._work[lane].parts.clear()  # an idle lane keeps nothing of a job alive
                    if self._wake_ns[lane]:  # the loop sleeps for too long
                        os.eventfd_write(self._wake_fd, 1)
        except BaseException:
            self.stop()
            raise

    def partial(self, token: int, part: int, outputs: int, shapes: Shapes | None = None) -> None:
        """Report outputs that are complete before the end; may be called from any thread.

        A token that is not awaited (any more) is ignored; so are timed runs.

        Raises:
            BackendError: it was called from inside ``start``.
        """
        if self._starting and self._starting == get_ident():
            raise _reported_too_early()
        lane = token % self._lanes
        with self._lock:
            if self._awaited[lane] != token or self._profiling[lane] is not None:
                return
            job = self._scheduler.running(lane)[part]
            frame = job.payload
            assert isinstance(frame, JobFrame) and frame.task is not None
            if shapes is not None:
                frame.task.slots.note_extents(frame.output, shapes)
            self._outbox.partial(job, frame, outputs)
            frame.partials += 1

    def spoken(
        self, task_id: int, slot: int, number: int, count: int, *, ending: Ending | None, text: str
    ) -> None:
        """Report what a generator has said; may be called from any thread."""
        with self._lock:
            self._outbox.spoken(task_id, slot, number, count, ending=ending, text=text)

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop's thread run ``function`` soon; may be called from any thread."""
        self._calls.append(function)
        os.eventfd_write(self._wake_fd, 1)

    def stop(self) -> None:
        """End the loop; may be called from any thread."""
        self.call(self._end)

    def add_channel(self, index: int, spec: ChannelSpec, memory: SharedMemory) -> None:
        """Make a channel known (under :meth:`call`)."""
        self._channels[index] = InputChannel(spec, memory)

    def remove_channel(self, index: int) -> None:
        """Forget a channel no task uses (under :meth:`call`)."""
        self._inputs.clear()
        channel = self._channels.pop(index, None)
        if channel is not None:
            channel.close()

    def add_task(
        self,
        task: LoadedTask,
        queue: int,
        *,
        plan: ExecutionPlan | None = None,
        criticality: Criticality = Criticality.HIGH,
        on_overrun: OverrunPolicy = OverrunPolicy.SKIP_NEXT,
        promise: Promise | None = None,
    ) -> None:
        """Make a task known (under :meth:`call`); as in :class:`~aegis_ros.engine.LoadSpec`."""
        if plan is None:
            plan = SegmentPlan(task.network.segments)
        self._scheduler.add_task(
            task.task_id,
            lane=task.lane,
            plan=plan,
            criticality=criticality,
            queue=queue,
            on_overrun=on_overrun,
            low=plan if criticality is Criticality.HIGH else None,
            promise=promise,
        )
        self._tasks[task.task_id] = task

    def change_budgets(self, task_id: int, plan: ExecutionPlan, criticality: Criticality) -> None:
        """Hold a task to other budgets of the same steps (under :meth:`call`); none if unknown.

        Raises:
            ValueError: the plan has other steps.
        """
        if task_id in self._tasks:
            low = plan if criticality is Criticality.HIGH else None
            self._scheduler.change_budgets(task_id, plan, low)

    def remove_task(self, task_id: int, removed: Callable[[LoadedTask | None], None]) -> None:
        """Forget a task (under :meth:`call`).

        ``removed`` is called when its network runs no more.
        """
        task = self._tasks.pop(task_id, None)
        if task is None:
            removed(None)
            return
        self._follow(self._scheduler.remove(task_id), time.monotonic_ns())
        if any(job.task_id == task_id for job in self._scheduler.running(task.lane)):
            self._orphans[task.lane] = (task, removed)
            return
        removed(task)

    def profile(self, lane: int, run: ProfileRun) -> None:
        """Queue one timed run (under :meth:`call`)."""
        self._profiles[lane].append(run)
        self._to_profile += 1
        self._tick(time.monotonic_ns())

    def run(self) -> None:
        """Serve until ``stop`` or until the node is gone."""
        epoll = self._epoll
        frames_fd = self._frames.fileno()
        epoll.register(frames_fd, select.EPOLLIN)
        epoll.register(self._wake_fd, select.EPOLLIN)
        clock = time.monotonic_ns
        page = self._page
        tidied = clock()
        while self._running:
            now = clock()
            page.beat(now)
            if page.version != self._page_version:
                self._page_version = page.version
                with self._lock:
                    for lane in range(self._lanes):
                        self._scheduler.stretch_budgets(lane, *page.stretch(lane))
            events = epoll.poll(self._timeout_s())
            if not events and now - tidied > _GARBAGE_INTERVAL_NS and self._idle():
                collect_garbage()
                tidied = now
            for fd, event in events:
                if fd == self._wake_fd:
                    os.eventfd_read(self._wake_fd)
                elif event & select.EPOLLIN:
                    self._receive()
                elif event & select.EPOLLOUT:
                    with self._lock:
                        self._outbox.flush()
                else:
                    self._running = False
            while self._calls:
                function = self._calls.popleft()
                with self._lock:
                    function()
            with self._lock:
                self._tick(clock())

    def _idle(self) -> bool:
        return not any(self._scheduler.running(lane) for lane in range(self._lanes))

    def _end(self) -> None:
        self._running = False

    def _timeout_s(self) -> float:
        timeout = _HEARTBEAT_S
        for wake in self._wake_ns:
            if wake:
                timeout = min(timeout, max(0.0, (wake - time.monotonic_ns()) / 1e9))
        return timeout

    def _receive(self) -> None:
        buffer = self._buffer
        while True:
            try:
                size = self._frames.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if size == 0:
                self._running = False
                return
            with self._lock:  # for one record, so that a lane never waits for a burst of them
                kind, count = buffer[0], buffer[1]
                if kind == _SUBMIT:
                    if count <= MOST_INPUTS and size == _SUBMIT_BYTES + PLACE_BYTES * count:
                        self._release(buffer, size)
                elif kind == _OUTPUT_FREE and size == OUTPUT_FREE.size:
                    _, task_id, slot = OUTPUT_FREE.unpack_from(buffer)
                    task = self._tasks.get(task_id)
                    if task is not None and slot < task.slots.count and slot not in task.free:
                        task.free.append(slot)

    def _release(self, buffer: bytearray, size: int) -> None:
        _, _, task_id, seq, arrival, received, deadline = SUBMIT.unpack_from(buffer)
        now = time.monotonic_ns()
        task = self._tasks.get(task_id)
        frame = JobFrame(task, bytes(self._record[_SUBMIT_BYTES:size]))
        job = Job(task_id, seq, arrival, deadline, payload=frame)
        if task is None:
            self._skip(job, Rule.STATE, "the task is not loaded")
            return
        actions = self._scheduler.release(job, now)
        if self.trace is not None:
            self.trace.released(job, task.lane, received, now)
        taken_in = True
        for action in actions:
            assert type(action) is Skipped
            taken_in = taken_in and action.job is not job
            self._skip(action.job, action.rule, action.detail)
        if not self._scheduler.running(task.lane):
            self._tick(now)
        elif taken_in and task.ahead is None:
            self._bring(job, task)

    def _tick(self, now: int) -> None:
        """Start whatever may start now: jobs, and timed runs where there is nothing else to do."""
        if self._holds:
            for lane, wake in enumerate(self._wake_ns):
                if wake and wake <= now:
                    self._wake_ns[lane] = 0
        failed = True
        while failed:
            failed = False
            for action in self._scheduler.tick(now):
                if type(action) is Dispatch:
                    failed |= not self._begin(action.lane, action.jobs[0], now)
                elif type(action) is WakeAt:
                    self._wake_ns[action.lane] = action.time_ns
                    self._holds = True
                elif type(action) is Restored:
                    self._restored(action.lane, now)
        if self._to_profile:
            for lane, runs in enumerate(self._profiles):
                if runs and self._scheduler.reserve(lane):
                    self._to_profile -= 1
                    self._start_profile(lane, runs.popleft())

    def _begin(self, lane: int, job: Job, now: int) -> bool:
        """Have a lane run a job's next step; ``False`` where it cannot, and the job is skipped."""
        if self._holds:
            self._wake_ns[lane] = 0
        frame: JobFrame = job.payload  # type: ignore[assignment]  # checked where jobs are made
        task: LoadedTask = frame.task  # type: ignore[assignment]
        part = task.part
        begins = frame.output < 0
        if begins:
            problem = self._place(frame, task)
            if problem is not None:
                rule, text = problem
                self._follow(self._scheduler.abandon(lane, now, rule=rule, detail=text), now)
                return False
            part.prefetched, task.ahead = task.ahead is job, None
        else:
            part.prefetched = False
        part.inputs, part.outputs = frame.inputs, frame.outputs
        work = self._work[lane]
        work.parts[:] = task.parts
        work.step = job.step
        # First: what crashes as soon as it begins is blamed by what stands there.
        self._page.lane_busy(lane, job.task_id, now)
        try:
            self._start(lane, work)
        except Exception as error:  # a backend may fail in any way; its job is skipped
            self._page.lane_idle(lane, 0, self._scheduler.waiting(lane))
            self._follow(
                self._scheduler.abandon(lane, now, detail=f"{type(error).__name__}: {error}"), now
            )
            return False
        if self.trace is not None:  # while the lane wakes up; the step's end waits for the lock
            self.trace.started(job, lane, now, self._scheduler.share_ns(job))
        return True

    def _start(self, lane: int, work: Work) -> None:
        """Have a lane run a work under a token of its own; raises what the backend raises."""
        self._token += self._lanes
        work.token = self._awaited[lane] = self._token + lane
        self._starting = get_ident()
        try:
            self._backend.start(lane, work)
        except Exception:
            self._awaited[lane] = None
            raise
        finally:
            self._starting = 0

    def _bring(self, job: Job, task: LoadedTask) -> None:
        """Have a waiting job's frame brought to the device while the lane is busy."""
        frame = job.payload
        assert isinstance(frame, JobFrame)
        try:
            inputs = self._arrays(frame.places)
        except (KeyError, TypeError, ValueError):
            return  # reported when its turn has come
        try:
            begun = self._backend.prefetch(task.network, inputs)
        except Exception:  # a backend may fail in any way; its start fetches what is missing
            return
        if begun:
            task.ahead = job

    def _place(self, frame: JobFrame, task: LoadedTask) -> tuple[Rule, str] | None:
        """Find the inputs' memory and a slot for the outputs; return why that cannot be."""
        if not task.free:
            return Rule.LIMIT, "all output slots are held by the node"
        try:
            frame.inputs = self._arrays(frame.places)
        except KeyError:
            return Rule.STATE, "the frame's channel is closed"
        except (TypeError, ValueError) as error:
            return Rule.RUN_FAILED, f"the frame does not fit its slot ({error})"
        frame.output = task.free.pop()
        frame.outputs = task.slots.arrays(frame.output)
        return None

    def _arrays(self, places: bytes) -> Arrays:
        """Return the frames in some places; the same places are used again and again.

        Raises:
            KeyError: a channel is closed.
            TypeError, ValueError: a shape does not fit.
        """
        arrays = self._inputs.get(places)
        if arrays is None:
            arrays = tuple(
                self._channels[channel].frame(slot, shape)
                for channel, slot, shape in unpack_places(places)
            )
            if len(self._inputs) == _MOST_KNOWN:
                self._inputs.clear()
            self._inputs[places] = arrays
        return arrays

    def _start_profile(self, lane: int, run: ProfileRun) -> None:
        self._profiling[lane] = run
        now = time.monotonic_ns()
        self._page.lane_busy(lane, -2, now)
        if self.trace is not None:
            self.trace.timed_run(lane, now, begins=True)
        try:
            self._start(lane, run.work)
        except Exception as error:
            self._profiling[lane] = None
            self._scheduler.give_back(lane)
            self._page.lane_idle(lane, 0, self._scheduler.waiting(lane))
            run.finish(0, f"{type(error).__name__}: {error}")

    def _complete(self, lane: int, completion: Completion, now: int) -> None:
        try:
            finished = completion.finished_ns
            taken = finished - completion.started_ns
            sound = type(taken) is int and 0 <= taken <= finished < _LATEST_NS
        except Exception:  # a backend may report anything
            sound = False
        if not sound or type(completion.error) is not str:
            text = f"its backend reported {completion!r:.200}, which is no completion"
            completion, taken = Completion(now, now, text), 0
        run = self._profiling[lane]
        # What a timed run takes is no load of the tasks.
        used = taken if run is None else 0
        self._page.lane_idle(lane, used, self._scheduler.waiting(lane))
        if run is not None:
            if self.trace is not None:
                self.trace.timed_run(lane, now, begins=False)
            self._profiling[lane] = None
            self._scheduler.give_back(lane)
            run.finish(taken, completion.error)
            return
        for job in self._scheduler.running(lane):
            frame: JobFrame = job.payload  # type: ignore[assignment]
            if not frame.started_ns:
                frame.started_ns = completion.started_ns
            frame.execution_ns += taken
            if self.trace is not None:
                self.trace.ended(job, lane, completion, now)
        if completion.error:
            actions = self._scheduler.abandon(lane, now, taken, detail=completion.error)
        else:
            try:
                actions = self._scheduler.step_done(lane, now, taken, completion.outcome)
            except Exception as error:  # a plan may fail in any way; its job is skipped
                text = f"its plan: {type(error).__name__}: {error}"
                actions = self._scheduler.abandon(lane, now, taken, detail=text)
        for action in actions:
            if type(action) is Finished:
                self._finish(action, lane, completion, now)
            else:
                self._follow((action,), now)
        if lane in self._orphans:
            task, removed = self._orphans.pop(lane)
            removed(task)

    def _finish(self, action: Finished, lane: int, completion: Completion, now: int) -> None:
        """Hand the outputs of a job to the node."""
        job = action.job
        frame = job.payload
        assert isinstance(frame, JobFrame) and frame.task is not None
        if completion.shapes is not None:
            try:
                frame.task.slots.note_extents(frame.output, completion.shapes)
            except Exception as error:  # a backend may report anything; its job is skipped
                self._skip(job, Rule.RUN_FAILED, f"its outputs: {type(error).__name__}: {error}")
                return
        if self.trace is not None:
            self.trace.finished(action, lane, frame.execution_ns, now)
        self._outbox.done(action, frame, completion.finished_ns)

    def _follow(self, actions: Actions, now: int) -> None:
        """Do what the scheduler wants done besides starting and finishing jobs."""
        for action in actions:
            if type(action) is Skipped:
                self._skip(action.job, action.rule, action.detail, stopped=action.stopped)
            elif type(action) is Overrun:
                self._overran(action, now)
            elif type(action) is Shed:
                self._shed_since_ns[action.lane] = now

    def _overran(self, overrun: Overrun, now: int) -> None:
        if self.trace is not None:
            self.trace.overran(overrun, now)
        self._outbox.overran(overrun)

    def _restored(self, lane: int, now: int) -> None:
        if self.trace is not None:
            self.trace.restored(lane, now)
        self._outbox.restored(lane, now - self._shed_since_ns[lane])
        self._shed_since_ns[lane] = 0

    def _skip(self, job: Job, rule: Rule, text: str, *, stopped: bool = False) -> None:
        """Report that a job will not end, and take back what it held."""
        frame = job.payload
        assert isinstance(frame, JobFrame)
        if frame.task is not None:
            if frame.output >= 0:
                frame.task.free.append(frame.output)
            if frame.task.ahead is job:
                frame.task.ahead = None
        if rule is Rule.OPERATOR:
            text = "the task was removed"
        if self.trace is not None:
            self.trace.skipped(job, rule, time.monotonic_ns())
        self._outbox.skipped(job, rule, text, stopped=stopped)


def _reported_too_early() -> BackendError:
    """Return why the end of a work that is only being started is refused: a loop cannot wait."""
    return BackendError(
        "a backend reported from inside `start`",
        expected="`start` to return at once, and the report from another thread",
    )
