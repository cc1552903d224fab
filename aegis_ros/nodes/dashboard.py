"""The `dashboard` node: a live page, and metrics, of one running orchestrator."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from aegis_ros.dashboard import (
    AnswerView,
    BoundView,
    CounterfactualView,
    DecisionView,
    Feed,
    JobView,
    LaneView,
    Settings,
    StatusView,
    TaskView,
    WhatIf,
    WindowView,
    WitnessView,
    analysis_task,
    critical_window,
)
from aegis_ros.errors import AegisError, ConfigError, StateError
from aegis_ros.msg import InferenceResult, ModelTask, OrchestratorStatus, Rationale
from aegis_ros.rationale import Rule
from aegis_ros.srv import EvaluateModel, SetTaskEnabled

__all__ = ["DashboardNode", "main", "question_to_task"]

_ANSWER_SECONDS = 30.0
_PUBLISH_MS = 2.0  # what ModelTask.msg means by 0
_MISSING = (
    "the dashboard needs packages that are not installed ({name}); install them: "
    "pip install 'aegis_ros[dashboard]', or apt-get install python3-fastapi python3-uvicorn "
    "python3-prometheus-client"
)


class DashboardNode(Node):
    """Listens to one orchestrator, and asks it what a person on the page asks."""

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters and subscribe.

        Raises:
            ConfigError: a parameter has a value that would not work.
        """
        super().__init__("dashboard", **arguments)
        self._declare_parameters()
        target = self._get("target")
        # as the graph resolves it: remapped, and in this node's namespace where it is relative
        self.target = self.resolve_topic_name(f"{target}/status").removesuffix("/status")
        self.settings = Settings(
            target=self.target,
            host=self._get("host"),
            port=self._get("port"),
            token=self._get("token"),
            page=self._get("page"),
            metrics=self._get("metrics"),
            batch_s=self._get("batch_s"),
        )
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

    def _declare_parameters(self) -> None:
        def declare(name: str, default: Any, text: str, **limits: Any) -> None:
            descriptor = ParameterDescriptor(description=text, read_only=True, **limits)
            try:
                self.declare_parameter(name, default, descriptor)
            except ParameterException as error:
                raise ConfigError(str(error), where=name) from error

        declare("target", "orchestrator", "Name of the orchestrator node; relative: in this one's.")
        declare("host", "127.0.0.1", "Address to listen on. 127.0.0.1: this machine only.")
        declare(
            "port",
            8470,
            "Port to listen on. 0: any free one; the log says which.",
            integer_range=[IntegerRange(from_value=0, to_value=65535, step=1)],
        )
        declare(
            "token",
            "",
            "Token that a browser needs to pause and resume tasks (16 characters or more). "
            "Empty: the page is read-only.",
        )
        declare("page", True, "Serve the page.")
        declare("metrics", False, "Serve /metrics for Prometheus.")
        declare(
            "results",
            True,
            "Subscribe to the results: their timing makes the timeline. False: lighter.",
        )
        declare(
            "batch_s",
            0.25,
            "Seconds between two batches of updates to a browser.",
            floating_point_range=[FloatingPointRange(from_value=0.05, to_value=10.0)],
        )

    def _get(self, name: str) -> Any:
        return self.get_parameter(name).value

    # -- news of the orchestrator -------------------------------------------------------------

    def _on_status(self, message: OrchestratorStatus) -> None:
        self._status = message
        self.feed.put_status(_status_view(message))
        if self._get("results"):
            self._follow({self._absolute(task.spec.output.topic) for task in message.tasks})

    def _on_rationale(self, message: Rationale) -> None:
        self.feed.put_decision(_decision_view(message))

    def _on_result(self, message: InferenceResult) -> None:
        self.feed.put_job(_job_view(message))

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
            self.destroy_subscription(self._listening.pop(topic))
        for topic in topics - self._listening.keys():
            self._listening[topic] = self.create_subscription(
                InferenceResult, topic, self._on_result, light
            )

    # -- what people ask (called on the server's threads) ---------------------------------------

    def evaluate(self, question: WhatIf) -> AnswerView:
        """Answer a what-if question; nothing is changed."""
        request = EvaluateModel.Request(
            task=question_to_task(question, self._status), without=list(question.without)
        )
        answer = self._ask(self._evaluate, request)
        decision = _decision_view(answer.rationale)
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


def question_to_task(question: WhatIf, status: OrchestratorStatus | None) -> ModelTask:
    """Return the task a question is about.

    Raises:
        ConfigError: it is to be like a task that is not admitted.
    """
    task = ModelTask()
    if question.like:
        admitted = {each.spec.name: each.spec for each in status.tasks} if status else {}
        if question.like not in admitted:
            raise ConfigError(
                "there is no such task",
                where="like",
                value=question.like,
                expected=", ".join(sorted(admitted)) or "an admitted task (there is none)",
            )
        task = _copied(admitted[question.like])
    task.name = question.name
    for name in ("model", "period_ms", "deadline_ms", "jitter_ms", "wcet_ms", "criticality"):
        given = getattr(question, name)
        if given:
            setattr(task, name, given)
    if question.model:
        task.sha256 = ""
    if question.topic:
        task.input.topic = question.topic
    # an empty lane is an answer here: let the admission choose
    task.lane = question.lane
    if not task.output.topic:
        task.output.topic = f"what_if/{question.name}"
    return task


