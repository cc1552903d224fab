"""Turns the orchestrator's state into diagnostics: levels, figures, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from aegis_ros.analysis import every_nth
from aegis_ros.orchestrator import LaneSummary, OrchestratorState, Stream, TaskState, TaskSummary
from aegis_ros.spec import Criticality

__all__ = ["ERROR", "OK", "STALE", "WARN", "Diagnosis", "diagnose"]

OK, WARN, ERROR, STALE = 0, 1, 2, 3

_SILENT_PERIODS = 10
_LOSS_WARNING = 0.1
_PROFILE_HINT = (
    "the camera driver's process needs the Fast DDS profile for large images: "
    "export FASTRTPS_DEFAULT_PROFILES_FILE=<share/aegis_ros/config/fastdds.xml> before starting it"
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One entry of /diagnostics."""

    name: str
    level: int
    message: str
    values: dict[str, str] = field(default_factory=dict)


def diagnose(
    state: OrchestratorState,
    lifecycle: str,
    streams: tuple[Stream, ...],
    publishers: dict[str, int],
    received_hz: dict[str, float],
) -> list[Diagnosis]:
    """Return the health of engine, arena, lanes and tasks.

    Args:
        state: everything at one moment.
        lifecycle: state of the node.
        streams: subscribed streams.
        publishers: number of publishers of each topic.
        received_hz: frames a second that reached each task, by task name.
    """
    entries = [_engine(state, lifecycle), _arena(state)]
    filled = {task.lane for task in state.tasks if _is_best_effort(task)}
    entries += [_lane(lane, lane.name in filled) for lane in state.lanes]
    topics = {stream.topic for stream in streams}
    for task in state.tasks:
        topic = task.spec.input.topic
        heard = publishers.get(topic, 0) if topic in topics else 0
        entries.append(_task(task, state.active, heard, received_hz.get(task.spec.name, 0.0)))
    return entries


def _engine(state: OrchestratorState, lifecycle: str) -> Diagnosis:
    status = state.engine_status
    values = {
        "state": lifecycle,
        "pid": str(status.pid),
        "restarts": str(status.restarts),
        "determinism": state.engine.determinism if state.engine else "",
        "device": state.engine.device if state.engine else "",
    }
    if state.engine is None:
        return Diagnosis("engine", OK, f"not started: the node is {lifecycle}", values)
    if status.pid == 0:
        return Diagnosis(
            "engine",
            ERROR,
            "the engine was given up after too many crashes; see ~/rationale, then "
            "deactivate, clean up and configure the node",
            values,
        )
    if status.restarts:
        return Diagnosis(
            "engine",
            WARN,
            f"restarted {status.restarts} time(s), the last within "
            f"{status.restart_ns / 1e6:.0f} ms; ~/rationale tells why",
            values,
        )
    return Diagnosis("engine", OK, "running", values)


def _arena(state: OrchestratorState) -> Diagnosis:
    used, budget = state.arena_used_bytes, state.arena_bytes
    share = used / budget if budget else 0.0
    text = f"{used / 2**20:.0f} of {budget / 2**20:.0f} MiB used"
    values = {"used_bytes": str(used), "budget_bytes": str(budget)}
    if share > 0.9:
        return Diagnosis(
            "arena", WARN, f"{text}; raise device.arena_mib before adding tasks", values
        )
    return Diagnosis("arena", OK, text, values)


def _is_best_effort(task: TaskSummary) -> bool:
    return task.spec.criticality is Criticality.BEST_EFFORT


