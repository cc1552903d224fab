"""A standing prompt: asked at a rate, each time about an image that has come since."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.prompt_asking import PromptAsking, Unusable
from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.rationale.prompts import CannotTakePrompts, StandingPromptBusy, StandingPromptLate
from aegis_ros.spec import GeneratorSpec, PromptsSpec

__all__ = ["StandingPrompt"]


class StandingPrompt:
    """The standing prompt of one generator. One that cannot be asked at once is skipped.

    Args:
        node: publishes the answers; names are resolved by its rules.
        orchestrator: has the generator.
        spec: the generator.
        prompts: with the text.
        clock: monotonic, nanoseconds.
    """

    def __init__(
        self,
        node: LifecycleNode,
        orchestrator: Orchestrator,
        spec: GeneratorSpec,
        prompts: PromptsSpec,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Ask nothing yet."""
        self.name = spec.name
        self.spec = prompts
        self.problem: CannotTakePrompts | None = None
        # The timer sees to the period.
        self.line = PromptLine(
            spec.name, replace(prompts, period_ns=0), orchestrator.log.report_often
        )
        self._asking = PromptAsking(node, orchestrator, spec, prompts, line=self.line)
        self._report = orchestrator.log.report_often
        self._clock = clock
        self._due_ns = 0  # when the next one is to be asked
        self._subscriber: Node | None = None
        self._timer: Any = None

    def follow(self, subscriber: Node) -> None:
        """Ask from now on.

        Args:
            subscriber: node whose thread sees to it.
        """
        self.problem = None
        try:
            self._asking.publish()
        except Unusable as unusable:
            self.problem = unusable.reason
            self._report(unusable.reason)
            return
        self.line.open()
        self._asking.begin()
        self._due_ns = self._clock() + self.spec.period_ns
        self._subscriber = subscriber
        # Not the node's clock, which a simulation may stop.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = subscriber.create_timer(self.spec.period_ns / 1e9, self.ask, clock=steady)

    def leave(self) -> None:
        """Ask no more until :meth:`follow`; what was asked is answered."""
        self.line.shut()
        if self._timer is not None and self._subscriber is not None:
            self._subscriber.destroy_timer(self._timer)
            forget_destroyed(self._subscriber)
            self._timer = None

    def close(self) -> None:
        """Ask no more; answers are still published."""
        self.leave()
        self._asking.close()

    def destroy(self) -> None:
        """Publish no more."""
        self._asking.destroy()

    def ask(self) -> None:
        """Have the prompt that is due be asked, and note those that were due before it."""
        period_ns, now_ns = self.spec.period_ns, self._clock()
        late = max(0, (now_ns - self._due_ns) // period_ns)
        self._due_ns += (late + 1) * period_ns
        if late:
            self.line.miss(late)
            self._report(StandingPromptLate(self.name, period_ns), count=late)
        if not self.line.offer(Prompt(self.spec.text, time.time_ns(), now_ns, standing=True)):
            self._report(StandingPromptBusy(self.name, self.spec.at_once, period_ns))
