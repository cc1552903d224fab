"""The `dashboard` node: a live page, and metrics, of one running orchestrator."""

from __future__ import annotations

import sys
import threading
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from aegis_ros.dashboard import (
    AnswerView,
    DecisionView,
    Feed,
    Settings,
    WhatIf,
    WindowView,
    analysis_task,
    critical_window,
)
from aegis_ros.errors import StateError
from aegis_ros.msg import InferenceResult, OrchestratorStatus, Rationale
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.command_line import take_ros_arguments
from aegis_ros.nodes.dashboard_messages import (
    decision_view,
    job_view,
    question_to_task,
    status_view,
)
from aegis_ros.nodes.ending import run_and_leave
from aegis_ros.nodes.loggable import text_of
from aegis_ros.nodes.parameters import Declaration, Parameters
from aegis_ros.nodes.serving import FIXED, TARGET, serve, served_at, target_of, token_of
from aegis_ros.rationale import Rule
from aegis_ros.rationale.printable import printable
from aegis_ros.srv import EvaluateModel, SetTaskEnabled

__all__ = ["DashboardNode", "main"]

_ANSWER_SECONDS = 30.0
_PUBLISH_MS = 2.0  # what ModelTask.msg means by 0
_MISSING = (
    "the dashboard needs packages that are not installed ({name}); install them: "
    "pip install 'aegis_ros[dashboard]', or apt-get install python3-fastapi python3-uvicorn "
    "python3-prometheus-client"
)
_VARIABLE = "AEGIS_DASHBOARD_TOKEN"

_PARAMETERS = (
    TARGET,
    *served_at(
        8470,
        "File with the token that a browser needs to pause and resume tasks (16 characters or "
        f"more, mode 600). Empty: that of {_VARIABLE}; without, the page is read-only.",
    ),
    Declaration("page", True, "Serve the page.", fixed=FIXED),
    Declaration("metrics", False, "Serve /metrics for Prometheus.", fixed=FIXED),
    Declaration(
        "results",
        True,
        "Subscribe to the results: their timing makes the timeline. False: lighter.",
        fixed=FIXED,
    ),
    Declaration(
        "batch_s",
        0.25,
        "Seconds between two batches of updates to a browser.",
        low=0.05,
        high=10.0,
        fixed=FIXED,
    ),
)