def _lane(lane: LaneSummary, filled: bool) -> Diagnosis:
    """Return the health of a lane; what is ``filled`` with best effort may be busy all the time."""
    values = {
        "utilization_admitted": f"{lane.utilization_admitted:.4f}",
        "utilization_measured": f"{lane.utilization_measured:.4f}",
        "slack_ms": f"{lane.slack_ns / 1e6:.3f}",
        "waiting": str(lane.waiting),
    }
    text = f"busy {lane.utilization_measured:.0%}, admitted {lane.utilization_admitted:.0%}"
    if filled:
        text += ", and best effort in what is left"
    elif lane.utilization_measured > lane.utilization_admitted + 0.1:
        return Diagnosis(
            f"lane {lane.name}",
            WARN,
            f"{text}: networks run longer than their budgets; measure their profiles again",
            values,
        )
    return Diagnosis(f"lane {lane.name}", OK, text, values)


def _task(task: TaskSummary, active: bool, publishers: int, received_hz: float) -> Diagnosis:
    spec = task.spec
    declared_hz = 1e9 / spec.period_ns
    values = {
        "rate_hz": f"{task.rate_hz:.2f}",
        "received_hz": f"{received_hz:.2f}",
        "response_p50_ms": f"{task.response_p50_ns / 1e6:.2f}",
        "response_p99_ms": f"{task.response_p99_ns / 1e6:.2f}",
        "deadline_ms": f"{spec.deadline_ns / 1e6:.2f}",
        "execution_max_ms": f"{task.execution_max_ns / 1e6:.2f}",
        "budget_ms": f"{task.wcet_ns / 1e6:.2f}",
        "missed": str(task.missed),
        "skipped": str(task.skipped),
        "lost": str(task.lost),
        "every_nth": str(task.every_nth),
        "thinned": str(task.thinned),
        "result_age_s": f"{task.result_age_s:.2f}",
    }
    level, message = _task_level(task, active, publishers, received_hz, declared_hz)
    return Diagnosis(f"task {spec.name}", level, message, values)


def _task_level(
    task: TaskSummary, active: bool, publishers: int, received_hz: float, declared_hz: float
) -> tuple[int, str]:
    spec, topic = task.spec, task.spec.input.topic
    if task.state is TaskState.FAILED:
        return ERROR, "left out after crashing the engine; unregister it and check the network"
    if task.state is TaskState.DISABLED:
        return OK, "disabled on request"
    if not active:
        return OK, "admitted; waits for the node to be activated"
    if publishers == 0:
        return WARN, f"nobody publishes {topic}; start the driver, or remap the topic"
    silent_s = _SILENT_PERIODS * spec.period_ns / 1e9
    if task.received == 0 or (received_hz == 0.0 and task.result_age_s > max(silent_s, 1.0)):
        return WARN, (
            f"{topic} is silent although {publishers} publisher(s) exist: compare QoS "
            f"(ros2 topic info -v {topic}), or {_PROFILE_HINT}"
        )
    if task.completed and task.missed:
        share = task.missed / task.completed
        return (ERROR if share > 0.01 else WARN), (
            f"{task.missed} of {task.completed} results were late; compare received_hz, "
            "execution_max_ms with budget_ms, and transport with jitter_ms"
        )
    if task.execution_max_ns > task.wcet_ns:
        return WARN, (
            f"ran for {task.execution_max_ns / 1e6:.1f} ms against a budget of "
            f"{task.wcet_ns / 1e6:.1f} ms; measure its profile again"
        )
    if 0.0 < received_hz < declared_hz * (1.0 - _LOSS_WARNING):
        return WARN, (
            f"receives {received_hz:.1f} frames a second of {declared_hz:.1f} declared; if the "
            f"driver publishes more, {_PROFILE_HINT}"
        )
    if _is_best_effort(task):
        return OK, (
            f"{task.rate_hz:.1f} of {declared_hz:.1f} results a second in the slack, up to "
            f"{task.response_max_ns / 1e6:.0f} ms old; no deadline is promised"
        )
    fewer = f" from {every_nth(task.every_nth)}" if task.every_nth > 1 else ""
    return OK, (
        f"{task.rate_hz:.1f} results a second{fewer}, p99 {task.response_p99_ns / 1e6:.1f} of "
        f"{spec.deadline_ns / 1e6:.0f} ms"
    )