def _copied(message: Any) -> Any:
    copy = type(message)()
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        nested = hasattr(value, "get_fields_and_field_types")
        setattr(copy, name, _copied(value) if nested else value)
    return copy


def _ms(time: Any) -> float:
    return float(time.sec * 1e3 + time.nanosec / 1e6)


def _status_view(message: Any) -> StatusView:
    return StatusView(
        stamp_ms=_ms(message.stamp),
        state=message.state,
        backend=message.backend,
        device=message.device,
        engine_pid=message.engine_pid,
        engine_restarts=message.engine_restarts,
        engine_restart_ms=message.engine_restart_ms,
        engine_determinism=message.engine_determinism,
        arena_bytes=message.arena_bytes,
        arena_used_bytes=message.arena_used_bytes,
        lanes=tuple(
            LaneView(
                each.name,
                each.cpu,
                each.utilization_admitted,
                each.utilization_measured,
                each.slack_ms,
                each.running,
                each.waiting,
            )
            for each in message.lanes
        ),
        tasks=tuple(_task_view(each) for each in message.tasks),
    )


def _task_view(message: Any) -> TaskView:
    spec = message.spec
    return TaskView(
        name=spec.name,
        model=spec.model,
        topic=spec.input.topic,
        lane=message.lane,
        criticality=spec.criticality,
        state=message.state,
        period_ms=spec.period_ms,
        deadline_ms=spec.deadline_ms or spec.period_ms,
        jitter_ms=spec.jitter_ms,
        publish_ms=spec.output.publish_ms,
        segments=spec.segments,
        wcet_ms=message.wcet_ms,
        wcet_source=message.wcet_source,
        bound_ms=message.response_bound_ms,
        utilization=message.utilization,
        arena_bytes=message.arena_bytes,
        received=message.received,
        completed=message.completed,
        missed=message.missed,
        skipped=message.skipped,
        lost=message.lost,
        rate_hz=message.rate_hz,
        response_p50_ms=message.response_p50_ms,
        response_p99_ms=message.response_p99_ms,
        response_max_ms=message.response_max_ms,
        execution_p50_ms=message.execution_p50_ms,
        execution_max_ms=message.execution_max_ms,
        result_age_s=message.result_age_s,
        decimation=max(1, message.decimation),
        decimated=message.decimated,
        early_exits=message.early_exits,
    )


def _job_view(message: Any) -> JobView:
    timing = message.timing
    return JobView(
        task=message.task,
        job=message.job,
        stamped_ms=_ms(timing.stamped),
        received_ms=_ms(timing.received),
        released_ms=_ms(timing.released),
        started_ms=_ms(timing.started),
        finished_ms=_ms(timing.finished),
        published_ms=_ms(timing.published),
        deadline_ms=_ms(timing.deadline),
        met=timing.met,
        execution_ms=timing.execution_ms,
        response_ms=timing.response_ms,
    )


def _decision_view(message: Any) -> DecisionView:
    found = message.witness
    return DecisionView(
        stamp_ms=_ms(message.stamp),
        id=message.id,
        related=message.related,
        task=message.task,
        job=message.job,
        decision=message.decision,
        rule=message.rule,
        sentence=message.sentence,
        left=message.left,
        relation=message.relation,
        right=message.right,
        unit=message.unit,
        lane=message.lane,
        utilization_before=message.utilization_before,
        utilization_after=message.utilization_after,
        witness=WitnessView(
            found.lane,
            found.t_ms,
            found.demand_ms,
            found.blocking_ms,
            found.blocking_task,
            found.slack_ms,
        )
        if found.lane
        else None,
        responses=tuple(
            BoundView(each.task, each.lane, each.bound_ms, each.deadline_ms)
            for each in message.responses
        ),
        counterfactuals=tuple(
            CounterfactualView(each.task, each.change, each.value, each.sentence)
            for each in message.counterfactuals
        ),
        count=message.count,
    )


def main(args: list[str] | None = None) -> int:
    """Serve until asked to end; return the exit code (1: it could not be served)."""
    try:
        from aegis_ros.dashboard.server import Server
    except ModuleNotFoundError as error:
        print(_MISSING.format(name=error.name), file=sys.stderr)
        return 1
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = DashboardNode()
        server = Server(node.feed, node, node.settings)
    except AegisError as error:
        print(str(error), file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=_spin, args=(executor, node, end), daemon=True)
    spinner.start()
    what = "page" if node.settings.page else "metrics"
    node.get_logger().info(f"{what} of {node.target} at {server.url}")
    if not node.settings.loopback:
        node.get_logger().warning(
            f"anyone who can reach {node.settings.host} can read the page, unencrypted; "
            "a tunnel (ssh -L) to 127.0.0.1 is safer"
        )
    end.wait()
    server.close()
    rclpy.try_shutdown()
    spinner.join(timeout=2.0)
    return 0


def _spin(executor: SingleThreadedExecutor, node: Node, end: threading.Event) -> None:
    while not end.is_set():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception as error:  # one odd message must not end the page
            node.get_logger().error(f"a callback failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
