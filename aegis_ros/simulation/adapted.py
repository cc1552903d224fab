"""A generator under the virtual clock that answers given requests, and adapts meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.memory import KvCache, KvShape, Reserved
from aegis_ros.rationale import Reason
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.adaptation import Controller, Figures, MemoryFailure
from aegis_ros.scheduling.generation import Generated, Generation, Shape
from aegis_ros.simulation.workload import Workload
from aegis_ros.spec import Criticality

__all__ = ["AdaptedFigures", "AdaptedGenerator", "GivenRequest"]


@dataclass(frozen=True, slots=True)
class GivenRequest:
    """A request of a trace.

    Attributes:
        at_ns: when it comes.
        prompt: its tokens.
        answer: tokens that it asks for.
    """

    at_ns: int
    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class AdaptedFigures:
    """What the requests of a trace came to.

    Attributes:
        tokens: that were generated.
        answered: requests that got all that they were to get.
        refused: requests that memory could not be taken for.
        end_ns: when the last token came.
        first_ns: int64 [answered], from a request's coming to its first token.
        reasons: what the controller said, in order.
    """

    tokens: int
    answered: int
    refused: int
    end_ns: int
    first_ns: np.ndarray
    reasons: tuple[Reason, ...]


class _Speaker:
    """The generation of one precision, and where its buckets stand in the plan."""

    def __init__(self, name: str, cache: KvShape, places: list[int], shapes: list[Shape]) -> None:
        self.cache = KvCache(name, cache, most_waiting=0)
        self.places = places
        self.generation = Generation(shapes, self.cache)


class AdaptedGenerator:
    """Requests of a trace, and a controller that is asked after every bucket.

    Each request begins a job where none is on its way, and a job ends when nothing is left to say.
    Every part takes its whole budget. Requests of one precision run at a time: those that begin
    after a change wait for the end of those before it.

    Args:
        name: of the generator.
        plan: its buckets.
        shapes: what they do.
        precisions: of each bucket.
        cache: how large its key-value cache is.
        requests: in the order in which they come.
        controller: whose limits hold.
        others_bytes: what everything else takes of the arena at a time.
        arena_bytes: its size; 0 for no limit.
        refuses: whether memory for a request cannot be taken: (its number, which try, bytes of the
            arena that would be in use with it).
    """

    def __init__(
        self,
        name: str,
        plan: GeneratorPlan,
        shapes: Sequence[Shape],
        precisions: Sequence[str],
        *,
        cache: KvShape,
        requests: Sequence[GivenRequest],
        controller: Controller,
        others_bytes: Callable[[int], int] = lambda now_ns: 0,
        arena_bytes: int = 0,
        refuses: Callable[[int, int, int], bool] = lambda request, tried, used_bytes: False,
    ) -> None:
        """Begin before the first request."""
        self.plan = plan
        self._name, self._shape, self._requests = name, cache, requests
        self._shapes = shapes
        self._controller = controller
        self._others_bytes, self._arena_bytes = others_bytes, arena_bytes
        self._refuses = refuses
        ends = (*(begin - 1 for begin in plan.begins[1:]), plan.steps - 1)
        self._last = {step: bucket for bucket, step in enumerate(ends)}
        self._speakers: dict[str, _Speaker] = {}
        for precision in dict.fromkeys(precisions):
            places = [at for at, each in enumerate(precisions) if each == precision]
            own = [shapes[at] for at in places]
            if len({each.prefill for each in own if not each.image}) == 2:
                self._speakers[precision] = _Speaker(name, cache, places, own)
        self._precision = controller.limits.precision
        self._job: int | None = None
        self._come = 0
        self._waiting: deque[int] = deque()
        self._tried: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._first_ns: dict[int, int] = {}
        self._tokens = self._answered = self._refused = self._end_ns = 0
        self._reasons: list[Reason] = []

    def task(self, switch_ns: int) -> AnalysisTask:
        """Return it as a task of best effort, for a simulation with ``plan``."""
        parts = tuple(part - switch_ns for part in self.plan.budgets_ns)
        return AnalysisTask(self._name, parts, 1, 1, 0, Criticality.BEST_EFFORT)

    def workload(self, switch_ns: int) -> Workload:
        """Return a job for each request; of those that wait, the newest one is enough."""
        at = np.array([each.at_ns for each in self._requests], np.int64)
        parts = self.task(switch_ns).segments_ns
        return Workload.of(np.zeros(at.size, np.int64), at, at, [parts] * at.size)

    def outcome(self, job: int, step: int, now_ns: int) -> int | None:
        """Return the outcome of a part: the bucket to go on with; ``None`` for the end of the job.

        Args:
            job: which of the workload's.
            step: that has ended.
            now_ns: the present time.
        """
        bucket = self._last.get(step)
        if bucket is None:
            return 0  # goes on with its own bucket, whatever this says
        speaker = self._speakers[self._precision]
        if job != self._job:
            self._job = job
            if bucket == speaker.places[0]:  # else it runs in vain, in another precision
                self._take_in(now_ns - self._duration_ns(bucket))
                speaker.generation.first()
        answers, context = self._running(speaker, bucket)
        tokens = speaker.generation.ended()
        self._note(tokens, now_ns)
        self._take_in(now_ns)
        self._adapt(bucket, now_ns, answers=answers, context=context, tokens=len(tokens))
        speaker = self._speakers[self._precision]
        following = speaker.generation.following()
        return None if following is None else speaker.places[following]

    def figures(self) -> AdaptedFigures:
        """Return what it came to."""
        first = np.array(list(self._first_ns.values()), np.int64)
        return AdaptedFigures(
            self._tokens,
            self._answered,
            self._refused,
            self._end_ns,
            first,
            tuple(self._reasons),
        )

    def _used_bytes(self, now_ns: int) -> int:
        return self._others_bytes(now_ns) + self._speakers[self._precision].cache.used_bytes

    def _duration_ns(self, bucket: int) -> int:
        begins = (*self.plan.begins, self.plan.steps)
        return sum(self.plan.budgets_ns[begins[bucket] : begins[bucket + 1]])

    def _running(self, speaker: _Speaker, bucket: int) -> tuple[int, int]:
        """Return how many answers a bucket is for, and the longest sequence of all that run."""
        running = speaker.cache.running
        context = max((self._lengths.get(each.request, 0) for each in running), default=0)
        shape = self._shapes[bucket]
        return 0 if shape.prefill else min(len(running), shape.tokens), context

    def _note(self, tokens: Sequence[Generated], now_ns: int) -> None:
        for token in tokens:
            request = token.request
            self._tokens += 1
            self._lengths[request] += 1
            self._end_ns = now_ns
            if token.number == 1:
                self._first_ns[request] = now_ns - self._requests[request].at_ns
            if token.last:
                self._answered += 1
                del self._lengths[request]

    def _take_in(self, now_ns: int) -> None:
        """Give slots to those that have come, as long as the limits allow it."""
        requests = self._requests
        while self._come < len(requests) and requests[self._come].at_ns <= now_ns:
            self._waiting.append(self._come)
            self._come += 1
        running = len(self._speakers[self._precision].cache.running)
        if not running:
            self._precision = self._controller.limits.precision
        while (
            self._waiting
            and self._precision == self._controller.limits.precision
            and running < min(self._controller.limits.batch, self._shape.slots)
        ):
            running += self._begin(self._waiting.popleft(), now_ns)

    def _begin(self, number: int, now_ns: int) -> bool:
        """Give a slot to a request; return whether it has got one."""
        tried = self._tried.pop(number, 0) + 1
        need = self._shape.slot_bytes
        if self._refuses(number, tried, self._used_bytes(now_ns) + need):
            refused = self._controller.failed(
                now_ns, MemoryFailure(request=number, need_bytes=need, tried=tried)
            )
            self._reasons += refused.reasons
            if refused.again:  # as soon as the limits of then allow it
                self._tried[number] = tried
                self._waiting.appendleft(number)
            else:
                self._refused += 1
            return False
        request = self._requests[number]
        asked = self._controller.limits.answer(request.prompt, request.answer)
        found = self._speakers[self._precision].generation.ask(number, request.prompt, asked)
        if not isinstance(found, Reserved):
            self._reasons.append(found)
            self._refused += 1
            return False
        self._lengths[number] = request.prompt
        return True

    def _adapt(self, bucket: int, now_ns: int, *, answers: int, context: int, tokens: int) -> None:
        speaker, shape = self._speakers[self._precision], self._shapes[bucket]
        figures = Figures(
            now_ns=now_ns,
            prefill=shape.prefill,
            size=shape.tokens,
            precision=self._precision,
            answers=answers,
            context=context,
            tokens=tokens,
            duration_ns=self._duration_ns(bucket),
            running=len(speaker.cache.running),
            waiting=len(self._waiting),
            arena_used_bytes=self._used_bytes(now_ns),
            arena_bytes=self._arena_bytes,
        )
        self._reasons += self._controller.after(figures)
        self._take_in(now_ns)
        limits = self._controller.limits
        self._speakers[self._precision].generation.limit(chunk=limits.chunk, batch=limits.batch)
