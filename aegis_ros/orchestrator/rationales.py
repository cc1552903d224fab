"""Numbers decisions, keeps the last thousand, and folds equal events into one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from aegis_ros.engine import OverrunEvent
from aegis_ros.rationale import Decision, Rationale, ResponseBound, Rule
from aegis_ros.spec import OverrunPolicy, TaskSpec

__all__ = ["RationaleLog", "latency_sentences", "overrun_sentence"]

_KEPT = 1000
_FOLD_NS = 10_000_000_000
_TENTH_MS_NS = 100_000


class RationaleLog:
    """The record of decisions; safe to use from several threads.

    Args:
        publish: told every rationale, in order.
    """

    def __init__(self, publish: Callable[[Rationale], None]) -> None:
        """Begin with number 1."""
        self._publish = publish
        self._lock = threading.RLock()
        self._next = 1
        self._kept: deque[Rationale] = deque(maxlen=_KEPT)
        self._told_ns: dict[tuple[str, Decision, Rule], int] = {}
        self._folded: dict[tuple[str, Decision, Rule], Rationale] = {}

    def make(
        self, task: str, decision: Decision, rule: Rule, sentence: str, **details: Any
    ) -> Rationale:
        """Return a numbered rationale without putting it on record (what-if answers)."""
        with self._lock:
            number = self._next
            self._next += 1
        # A task's name keeps its spelling, also at the beginning.
        named = bool(task) and sentence.startswith(task)
        text = sentence if named else sentence[:1].upper() + sentence[1:]
        text = text if text.endswith((".", "!", "?")) else text + "."
        return Rationale(number, time.time_ns(), task, decision, rule, text, **details)

    def tell(
        self, task: str, decision: Decision, rule: Rule, sentence: str, **details: Any
    ) -> Rationale:
        """Put a decision on record and publish it."""
        return self.record(self.make(task, decision, rule, sentence, **details))

    def record(self, rationale: Rationale) -> Rationale:
        """Put a rationale on record and publish it."""
        with self._lock:
            self._kept.append(rationale)
            self._publish(rationale)
        return rationale

    def tell_often(
        self, task: str, decision: Decision, rule: Rule, sentence: str, **details: Any
    ) -> None:
        """Tell an event that may come with every frame: one record in ten seconds at most."""
        key = (task, decision, rule)
        now = time.monotonic_ns()
        with self._lock:
            waiting = self._folded.pop(key, None)
            count = details.pop("count", 1) + (waiting.count if waiting is not None else 0)
            latest = self.make(task, decision, rule, sentence, count=count, **details)
            if now - self._told_ns.get(key, -_FOLD_NS) >= _FOLD_NS:
                self._told_ns[key] = now
                self.record(latest)
            else:
                self._folded[key] = latest

    def flush(self) -> None:
        """Publish events that were folded and whose ten seconds have passed."""
        now = time.monotonic_ns()
        with self._lock:
            due = [key for key in self._folded if now - self._told_ns.get(key, 0) >= _FOLD_NS]
            for key in due:
                self._told_ns[key] = now
                self.record(replace(self._folded.pop(key), time_ns=time.time_ns()))

    def forget(self, task: str) -> None:
        """Publish what was folded of a task that goes, and keep nothing of it."""
        with self._lock:
            for key in [key for key in self._told_ns if key[0] == task]:
                del self._told_ns[key]
                waiting = self._folded.pop(key, None)
                if waiting is not None:
                    self.record(replace(waiting, time_ns=time.time_ns()))

    def latest(self) -> tuple[Rationale, ...]:
        """Return the record, oldest first."""
        with self._lock:
            return tuple(self._kept)


def latency_sentences(
    spec: TaskSpec, others: Iterable[TaskSpec], responses: Iterable[ResponseBound]
) -> list[str]:
    """Return what admitting a task means for constant latencies on its lane.

    Args:
        spec: the task; of it is told whether its own constant latency holds.
        others: running tasks; of them is told whose constant latency does not hold.
        responses: proven bounds of the lane, from arrival to end of execution.
    """
    bounds = {each.task: each.bound_ns for each in responses}
    told = []
    for each in (spec, *others):
        constant, kept = each.output.constant_latency_ns, each.output.publish_ns
        if not constant or each.name not in bounds:
            continue
        declared = f"{constant / 1e6:g} ms old (output.constant_latency_ms)"
        latest = bounds[each.name] + kept
        if latest > constant:
            holds = -(-latest // _TENTH_MS_NS) * _TENTH_MS_NS
            advice = (
                f"{holds / 1e6:g} would hold for all"
                if holds <= each.deadline_ns - kept
                else "no value that leaves time to publish before the deadline holds for all"
            )
            told.append(
                f"Results of {each.name} are kept until their frame is {declared}; the proof "
                f"allows {latest / 1e6:.1f} ms until one is published, so some may come later than "
                f"that, yet before the deadline; {advice}"
            )
        elif each is spec:
            told.append(f"Every result of {each.name} is published when its frame is {declared}")
    return told


def overrun_sentence(
    event: OverrunEvent, task: str, lane: str, segments: int, whole_ns: int, exit_after: int = 0
) -> str:
    """Return what people are told of an overrun: by how much, what follows, and for whom.

    Args:
        event: what the engine told.
        task: name of the task.
        lane: name of its lane.
        segments: in how many segments it runs.
        whole_ns: budget of all of them.
        exit_after: number of segments after which its early exit is complete.
    """
    part = f"segment {event.segment + 1} of {segments} of " if segments > 1 else ""
    over_ns = event.taken_ns - event.budget_ns
    if over_ns > 0:
        told = (
            f"{part}job {event.seq} of {task} took {event.taken_ns / 1e6:.2f} ms, its budget is "
            f"{event.budget_ns / 1e6:.2f} ms; "
        ) + (
            f"the proof leaves room for that on lane {lane}, and nobody is late for it"
            if event.absorbed
            else f"what waited for lane {lane} can be later than promised by "
            f"{over_ns / 1e6:.2f} ms, no more"
        )
    else:
        told = (
            f"job {event.seq} of {task} used {event.used_ns / 1e6:.2f} ms, its budget is "
            f"{whole_ns / 1e6:.2f} ms"
        )
    if event.applied is OverrunPolicy.STOP:
        told += ". The job ends there (on_overrun: stop)"
    elif event.applied is OverrunPolicy.DEMOTE:
        told += ". Its rest runs behind everything else (on_overrun: demote)"
    elif event.applied is OverrunPolicy.EARLY_EXIT and event.segment + 1 < exit_after:
        told += (
            f". The job ends with the network's early exit after segment {exit_after}, unless it "
            "has caught up by then (on_overrun: early_exit)"
        )
    elif event.applied is OverrunPolicy.EARLY_EXIT:
        told += ". The job ends there, with the network's early exit (on_overrun: early_exit)"
    if event.skips:
        frames = "frame is" if event.skips == 1 else f"{event.skips} frames are"
        told += f". The next {frames} skipped to pay that back"
        if event.skips == 1:
            told += ", unless the lane has as much time to spare before"
    return told