class DashboardNode(Node):
    """Listens to one orchestrator, and asks it what a person on the page asks."""

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters and subscribe.

        Raises:
            ConfigError: a parameter has a value that would not work.
        """
        super().__init__("dashboard", **arguments)
        given = Parameters(self, _PARAMETERS)
        self.target = target_of(self, given)
        self.settings = Settings(
            target=self.target,
            host=given["host"],
            port=given["port"],
            token=token_of(given, _VARIABLE),
            page=given["page"],
            metrics=given["metrics"],
            batch_s=given["batch_s"],
        )
        self._wants_results = given["results"]
        self.feed = Feed()
        self._status: OrchestratorStatus | None = None
        self._listening: dict[str, Any] = {}
        latched = QoSProfile(
            depth=1000,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self.create_subscription(OrchestratorStatus, f"{self.target}/status", self._on_status, 1)
        self.create_subscription(Rationale, f"{self.target}/rationale", self._on_rationale, latched)
        self._evaluate = self.create_client(EvaluateModel, f"{self.target}/evaluate_model")
        self._enable = self.create_client(SetTaskEnabled, f"{self.target}/set_task_enabled")
        answer_always(self)

    # -- news of the orchestrator -------------------------------------------------------------

    def _on_status(self, message: OrchestratorStatus) -> None:
        self._status = message
        self.feed.put_status(status_view(message))
        if self._wants_results:
            self._follow({self._absolute(task.spec.output.topic) for task in message.tasks})

    def _on_rationale(self, message: Rationale) -> None:
        self.feed.put_decision(decision_view(message))

    def _on_result(self, message: InferenceResult) -> None:
        self.feed.put_job(job_view(message))

    def _absolute(self, topic: str) -> str:
        """Return a topic as the orchestrator resolves it, in its own namespace."""
        if topic.startswith("/"):
            return topic
        if topic.startswith("~/"):
            return f"{self.target}{topic[1:]}"
        return f"{self.target.rpartition('/')[0]}/{topic}"

    def _follow(self, topics: set[str]) -> None:
        # best effort: the orchestrator must never wait for a page to be drawn
        light = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic in self._listening.keys() - topics:
            subscription = self._listening.pop(topic)
            if subscription is not None:
                self.destroy_subscription(subscription)
        forget_destroyed(self)
        for topic in topics - self._listening.keys():
            self._listening[topic] = self._listen(topic, light)

    def _listen(self, topic: str, qos: QoSProfile) -> Any:
        """Subscribe to results; return ``None``, and say why once, where that is refused."""
        try:
            return self.create_subscription(InferenceResult, topic, self._on_result, qos)
        except Exception as error:  # security may not allow it; the others must be shown
            self.get_logger().error(printable(f"{topic} cannot be shown: {text_of(error)}"))
            return None

    # -- what people ask (called on the server's threads) ---------------------------------------

    def evaluate(self, question: WhatIf) -> AnswerView:
        """Answer a what-if question; nothing is changed."""
        request = EvaluateModel.Request(
            task=question_to_task(question, self._status), without=list(question.without)
        )
        answer = self._ask(self._evaluate, request)
        decision = decision_view(answer.rationale)
        return AnswerView(
            admitted=answer.admitted,
            utilization_before=answer.utilization_before,
            utilization_after=answer.utilization_after,
            response_bound_ms=answer.response_bound_ms,
            deadline_ms=answer.deadline_ms,
            decision=decision,
            window=self._window(request, decision),
        )

    def _window(self, request: Any, decision: DecisionView) -> WindowView | None:
        status, asked = self.feed.status, request.task
        if decision.witness is None or status is None:
            return None
        without = {*request.without, asked.name}
        wcet_ms = asked.wcet_ms
        if not wcet_ms:
            # a measured budget is reported as what the lane would be used more
            added = decision.utilization_after - decision.utilization_before
            wcet_ms = added * asked.period_ms
        candidate = analysis_task(
            asked.name,
            wcet_ms=wcet_ms,
            period_ms=asked.period_ms,
            deadline_ms=asked.deadline_ms or asked.period_ms,
            publish_ms=asked.output.publish_ms or _PUBLISH_MS,
            jitter_ms=asked.jitter_ms,
            segments=asked.segments,
        )
        if candidate is None:
            return None
        # the witness of a task that is too long by itself is about nobody else
        alone = decision.rule == Rule.WCET_DEADLINE
        left = [task for task in status.tasks if not alone and task.name not in without]
        return critical_window(left, candidate, decision.witness)

    def set_enabled(self, task: str, enabled: bool) -> tuple[bool, str]:
        """Stop or resume feeding a task; return whether it was done, and why (not)."""
        answer = self._ask(self._enable, SetTaskEnabled.Request(name=task, enabled=enabled))
        return bool(answer.success), str(answer.rationale.sentence)

    def _ask(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            raise StateError(
                "the orchestrator is not there",
                where=client.srv_name,
                hint="Is it running, under this name (parameter target) and in this ROS_DOMAIN_ID?",
            )
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda done: answered.set())
        if not answered.wait(_ANSWER_SECONDS):
            client.remove_pending_request(future)
            raise StateError(
                f"no answer within {_ANSWER_SECONDS:.0f} s",
                where=client.srv_name,
                hint="It may be measuring a network; ask again",
            )
        return future.result()


def main(args: list[str] | None = None) -> int:
    """Serve until asked to end; return the exit code (1: it could not be served)."""
    take_ros_arguments("dashboard", "Serves the live page of an orchestrator.", _PARAMETERS, args)
    try:
        from aegis_ros.dashboard.server import Server
    except ModuleNotFoundError as error:
        print(_MISSING.format(name=error.name), file=sys.stderr)
        return 1
    return serve(
        DashboardNode,
        lambda node: Server(node.feed, node, node.settings),
        args,
        what=lambda node: f"{'page' if node.settings.page else 'metrics'} of {node.target}",
        seen="read the page",
    )


if __name__ == "__main__":
    run_and_leave(main)
