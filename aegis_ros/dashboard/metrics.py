"""The same status for Prometheus; names and units follow its conventions (base units, _total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aegis_ros.dashboard.feed import Feed
from aegis_ros.dashboard.views import GeneratorView, LaneView, StatusView, TaskView

_View = TypeVar("_View", TaskView, GeneratorView)

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FRESH_S = 5.0
_LIFECYCLE = ("unconfigured", "configuring", "inactive", "active", "finalized")
_TASK_STATES = ("running", "disabled", "waiting", "shed", "failed")
_GENERATOR_STATES = ("running", "paused", "failed", "refused")

# name, meaning, value
_LANE_GAUGES: tuple[tuple[str, str, Callable[[LaneView], float]], ...] = (
    (
        "utilization_admitted_ratio",
        "Sum of admitted budgets over periods, 0..1",
        lambda lane: lane.utilization_admitted,
    ),
    (
        "utilization_measured_ratio",
        "Share of the last window the lane was busy, 0..1",
        lambda lane: lane.utilization_measured,
    ),
    ("slack_seconds", "Least slack in the demand test", lambda lane: lane.slack_ms / 1e3),
    ("waiting_jobs", "Jobs that wait for the lane", lambda lane: lane.waiting),
)
_TASK_GAUGES: tuple[tuple[str, str, Callable[[TaskView], float]], ...] = (
    ("period_seconds", "Shortest declared time between frames", lambda task: task.period_ms / 1e3),
    ("deadline_seconds", "From stamp to published result", lambda task: task.deadline_ms / 1e3),
    ("budget_seconds", "WCET budget of the whole network", lambda task: task.wcet_ms / 1e3),
    (
        "response_bound_seconds",
        "Proven bound on the response time",
        lambda task: task.bound_ms / 1e3,
    ),
    ("utilization_ratio", "Lane time the task may use, 0..1", lambda task: task.utilization),
    ("arena_bytes", "Bytes of the arena the task takes", lambda task: task.arena_bytes),
    ("every_nth", "Decimation n: every n-th frame becomes a job", lambda task: task.decimation),
    ("rate_hertz", "Results a second over the last window", lambda task: task.rate_hz),
    (
        "result_age_seconds",
        "Time since the last result; NaN before the first",
        lambda task: task.result_age_s if task.result_age_s >= 0.0 else float("nan"),
    ),
)
_TASK_COUNTERS: tuple[tuple[str, str, Callable[[TaskView], int]], ...] = (
    ("frames_received", "Frames that reached the orchestrator", lambda task: task.received),
    ("results", "Jobs run to their end", lambda task: task.completed),
    ("deadline_misses", "Results published after their deadline", lambda task: task.missed),
    ("frames_skipped", "Frames not run, for all reasons", lambda task: task.skipped),
    (
        "jobs_lost",
        "Frames lost with the engine or on the way to their readers",
        lambda task: task.lost,
    ),
    ("frames_thinned", "Frames left out by decimation", lambda task: task.decimated),
    ("early_exits", "Jobs that ended at an early exit", lambda task: task.early_exits),
    ("invalid_numbers", "Points or numbers of frames that were none", lambda task: task.invalid),
    ("results_not_finite", "Results with NaN or infinite numbers", lambda task: task.not_finite),
    ("results_truncated", "Results of which rows were left out", lambda task: task.truncated),
)
_GENERATOR_GAUGES: tuple[tuple[str, str, Callable[[GeneratorView], float]], ...] = (
    (
        "tokens_per_second",
        "Tokens a second of all answers together, over the last five seconds",
        lambda each: each.tokens_per_s,
    ),
    (
        "expected_tokens_per_second",
        "Tokens a second of all answers that there is time for, about",
        lambda each: each.expected_tokens_per_s,
    ),
    (
        "promised_tokens_per_second",
        "Tokens a second that each answer is promised; 0 for best effort",
        lambda each: each.promised_tokens_per_s,
    ),
    (
        "stalled_seconds",
        "Time for which requests have been in hand and no step has ended",
        lambda each: each.stalled_s,
    ),
    ("step_seconds", "The last step, from begin to end", lambda each: each.step_ms / 1e3),
    ("context_tokens", "Longest sequence of the last step", lambda each: each.context),
    ("requests_running", "Requests that have a slot", lambda each: each.running),
    ("requests_waiting", "Requests that wait for a slot", lambda each: each.waiting),
    ("chunk_limit_tokens", "Most tokens of a prompt in one step", lambda each: each.chunk_limit),
    ("batch_limit", "Answers that may run at once", lambda each: each.batch_limit),
    ("length_limit_tokens", "Most tokens of a new request", lambda each: each.length_limit),
    ("steps_given_up", "Steps it was admitted with and gave up", lambda each: len(each.given_up)),
    ("slots", "Answers that have room at once", lambda each: each.slots),
    ("cache_reserved_bytes", "KV cache of all slots", lambda each: each.cache_bytes),
    ("cache_used_bytes", "KV cache of answers under way", lambda each: each.cache_used_bytes),
    (
        "arena_used_bytes",
        "In use by everything at the end of the last step",
        lambda each: each.arena_used_bytes,
    ),
    ("arena_peak_bytes", "The most that was in use", lambda each: each.arena_peak_bytes),
    (
        "device_use_ratio",
        "Share of the lane that was busy, 0..1; NaN for unknown",
        lambda each: each.device_use if each.device_use >= 0.0 else float("nan"),
    ),
)
_GENERATOR_COUNTERS: tuple[tuple[str, str, Callable[[GeneratorView], int]], ...] = (
    ("tokens", "Tokens generated", lambda each: each.tokens),
    ("limit_changes", "Changes of a limit", lambda each: each.limit_changes),
    (
        "out_of_memory",
        "Times that memory for a request could not be taken",
        lambda each: each.out_of_memory,
    ),
)
# A limit of memory was met: by decision and rule.
_QUOTA_RULES = ("arena", "memory")
_QUOTA_DECISIONS = ("rejected", "shed", "skipped", "informed")
_QUANTILES: tuple[tuple[str, str, tuple[tuple[str, Callable[[TaskView], float]], ...]], ...] = (
    (
        "response_seconds",
        "Stamp to published over the last window (quantile 1: the longest)",
        (
            ("0.5", lambda task: task.response_p50_ms / 1e3),
            ("0.99", lambda task: task.response_p99_ms / 1e3),
            ("1", lambda task: task.response_max_ms / 1e3),
        ),
    ),
    (
        "execution_seconds",
        "Time on the lane over the last window (quantile 1: the longest)",
        (
            ("0.5", lambda task: task.execution_p50_ms / 1e3),
            ("1", lambda task: task.execution_max_ms / 1e3),
        ),
    ),
)


class Metrics:
    """Renders what a feed holds; nothing is counted on the side.

    Args:
        feed: the status.
        target: name of the orchestrator, the label ``orchestrator`` of every metric.
    """

    def __init__(self, feed: Feed, target: str) -> None:
        """Register with a registry of its own."""
        self._feed = feed
        self._target = target
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before the first status."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric (called by the registry)."""
        age_s = self._feed.status_age_s
        status = self._feed.status
        fresh = age_s is not None and age_s < _FRESH_S
        yield self._gauge("up", "1 while the status is fresh (younger than 5 s)", float(fresh))
        yield self._decisions()
        if status is None or age_s is None:
            return
        yield self._gauge("status_age_seconds", "Time since the last status", age_s)
        yield from self._engine(status)
        for name, text, lane_value in _LANE_GAUGES:
            family = GaugeMetricFamily(f"aegis_lane_{name}", text, labels=["orchestrator", "lane"])
            for lane in status.lanes:
                family.add_metric([self._target, lane.name], lane_value(lane))
            yield family
        yield from self._tasks(status)
        yield from self._generators(status)
        yield from self._memory(status)

    def _memory(self, status: StatusView) -> Iterator[Metric]:
        """Yield what is known of memory and time under the names that dashboards have used before.

        They keep their names and units, against the conventions of the others.
        """
        labels = ["orchestrator", "task"]
        usage = GaugeMetricFamily(
            "model_arena_usage_bytes",
            "Bytes of the arena by holder; without a name: of several, and all that is not known",
            labels=labels,
        )
        held = {task.name: task.arena_bytes for task in status.tasks}
        held |= {each.name: each.cache_bytes for each in status.generators if each.cache_bytes}
        held[""] = max(0, status.arena_used_bytes - sum(held.values()))
        for name, nbytes in held.items():
            usage.add_metric([self._target, name], nbytes)
        yield usage
        capacity = GaugeMetricFamily(
            "model_arena_capacity_bytes", "Budget of the arena", labels=["orchestrator"]
        )
        capacity.add_metric([self._target], status.arena_bytes)
        yield capacity
        latency = GaugeMetricFamily(
            "inference_latency_ms",
            "Time on the lane over the last window (quantile 1: the longest)",
            labels=[*labels, "quantile"],
        )
        for task in status.tasks:
            latency.add_metric([self._target, task.name, "0.5"], task.execution_p50_ms)
            latency.add_metric([self._target, task.name, "1"], task.execution_max_ms)
        yield latency
        level = GaugeMetricFamily(
            "exit_level", "Last job: 0 ran to its end, 1 ended at its early exit", labels=labels
        )
        for name, exit_level in sorted(self._feed.exit_levels().items()):
            level.add_metric([self._target, name], exit_level)
        yield level
        quota = UnknownMetricFamily(
            "quota_exceeded_count",
            "Decisions by which a limit of memory was met, by rule; only grows",
            labels=["orchestrator", "rule"],
        )
        counts = self._feed.decision_counts()
        for rule in _QUOTA_RULES:
            found = sum(counts.get((decision, rule), 0) for decision in _QUOTA_DECISIONS)
            quota.add_metric([self._target, rule], found)
        yield quota

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"aegis_{name}", text, labels=["orchestrator"])
        family.add_metric([self._target], value)
        return family

    def _decisions(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "aegis_decisions",
            "Decisions received, by decision and rule",
            labels=["orchestrator", "decision", "rule"],
        )
        for (decision, rule), count in sorted(self._feed.decision_counts().items()):
            family.add_metric([self._target, decision, rule], count)
        return family

    def _engine(self, status: StatusView) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "aegis_state", "1 for the state the node is in", labels=["orchestrator", "state"]
        )
        for state in _LIFECYCLE:
            states.add_metric([self._target, state], float(status.state == state))
        yield states
        info = GaugeMetricFamily(
            "aegis_engine_info",
            "1, with backend and device as labels",
            labels=["orchestrator", "backend", "device"],
        )
        info.add_metric([self._target, status.backend, status.device], 1.0)
        yield info
        yield self._gauge("engine_up", "1 while the engine runs", float(status.engine_pid != 0))
        restarts = CounterMetricFamily(
            "aegis_engine_restarts", "Restarts of the engine", labels=["orchestrator"]
        )
        restarts.add_metric([self._target], status.engine_restarts)
        yield restarts
        yield self._gauge(
            "engine_restart_seconds",
            "How long the last restart took from loss to ready",
            status.engine_restart_ms / 1e3,
        )
        yield self._gauge(
            "tasks_rejected",
            "Tasks of the configuration or of an earlier run that were not admitted",
            len(status.rejected),
        )
        yield self._gauge("arena_budget_bytes", "Budget of the arena", status.arena_bytes)
        yield self._gauge("arena_used_bytes", "Used bytes of the arena", status.arena_used_bytes)

    def _each(
        self,
        kind: str,
        views: Sequence[_View],
        gauges: Sequence[tuple[str, str, Callable[[_View], float]]],
        counters: Sequence[tuple[str, str, Callable[[_View], int]]],
    ) -> Iterator[Metric]:
        """Yield a family for every figure that all of a kind have."""
        labels = ["orchestrator", kind, "lane"]
        for name, text, value in gauges:
            gauge = GaugeMetricFamily(f"aegis_{kind}_{name}", text, labels=labels)
            for each in views:
                gauge.add_metric([self._target, each.name, each.lane], value(each))
            yield gauge
        for name, text, count in counters:
            counter = CounterMetricFamily(f"aegis_{kind}_{name}", text, labels=labels)
            for each in views:
                counter.add_metric([self._target, each.name, each.lane], count(each))
            yield counter

    def _states(self, kind: str, views: Sequence[_View], known: Sequence[str]) -> Metric:
        """Return a family that is 1 for the state each of a kind is in."""
        family = GaugeMetricFamily(
            f"aegis_{kind}_state",
            f"1 for the state the {kind} is in",
            labels=["orchestrator", kind, "lane", "state"],
        )
        for each in views:
            for state in known:
                value = float(each.state == state)
                family.add_metric([self._target, each.name, each.lane, state], value)
        return family

    def _tasks(self, status: StatusView) -> Iterator[Metric]:
        labels = ["orchestrator", "task", "lane"]
        yield from self._each("task", status.tasks, _TASK_GAUGES, _TASK_COUNTERS)
        for name, text, quantiles in _QUANTILES:
            family = GaugeMetricFamily(f"aegis_task_{name}", text, labels=[*labels, "quantile"])
            for task in status.tasks:
                for quantile, of in quantiles:
                    family.add_metric([self._target, task.name, task.lane, quantile], of(task))
            yield family
        yield self._states("task", status.tasks, _TASK_STATES)

    def _generators(self, status: StatusView) -> Iterator[Metric]:
        labels = ["orchestrator", "generator", "lane"]
        yield from self._each(
            "generator", status.generators, _GENERATOR_GAUGES, _GENERATOR_COUNTERS
        )
        yield self._states("generator", status.generators, _GENERATOR_STATES)
        info = GaugeMetricFamily(
            "aegis_generator_precision",
            "1 for the precision that new requests run with",
            labels=[*labels, "precision"],
        )
        for each in status.generators:
            info.add_metric([self._target, each.name, each.lane, each.precision], 1.0)
        yield info
