"""Prompts of one generator that wait to be asked: bounded, at their rate, so many at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aegis_ros.rationale import Reason
from aegis_ros.rationale.prompts import BadPrompt, PromptLeftOut, PromptReplaced, PromptWithdrawn
from aegis_ros.spec import PromptsSpec, WhenFull

__all__ = ["Prompt", "PromptCounts", "PromptLine"]

_RECENT_NS = 10_000_000_000  # how long a message that was no prompt is a problem


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that came by topic, or the standing one.

    Attributes:
        text: of the message, as it came.
        stamp_ns: when it was published, as the middleware says; since 1970.
        came_ns: when it came, monotonic.
        standing: whether it is about a new image or not asked.
    """

    text: str
    stamp_ns: int
    came_ns: int
    standing: bool = False


@dataclass(frozen=True, slots=True)
class PromptCounts:
    """What has become of the messages of a topic.

    Attributes:
        came: messages that were taken.
        bad: those that were no prompts, or were about no image.
        replaced: prompts whose place a newer one took, before or after the node took them.
        left_out: those that found no place, and standing ones that came too late.
        withdrawn: those that waited when the node stopped to take prompts.
        asked: those whose turn came.
        answered: those of them that have an answer, a refusal included.
        waiting: those that wait now.
    """

    came: int = 0
    bad: int = 0
    replaced: int = 0
    left_out: int = 0
    withdrawn: int = 0
    asked: int = 0
    answered: int = 0
    waiting: int = 0


class PromptLine:
    """The line of one topic. Prompts are put by one thread and taken by another.

    Nothing waits for room in it: a prompt that finds none takes the place of the oldest one, or is
    left out.

    Args:
        task: name of the generator.
        spec: how many may wait, how often one is asked, and how many at once.
        report: where those are reported that are not asked.
        clock: monotonic, nanoseconds.
    """

    def __init__(
        self,
        task: str,
        spec: PromptsSpec,
        report: Callable[[Reason], object],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin with no prompt, and take none yet."""
        self._task = task
        self._spec = spec
        self._report = report
        self._clock = clock
        self._news = threading.Condition()
        self._waiting: deque[Prompt] = deque()
        self._open = self._closed = False
        self._in_hand = 0
        self._next_ns = 0  # when the next one may be asked
        self._came = self._bad = self._replaced = self._left_out = 0
        self._withdrawn = self._asked = self._answered = 0
        self._problem, self._problem_ns = "", 0

    def counts(self) -> PromptCounts:
        """Return what has become of all messages."""
        with self._news:
            return PromptCounts(
                self._came,
                self._bad,
                self._replaced,
                self._left_out,
                self._withdrawn,
                self._asked,
                self._answered,
                len(self._waiting),
            )

    def open(self) -> None:
        """Take prompts from now on."""
        with self._news:
            self._open = True

    def shut(self) -> None:
        """Take no prompts until :meth:`open`, and drop those that wait."""
        with self._news:
            self._open = False
            dropped = len(self._waiting)
            self._withdrawn += dropped
            self._waiting.clear()
        for _ in range(dropped):
            self._report(PromptWithdrawn(self._task, self._spec.topic))

    def close(self) -> None:
        """Drop what waits, and have :meth:`take` return nothing from now on."""
        self.shut()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def put(self, prompt: Prompt) -> None:
        """Have a prompt wait for its turn, if there is a place for it."""
        spec = self._spec
        reason: Reason | None = None
        with self._news:
            self._came += 1
            if not self._open:
                self._withdrawn += 1
                reason = PromptWithdrawn(self._task, spec.topic)
            elif len(self._waiting) >= spec.queue and spec.when_full is WhenFull.REFUSE:
                self._left_out += 1
                reason = PromptLeftOut(self._task, spec.topic, spec.queue)
            else:
                if len(self._waiting) >= spec.queue:
                    self._waiting.popleft()
                    self._replaced += 1
                    reason = PromptReplaced(self._task, spec.topic, spec.queue)
                self._waiting.append(prompt)
                self._news.notify_all()
        if reason is not None:
            self._report(reason)

    def offer(self, prompt: Prompt) -> bool:
        """Have a prompt be asked now; return whether it will be, or is left out."""
        with self._news:
            self._came += 1
            free = self._open and self._in_hand + len(self._waiting) < self._spec.at_once
            if free:
                self._waiting.append(prompt)
                self._news.notify_all()
            else:
                self._left_out += 1
        return free

    def miss(self, count: int) -> None:
        """Note prompts that came too late to be put."""
        with self._news:
            self._came += count
            self._left_out += count

    def refuse(self, problem: str) -> None:
        """Note a message that is no prompt."""
        with self._news:
            self._came += 1
            self._bad += 1
            self._problem, self._problem_ns = problem, self._clock()
        self._report(BadPrompt(self._task, self._spec.topic, problem))

    def drop(self, problem: str) -> None:
        """Note that a prompt that was taken is not asked, and give its place back."""
        with self._news:
            self._in_hand -= 1
            self._asked -= 1
            self._bad += 1
            self._problem, self._problem_ns = problem, self._clock()
            self._news.notify_all()

    def recent_problem(self) -> str:
        """Return why the last message was no prompt; empty where that was long ago, or never."""
        with self._news:
            recent = self._problem and self._clock() - self._problem_ns < _RECENT_NS
            return self._problem if recent else ""

    def overtaken(self, count: int) -> None:
        """Note prompts that newer ones replaced before the node took them."""
        with self._news:
            self._replaced += count
        for _ in range(min(count, 1)):
            self._report(PromptReplaced(self._task, self._spec.topic, self._spec.queue))

    def take(self) -> Prompt | None:
        """Wait for a prompt whose turn it is, and return it; :meth:`answered` gives its place back.

        Returns:
            ``None`` once the line is closed.
        """
        with self._news:
            while not self._closed:
                left_ns = self._next_ns - self._clock()
                if self._waiting and self._in_hand < self._spec.at_once and left_ns <= 0:
                    self._in_hand += 1
                    self._asked += 1
                    self._next_ns = self._clock() + self._spec.period_ns
                    return self._waiting.popleft()
                pending = self._waiting and self._in_hand < self._spec.at_once
                self._news.wait(left_ns / 1e9 if pending else None)
            return None

    def answered(self) -> None:
        """Give back the place of a prompt that was taken."""
        with self._news:
            self._in_hand -= 1
            self._answered += 1
            self._news.notify_all()
