"""Has generators adapt: asks their controllers, reports and records, and knows how they fare."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aegis_ros.orchestrator.cycle_record import Cycle
from aegis_ros.rationale import Rationale, Reason
from aegis_ros.rationale.adaptation import OutOfMemory
from aegis_ros.rationale.plain import to_plain
from aegis_ros.scheduling.adaptation import (
    Controller,
    Figures,
    Limits,
    MemoryFailure,
    Menu,
    controller_of,
)

__all__ = ["AdaptedSummary", "Adapting"]

_WINDOW_NS = 5_000_000_000
_MOST_CYCLES = 10_000  # of a window


@dataclass(frozen=True, slots=True)
class AdaptedSummary:
    """How a generator fares.

    Attributes:
        name: of the generator.
        limits: that hold.
        tokens: generated since it was admitted.
        tokens_per_s: over the last five seconds.
        cycles: buckets that ran.
        latency_ns: of the last one, from its beginning to its end.
        context: longest sequence in the last one, tokens.
        arena_used_bytes: in use by everything when the last one ended.
        arena_peak_bytes: the most of that.
        device_use: share of the lane that was busy lately, 0..1; -1 for unknown.
        changes: of limits.
        out_of_memory: how often memory for a request could not be taken.
        decision: the last change as a sentence; empty for none.
    """

    name: str
    limits: Limits
    tokens: int
    tokens_per_s: float
    cycles: int
    latency_ns: int
    context: int
    arena_used_bytes: int
    arena_peak_bytes: int
    device_use: float
    changes: int
    out_of_memory: int
    decision: str


class _Adapted:
    """One generator."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.tokens = self.cycles = self.peak_bytes = self.changes = self.out_of_memory = 0
        self.decision = ""
        self.device_use = -1.0
        self.last: Figures | None = None
        self._window: deque[tuple[int, int]] = deque()  # when, tokens
        self._lately = 0  # tokens of the window

    def take(self, figures: Figures, device_use: float) -> None:
        self.last, self.device_use = figures, device_use
        self.cycles += 1
        self.tokens += max(0, figures.tokens)
        self.peak_bytes = max(self.peak_bytes, figures.arena_used_bytes)
        if len(self._window) == _MOST_CYCLES:
            self._drop()
        self._window.append((figures.now_ns, max(0, figures.tokens)))
        self._lately += max(0, figures.tokens)

    def _drop(self) -> None:
        _, tokens = self._window.popleft()
        self._lately -= tokens

    def tokens_per_s(self, now_ns: int) -> float:
        while self._window and now_ns - self._window[0][0] > _WINDOW_NS:
            self._drop()
        if not self._window:
            return 0.0
        # Since when it counts: a generator that has just begun is not slow for that.
        since_ns = min(_WINDOW_NS, max(1_000_000_000, now_ns - self._window[0][0]))
        return self._lately * 1e9 / since_ns


