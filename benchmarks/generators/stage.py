"""An engine with one lane: a language model that is always asked, and tasks with deadlines."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import (
    Asked,
    ChannelSpec,
    EngineClient,
    JobResult,
    JobSkip,
    LoadGenerator,
    LoadSpec,
    SlotFrame,
    Spoken,
)
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.planning.generator import Bucket, Generator, GeneratorAnswer, judge_generator
from aegis_ros.scheduling.generation import Shape
from aegis_ros.simulation import plan_of
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec
from aegis_ros.wcet import budget
from benchmarks.generators.asked import lengths
from benchmarks.generators.traced import RunTrace
from benchmarks.neighbours import waited_ns
from benchmarks.networks import FRAME

__all__ = ["MODEL", "Critical", "Heard", "Stage", "opened"]

LANE = "main"
SWITCH_NS = 100_000
MODEL = 100_000  # task id of the language model, above those of all tasks
_SLOTS = 8
_ENDED_S = 120.0  # after which an answer that should have ended has not


@dataclass(frozen=True, slots=True)
class Critical:
    """A task with a deadline.

    Attributes:
        network: that it runs.
        task: how the tests see it.
    """

    network: CompiledNetwork
    task: AnalysisTask


@dataclass
class Heard:
    """What came of a while.

    Attributes:
        seconds: how long it was.
        tokens: that were generated.
        frames: that were submitted.
        late: of these: after their deadline, or never.
        execution_ns: of all frames together.
        busy_ns: that the lane worked, for tasks and model.
        waited_ns: of these: that it could have run and others had its core, as the kernel counts.
        room: least room of a frame to its deadline, as a part of it.
        late_jobs: names of those that were late, as `aegis explain --job` takes them, and the rule
            of each that was skipped.
    """

    seconds: float = 0.0
    tokens: int = 0
    frames: int = 0
    late: int = 0
    execution_ns: int = 0
    busy_ns: int = 0
    waited_ns: int = 0
    room: float = 1.0
    late_jobs: list[str] = field(default_factory=list)


class Stage:
    """One engine; one caller at a time.

    Args:
        priority: SCHED_FIFO of the engine.
        trace: file that what happens is recorded in; ``None`` for none.

    Attributes:
        core: of its lane.
        critical: the tasks that are loaded.
    """

    def __init__(self, priority: int, trace: Path | None = None) -> None:
        """Start the engine."""
        self.trace = RunTrace(trace)
        self.core = max(os.sched_getaffinity(0))
        self.client = EngineClient(
            DeviceSpec(
                backend="onnxruntime",
                lanes=(LaneSpec(LANE, self.core),),
                realtime_priority=priority,
            ),
            on_result=self._result,
            on_skip=self._skipped,
            on_event=lambda event: self.events.append(event.sentence),
            on_tokens=self._spoken,
            trace=self.trace.memory,
        )
        self.events: list[str] = []
        self.info = self.client.start()
        self.trace.begin(self.info, LANE)
        self.channel = self.client.open_channel(
            ChannelSpec("camera", FrameFormat.RGB8, FRAME, _SLOTS)
        )
        self.critical: Sequence[Critical] = ()
        self._guard = threading.Condition()
        self._done: dict[tuple[int, int], JobResult] = {}
        self._skips: dict[tuple[int, int], JobSkip] = {}
        self._first_id = 0  # of the tasks that are loaded: in a trace, each set has its own
        self._jobs = itertools.count(1).__next__
        self._numbers = itertools.count(1).__next__
        self._tokens = 0
        self._first_ns: dict[int, int] = {}
        self._ended: dict[int, tuple[Ending, int]] = {}
        self._in_slot: dict[int, int] = {}  # requests by slot
        self._speaking: Callable[[int], object] | None = None
        self.answer: GeneratorAnswer | None = None
        self.model: CompiledGenerator | None = None

    # -- what is loaded -----------------------------------------------------------------------

    def network_budgets(self, network: CompiledNetwork, runs: int) -> tuple[int, ...]:
        """Return the budget of each segment of a network, measured on the lane."""
        samples = self.client.profile(network, 0, runs, lambda done, slowest: True)
        return tuple(budget(column).value_ns for column in samples.T)

    def buckets(self, model: CompiledGenerator, slots: int, runs: int) -> tuple[Bucket, ...]:
        """Return the budgets of a language model's buckets, measured on the lane."""
        found = self.client.measure_generator(
            model, 0, slots=slots, runs=runs, on_progress=lambda done, slowest: True
        )
        return tuple(
            Bucket(
                each.tokens,
                each.prefill,
                tuple(budget(column).value_ns for column in each.samples_ns.T),
            )
            for each in found
        )

    def load_critical(self, critical: Sequence[Critical]) -> None:
        """Load tasks in place of those that are there."""
        for number in range(len(self.critical)):
            self.client.unload(self._first_id + number)
        self._first_id += len(self.critical)
        self.critical = critical
        for number, each in enumerate(critical, self._first_id):
            self.trace.task(number, each.task)
            self.client.load(
                LoadSpec(
                    number,
                    each.task.name,
                    each.network,
                    0,
                    "camera",
                    plan=plan_of(each.task, SWITCH_NS),
                    deadline_ns=each.task.deadline_ns,
                )
            )

    def load_model(
        self, model: CompiledGenerator, buckets: Sequence[Bucket], cache: KvShape
    ) -> GeneratorAnswer:
        """Judge a language model beside the tasks; load it with what is admitted, if anything."""
        if self.model is not None:
            self.client.unload(MODEL)
            self.model = None
        asked = Generator("generator", LANE, tuple(buckets), cache)
        answer = judge_generator(asked, [each.task for each in self.critical], SWITCH_NS)
        self.answer = answer
        if answer.admitted:
            self.client.load_generator(
                LoadGenerator(
                    MODEL,
                    "generator",
                    model,
                    0,
                    answer.plan(SWITCH_NS),
                    tuple(Shape(each.tokens, each.prefill) for each in answer.buckets),
                    cache,
                )
            )
            self.model = model
            self.trace.model(MODEL, asked.name, LANE, answer.buckets)
        return answer

    # -- what runs ----------------------------------------------------------------------------

    def run(
        self, seconds: float, *, frames: bool, chance: np.random.Generator | None = None
    ) -> Heard:
        """Let tasks run, or the language model say something all the time, or both.

        Args:
            seconds: how long.
            frames: whether the tasks get frames.
            chance: prompts and lengths of answers; ``None`` for silence.
        """
        heard = Heard()
        if chance is not None:
            self._speak(chance)
        begin, tokens = time.monotonic(), self._tokens
        busy_ns, before_ns = self._busy_ns(), waited_ns(self.client.info().pid, self.core)
        self._done.clear()
        self._skips.clear()
        submitted: dict[tuple[int, int], int] = {}
        if frames:
            self._feed(begin + seconds, submitted)
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        heard.seconds = time.monotonic() - begin
        heard.tokens = self._tokens - tokens
        heard.busy_ns = self._busy_ns() - busy_ns
        heard.waited_ns = waited_ns(self.client.info().pid, self.core) - before_ns
        self.silence()
        self._judge(heard, submitted)
        return heard

    def settle(self) -> None:
        """Let the tasks have two frames each that nobody counts.

        One that exceeded its budget in the turn before has the next one skipped, which may be the
        first of a turn with nothing else wrong.
        """
        if self.critical:
            longest = max(each.task.period_ns for each in self.critical) / 1e9
            self._feed(time.monotonic() + 1.5 * longest, {})
            time.sleep(2 * longest)

    def silence(self) -> None:
        """Cancel all answers and wait for their ends."""
        self._speaking = None
        end = time.monotonic() + _ENDED_S
        while self._in_slot:  # who heard of an end may be about to ask once more
            for request in tuple(self._in_slot.values()):
                self.client.cancel(MODEL, request)
            with self._guard:
                self._guard.wait_for(lambda: not self._in_slot, timeout=0.1)
            if time.monotonic() > end:
                self._give_up("the end of all answers")

    def ask(self, slot: int, tokens: Sequence[int], answer: int) -> int:
        """Ask for an answer; return the number of the request."""
        request = self._numbers()
        with self._guard:
            self._in_slot[slot] = request
        self.client.ask(MODEL, Asked(request, slot, tokens, answer, Sampling()))
        return request

    def cancel(self, request: int) -> None:
        """Cancel a request."""
        self.client.cancel(MODEL, request)

    def limit(self, *, chunk: int = 0, batch: int = 0) -> None:
        """Limit the language model."""
        self.client.limit(MODEL, chunk=chunk, batch=batch)

    def first_ns(self, request: int) -> int:
        """Wait for the first token of an answer; return when it was chosen."""
        self._wait(lambda: request in self._first_ns, "a first token")
        return self._first_ns[request]

    def ended(self, request: int) -> tuple[Ending, int]:
        """Wait for the end of an answer; return why, and when that was heard."""
        self._wait(lambda: request in self._ended, "the end of an answer")
        return self._ended[request]

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Give the tasks, if there are any, frames in the meantime."""
        if not self.critical:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(target=self._feed, args=(float("inf"), {}, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def resident_bytes(self, field: str = "VmRSS") -> int:
        """Return memory of the engine's process as the kernel counts it."""
        with open(f"/proc/{self.client.info().pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Have the kernel count the most that the engine's process had (``VmHWM``) from now on."""
        with open(f"/proc/{self.client.info().pid}/clear_refs", "w", encoding="ascii") as counter:
            counter.write("5")

    def _busy_ns(self) -> int:
        (lane,) = self.client.status().lanes
        return lane.busy_ns

    def _speak(self, chance: np.random.Generator) -> None:
        """Have all slots say something all the time; return once each has begun."""
        assert self.model is not None and self.answer is not None
        cache, vocabulary = self.answer.generator.cache, self.model.facts.vocabulary

        def ask(slot: int) -> int:
            prompt, answer = lengths(chance, cache.max_len)
            tokens = chance.integers(0, vocabulary, prompt).tolist()
            return self.ask(slot, tokens, answer)

        self._speaking = ask
        for request in [ask(slot) for slot in range(cache.slots)]:
            self.first_ns(request)

    def _feed(
        self,
        end: float,
        submitted: dict[tuple[int, int], int],
        stop: threading.Event | None = None,
    ) -> None:
        due = [time.monotonic()] * len(self.critical)
        while (now := min(due)) < end and not (stop is not None and stop.is_set()):
            time.sleep(max(0.0, now - time.monotonic()))
            number = due.index(now)
            task = self.critical[number].task
            slot = self.channel.acquire()
            seq = self._jobs()
            stamped = time.monotonic_ns()
            # Where this thread was late, too: two frames are never closer than the contract says.
            due[number] = max(now, stamped / 1e9) + task.period_ns / 1e9
            task_id = self._first_id + number
            submitted[task_id, seq] = stamped + task.deadline_ns
            if slot is not None:
                job = (task_id, seq, stamped, stamped + task.deadline_ns)
                self.client.submit((SlotFrame(self.channel, slot, FRAME),), stamped, [job])

    def _judge(self, heard: Heard, submitted: dict[tuple[int, int], int]) -> None:
        last = max(submitted.values(), default=0)
        time.sleep(max(0.0, (last - time.monotonic_ns()) / 1e9))  # results in time are there then
        heard.frames = len(submitted)
        for job, deadline_ns in submitted.items():
            result = self._done.get(job)
            task = self.critical[job[0] - self._first_id].task
            room = 0.0
            if result is not None:
                heard.execution_ns += result.execution_ns
                room = (deadline_ns - result.finished_ns) / task.deadline_ns
            heard.room = min(heard.room, room)
            if result is None or room < 0.0:
                heard.late += 1
                skip = self._skips.get(job)
                heard.late_jobs.append(
                    f"{task.name}#{job[1]}" + ("" if skip is None else f" ({skip.rule})")
                )

    # -- what is heard ------------------------------------------------------------------------

    def _result(self, result: JobResult) -> None:
        self._done[result.task_id, result.seq] = result
        result.release()

    def _skipped(self, skip: JobSkip) -> None:
        self._skips[skip.task_id, skip.seq] = skip

    def _spoken(self, spoken: Spoken) -> None:
        now_ns = time.monotonic_ns()
        again: int | None = None
        with self._guard:
            self._tokens += len(spoken.tokens)
            if spoken.times_ns:
                self._first_ns.setdefault(spoken.request, spoken.times_ns[0])
            if spoken.ended is not None:
                self._ended[spoken.request] = (spoken.ended, now_ns)
                for slot, request in tuple(self._in_slot.items()):
                    if request == spoken.request:
                        del self._in_slot[slot]
                        again = slot
            self._guard.notify_all()
        speak = self._speaking
        if again is not None and speak is not None:
            speak(again)

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        with self._guard:
            if not self._guard.wait_for(true, timeout=_ENDED_S):
                self._give_up(what)

    def _give_up(self, what: str) -> None:
        said = "; ".join(self.events[-3:]) or "the engine reported nothing"
        raise SystemExit(f"{what} did not come within {_ENDED_S:.0f} s: {said}")


@contextmanager
def opened(priority: int, trace: Path | None = None) -> Iterator[Stage]:
    """Yield a stage whose engine ends with the block."""
    stage = Stage(priority, trace)
    try:
        yield stage
    finally:
        stage.client.stop()
        stage.trace.close()