class Adapting:
    """All generators that adapt. For any thread; never waits for a disk.

    Args:
        report: puts a decision on record and publishes it.
        note: takes every cycle, as :meth:`~aegis_ros.orchestrator.cycle_record.CycleRecord.note`.
    """

    def __init__(
        self, report: Callable[[Reason], Rationale], note: Callable[[Cycle], object]
    ) -> None:
        """Begin without generators."""
        self._report = report
        self._note = note
        self._lock = threading.Lock()
        self._adapted: dict[str, _Adapted] = {}

    def add(self, task: str, menu: Menu, policy: str = "default") -> Limits:
        """Adapt a generator from now on; one that is there begins again with what it may do now.

        Args:
            task: its name.
            menu: the buckets that were admitted.
            policy: name of one.

        Returns:
            The limits to begin with.

        Raises:
            ConfigError: there is no such policy, or the import of another's fails.
        """
        controller = controller_of(task, menu, policy)
        with self._lock:
            before = self._adapted.get(task)
            if before is None:
                self._adapted[task] = _Adapted(controller)
            else:
                before.controller = controller
        return controller.limits

    def remove(self, task: str) -> None:
        """Forget a generator; unknown names are ignored."""
        with self._lock:
            self._adapted.pop(task, None)

    def cycle(self, task: str, figures: Figures, device_use: float = -1.0) -> Limits | None:
        """Take what a generator came to in a cycle; return its limits from now on.

        Args:
            task: its name.
            figures: of the cycle.
            device_use: share of its lane that was busy lately, 0..1; -1 for unknown.

        Returns:
            ``None`` for a generator that is not adapted.
        """
        with self._lock:
            adapted = self._adapted.get(task)
            if adapted is None:
                return None
            adapted.take(figures, device_use)
            reasons = adapted.controller.after(figures)
            limits = adapted.controller.limits
        self._decided(task, adapted, reasons, figures)
        return limits

    def failed(self, task: str, failure: MemoryFailure) -> bool:
        """Note that memory for a request could not be taken; return whether to try once more."""
        with self._lock:
            adapted = self._adapted.get(task)
            if adapted is None:
                return False
            adapted.out_of_memory += 1
            found = adapted.controller.failed(time.monotonic_ns(), failure)
            last = adapted.last
        self._decided(task, adapted, found.reasons, last, out_of_memory=True)
        return found.again

    def limits(self, task: str) -> Limits | None:
        """Return the limits of a generator; ``None`` for one that is not adapted."""
        with self._lock:
            adapted = self._adapted.get(task)
            return None if adapted is None else adapted.controller.limits

    def summaries(self, now_ns: int | None = None) -> tuple[AdaptedSummary, ...]:
        """Return how each fares.

        Args:
            now_ns: the present time, monotonic; that of the clock, if not given.
        """
        at_ns = time.monotonic_ns() if now_ns is None else now_ns
        with self._lock:
            return tuple(_summary(name, each, at_ns) for name, each in self._adapted.items())

    def _decided(
        self,
        task: str,
        adapted: _Adapted,
        reasons: Sequence[Reason],
        figures: Figures | None,
        *,
        out_of_memory: bool = False,
    ) -> None:
        sentences = [self._report(reason).sentence for reason in reasons]
        with self._lock:
            if sentences:
                adapted.decision = sentences[-1]
                adapted.changes += sum(not isinstance(each, OutOfMemory) for each in reasons)
            speed = adapted.tokens_per_s(time.monotonic_ns() if figures is None else figures.now_ns)
            peak, use = adapted.peak_bytes, adapted.device_use
        ago_ns = 0
        if figures is not None and not out_of_memory:  # a cycle is read some time after its end
            ago_ns = max(0, time.monotonic_ns() - figures.now_ns)
        self._note(
            Cycle(
                time_ns=time.time_ns() - ago_ns,
                task=task,
                prefill=int(figures.prefill) if figures else 0,
                batch=figures.answers if figures else 0,
                context=figures.context if figures else 0,
                precision=figures.precision if figures else "",
                tokens=figures.tokens if figures and not out_of_memory else 0,
                tokens_per_s=speed,
                latency_ns=figures.duration_ns if figures and not out_of_memory else 0,
                arena_bytes=figures.arena_used_bytes if figures else 0,
                arena_peak_bytes=peak,
                device_use=use,
                decision=" ".join(sentences),
                reason=json.dumps([to_plain(each) for each in reasons]) if reasons else "",
                out_of_memory=int(out_of_memory),
            )
        )


def _summary(name: str, adapted: _Adapted, now_ns: int) -> AdaptedSummary:
    last = adapted.last
    return AdaptedSummary(
        name,
        adapted.controller.limits,
        adapted.tokens,
        adapted.tokens_per_s(now_ns),
        adapted.cycles,
        last.duration_ns if last else 0,
        last.context if last else 0,
        last.arena_used_bytes if last else 0,
        adapted.peak_bytes,
        adapted.device_use,
        adapted.changes,
        adapted.out_of_memory,
        adapted.decision,
    )
