"""Turns the orchestrator's state into diagnostics: levels, figures, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aegis_ros.device import DeviceState
from aegis_ros.memory import PressureGovernor
from aegis_ros.nodes.generator_health import judge_generator
from aegis_ros.nodes.hearing import Hearing
from aegis_ros.nodes.task_health import Level, Verdict, judge_task
from aegis_ros.orchestrator import (
    WINDOW_NS,
    GeneratorSummary,
    LaneSummary,
    OrchestratorState,
    RejectedTask,
    TaskSummary,
)
from aegis_ros.rationale import Decision
from aegis_ros.spec import Criticality, DiagnosticsSpec, MemorySpec
from aegis_ros.trace.balance import Balance

__all__ = [
    "ERROR",
    "OK",
    "STALE",
    "WARN",
    "Diagnosis",
    "SimulatedTime",
    "diagnose",
    "name_shared",
    "not_configured",
    "reachable",
]

OK, WARN, ERROR, STALE = Level.OK, Level.WARN, Level.ERROR, Level.STALE

_PAUSED_S = 2.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One entry of /diagnostics."""

    name: str
    level: int
    message: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulatedTime:
    """The clock of a simulation: what it shows, 0 for nothing yet, and for how long it stood."""

    now_ns: int
    still_s: float


def not_configured(lifecycle: str, failure: str) -> Diagnosis:
    """Return the health of a node without an orchestrator.

    Args:
        lifecycle: state of the node.
        failure: why it was not configured; empty where nobody tried.
    """
    values = {"state": lifecycle}
    if failure:
        return Diagnosis("engine", ERROR, f"{failure} Fix that, and configure again", values)
    return Diagnosis("engine", OK, f"not started: the node is {lifecycle}", values)


def name_shared(problem: str) -> Diagnosis:
    """Return whether the node is the only one of its name; ``problem`` is empty where it is."""
    if problem:
        return Diagnosis("name", ERROR, problem)
    return Diagnosis("name", OK, "no other node has this name")


def reachable(problem: str) -> Diagnosis:
    """Return whether others can reach the node by shared memory; ``problem`` is empty if so."""
    if problem:
        return Diagnosis("shared memory", ERROR, problem)
    return Diagnosis("shared memory", OK, "programs on this machine can reach this node")


def diagnose(
    state: OrchestratorState,
    lifecycle: str,
    hearing: Mapping[str, Hearing],
    *,
    device: DeviceState | None = None,
    limits: DiagnosticsSpec | None = None,
    memory: MemorySpec | None = None,
    simulated: SimulatedTime | None = None,
) -> list[Diagnosis]:
    """Return the health of engine, device, arena, lanes, tasks and generators.

    Args:
        state: everything at one moment.
        lifecycle: state of the node.
        hearing: what each task that is subscribed hears of its publishers, by its name.
        device: as it was read last; ``None`` for not yet.
        limits: from where on to warn; the usual ones if ``None``.
        memory: how short the machine's memory may become; as usual if ``None``.
        simulated: the clock that the node follows; ``None`` for the machine's.
    """
    limits = limits or DiagnosticsSpec()
    entries = [_engine(state, lifecycle), _device(device, limits), _arena(state, limits)]
    entries.append(_memory(state, memory or MemorySpec()))
    entries.append(_frames(state.frames))
    if simulated is not None:
        entries.append(_clock(simulated))
    for lane in state.lanes:
        own = [task for task in state.tasks if task.lane == lane.name]
        filled = any(_is_best_effort(task) for task in own)
        filled = filled or any(each.lane == lane.name for each in state.generators)
        entries.append(_lane(lane, own, limits, filled=filled, active=state.active))
    for task in state.tasks:
        # A task without an input needs no publisher.
        none = Hearing(publishers=0 if task.spec.sources else 1)
        heard = hearing.get(task.spec.name, none)
        verdict = judge_task(
            task,
            heard,
            active=state.active,
            engine_runs=state.engine_status.pid != 0,
            limits=limits,
        )
        entries.append(_task(task, heard, verdict))
    runs = state.engine_status.pid != 0
    lanes = {lane.name: lane for lane in state.lanes}
    for each in state.generators:
        verdict = judge_generator(each, lanes.get(each.lane), active=state.active, engine_runs=runs)
        entries.append(_generator(each, verdict))
    generators = {each.spec.name for each in state.generators}
    return entries + [_rejected(task) for task in state.rejected if task.name not in generators]


def _engine(state: OrchestratorState, lifecycle: str) -> Diagnosis:
    status = state.engine_status
    values = {
        "state": lifecycle,
        "pid": str(status.pid),
        "restarts": str(status.restarts),
        "determinism": state.engine.determinism if state.engine else "",
        "device": state.engine.device if state.engine else "",
        # Whoever keeps these sees when the end of the audit log was cut off (docs/security.md).
        "audit_record": str(state.audit_head[0]),
        "audit_digest": state.audit_head[1],
    }
    if state.engine is None:
        return Diagnosis("engine", OK, f"not started: the node is {lifecycle}", values)
    if status.given_up:
        return Diagnosis(
            "engine",
            ERROR,
            "the engine was lost too often and is not restarted; ~/rationale says why; deactivate "
            "and activate the node to try again",
            values,
        )
    if status.pid == 0:
        return Diagnosis("engine", WARN, "it was lost and is being restarted", values)
    if status.restarts:
        return Diagnosis(
            "engine",
            WARN,
            f"restarted {status.restarts} time(s), the last within "
            f"{status.restart_ns / 1e6:.0f} ms; ~/rationale says why",
            values,
        )
    return Diagnosis("engine", OK, "running", values)


def _clock(simulated: SimulatedTime) -> Diagnosis:
    values = {"simulated_s": f"{simulated.now_ns / 1e9:.3f}", "still_s": f"{simulated.still_s:.1f}"}
    if simulated.now_ns == 0:
        return Diagnosis(
            "clock",
            WARN,
            "use_sim_time is true and nothing has arrived on /clock: stamps are not read, and "
            "response times are measured from reception; start the simulation, or set "
            "use_sim_time to false",
            values,
        )
    text = f"simulated time {simulated.now_ns / 1e9:.1f} s"
    if simulated.still_s > _PAUSED_S:
        text += f", paused for {simulated.still_s:.0f} s"
    return Diagnosis("clock", OK, text, values)


def _device(device: DeviceState | None, limits: DiagnosticsSpec) -> Diagnosis:
    if device is None:
        return Diagnosis("device", OK, "not read yet")
    values = {"speed": f"{device.clock_factor:.3f}", "source": device.source}
    text = f"at {device.clock_factor:.0%} of its nominal speed"
    if device.temperature_c is not None:
        values["temperature_c"] = f"{device.temperature_c:.1f}"
        text += f", {device.temperature_c:.0f} degrees"
    values |= device.details
    if device.uncorrected_errors:
        return Diagnosis(
            "device",
            ERROR,
            f"{text}; its memory had {device.uncorrected_errors} uncorrected error(s) since "
            "monitoring began: reset the device, and replace it if errors recur",
            values,
        )
    if device.clock_factor < limits.device:
        why = " (limited by heat or power)" if device.throttled else ""
        text += f"{why}; frames are decimated first, then tasks are shed: cool the device, raise "
        return Diagnosis("device", WARN, text + "its power limit, or reduce the load", values)
    return Diagnosis("device", OK, text, values)


def _arena(state: OrchestratorState, limits: DiagnosticsSpec) -> Diagnosis:
    used, budget = state.arena_used_bytes, state.arena_bytes
    share = used / budget if budget else 0.0
    text = f"{used / 2**20:.0f} of {budget / 2**20:.0f} MiB used"
    values = {
        "used_bytes": str(used),
        "budget_bytes": str(budget),
        "model_arena_usage_bytes": str(used),
        "model_arena_capacity_bytes": str(budget),
        "quota_exceeded_count": str(state.quota_exceeded),
    }
    if share > limits.arena:
        return Diagnosis(
            "arena", WARN, f"{text}; raise device.arena_mib before adding tasks", values
        )
    return Diagnosis("arena", OK, text, values)


def _memory(state: OrchestratorState, spec: MemorySpec) -> Diagnosis:
    """Return how short the machine's memory is; a generator's and a task's own entry say more."""
    memory, shed = state.memory, state.shed_for_memory
    if memory is None:
        return Diagnosis("memory", OK, "not read yet")
    values = {
        "available_bytes": str(memory.available_bytes),
        "total_bytes": str(memory.total_bytes),
        "stalled": "unknown" if memory.stalled is None else f"{memory.stalled:.4f}",
        "swap_used_bytes": str(memory.swap_used_bytes),
        "engine_bytes": str(memory.engine_bytes),
        "engine_swapped_bytes": str(memory.engine_swapped_bytes),
        "source": memory.source,
        "shed": ", ".join(shed),
        "missing": "; ".join(memory.missing),
    }
    text = (
        f"{memory.available_bytes / 2**20:.0f} of {memory.total_bytes / 2**20:.0f} MiB free "
        f"({memory.source})"
        if memory.total_bytes
        else "how much is free is not known"
    )
    governor = PressureGovernor(spec.least_free, spec.most_stalled, spec.hold_ns)
    short = governor.low(memory) or governor.stalled(memory)
    if memory.stalled is not None and governor.stalled(memory):
        text += f", {memory.stalled:.0%} of the time is lost waiting for it"
    if short:
        rest = f"{', '.join(shed)} shed so far" if shed else "nothing runs that may be shed for it"
        text += f": {rest if spec.shed else 'nothing is shed for it (memory.shed is false)'}"
        text += "; end other programs, or unregister tasks"
        return Diagnosis("memory", WARN if shed else ERROR, text, values)
    if shed:
        text += f"; {', '.join(shed)} shed until it has been free for {spec.hold_ns / 1e9:g} s"
        return Diagnosis("memory", WARN, text, values)
    if memory.engine_swapped_bytes:
        text += f"; {memory.engine_swapped_bytes / 2**20:.0f} MiB of the engine are swapped out"
        return Diagnosis(
            "memory",
            WARN,
            f"{text}, and reading them back takes milliseconds: let it lock its memory "
            "(ulimit -l unlimited), or turn swap off",
            values,
        )
    return Diagnosis("memory", OK, text, values)


def _frames(frames: Balance) -> Diagnosis:
    """Return the balance of all frames: none may end without a result, a count and a reason."""
    values = {
        "received": str(frames.received),
        "results": str(frames.results),
        "decimated": str(frames.decimated),
        "skipped": str(frames.skipped),
        "lost": str(frames.lost),
        "in_flight": str(frames.in_flight),
    }
    if frames.in_flight < 0:
        text = f"{frames.sentence}: more frames ended than came; please report that as a bug"
        return Diagnosis("frames", WARN, text, values)
    return Diagnosis("frames", OK, frames.sentence, values)


def _is_best_effort(task: TaskSummary) -> bool:
    return task.spec.criticality is Criticality.BEST_EFFORT


def _lane(
    lane: LaneSummary,
    tasks: Sequence[TaskSummary],
    limits: DiagnosticsSpec,
    *,
    filled: bool,
    active: bool,
) -> Diagnosis:
    """Return the health of a lane; one that best effort fills may be busy all the time.

    A window may hold a part of one more job of each task than its share of the time.
    """
    more = sum(task.wcet_ns for task in tasks) / WINDOW_NS
    values = {
        "utilization_admitted": f"{lane.utilization_admitted:.4f}",
        "utilization_measured": f"{lane.utilization_measured:.4f}",
        "slack_ms": f"{lane.slack_ns / 1e6:.3f}",
        "waiting": str(lane.waiting),
    }
    text = f"busy {lane.utilization_measured:.0%}, admitted {lane.utilization_admitted:.0%}"
    if filled:
        text += "; best effort fills the slack"
    elif active and lane.utilization_measured > lane.utilization_admitted + limits.lane + more:
        return Diagnosis(
            f"lane {lane.name}",
            WARN,
            f"{text}: networks run longer than their budgets; measure their profiles again",
            values,
        )
    return Diagnosis(f"lane {lane.name}", OK, text, values)


def _rejected(task: RejectedTask) -> Diagnosis:
    """Return the health of a task that should run and does not."""
    why = task.rationale
    text = f"not admitted: {why.sentence}"
    if not task.from_file and why.decision is Decision.REJECTED:
        text += f" It is {task.origin}; unregister it if it is no longer wanted."
    values = {"rule": str(why.rule), "origin": task.origin}
    return Diagnosis(f"task {task.name}", ERROR, text, values)


def _task(task: TaskSummary, hearing: Hearing, verdict: Verdict) -> Diagnosis:
    spec = task.spec
    values = {
        "rate_hz": f"{task.rate_hz:.2f}",
        "received_hz": f"{task.came.hz:.2f}",
        "response_p50_ms": f"{task.response_p50_ns / 1e6:.2f}",
        "response_p99_ms": f"{task.response_p99_ns / 1e6:.2f}",
        "deadline_ms": f"{spec.deadline_ns / 1e6:.2f}",
        "execution_max_ms": f"{task.execution_max_ns / 1e6:.2f}",
        "budget_ms": f"{task.wcet_ns / 1e6:.2f}",
        "missed": str(task.missed),
        "skipped": str(task.skipped),
        "lost": str(task.lost),
        "in_flight": str(task.in_flight),
        "undecoded": str(task.undecoded),
        "every_nth": str(task.decimation),
        "thinned": str(task.decimated),
        "invalid": str(task.invalid),
        "not_finite": str(task.not_finite),
        "truncated": str(task.truncated),
        "slow_unpacking": str(task.slow_unpacking),
        "subscription": hearing.granted,
        "model_arena_usage_bytes": str(task.arena_bytes),
        "inference_latency_ms": f"{task.execution_p50_ns / 1e6:.2f}",
        "layer_load_time_ms": f"{task.load_ns / 1e6:.2f}",
        "exit_level": str(task.exit_level) if task.exit_level >= 0 else "none yet",
        "quota_exceeded_count": str(task.quota_exceeded),
        "result_age_s": f"{task.result_age_s:.2f}" if task.result_age_s >= 0 else "none yet",
    }
    for dropped in task.unanswered.dropped:
        values[f"since_last_result {dropped.reason.rule}"] = str(dropped.frames)
    for each in task.stamps:
        values[f"stamp_age_min_ms {each.topic}"] = f"{each.least_age_ns / 1e6:.1f}"
    return Diagnosis(f"task {spec.name}", verdict.level, verdict.message, values)


def _generator(generator: GeneratorSummary, verdict: Verdict) -> Diagnosis:
    spec, adapted = generator.spec, generator.adapted
    values = {
        "state": str(generator.state),
        "lane": generator.lane,
        "steps": ", ".join(generator.steps),
        "given_up": ", ".join(generator.given_up),
        "running": str(generator.running),
        "waiting": str(generator.waiting),
        "slots": str(generator.slots),
        "max_len": str(generator.max_len),
        "stalled_s": f"{generator.stalled_ns / 1e9:.2f}",
        "expected_tokens_per_s": f"{generator.expected_tokens_per_s:.2f}",
        "promised_tokens_per_s": f"{spec.tokens_per_s:.2f}",
        "cache_bytes": str(generator.cache_bytes),
        "cache_used_bytes": str(generator.cache_used_bytes),
    }
    if adapted is not None:
        limits = adapted.limits
        values |= {
            "tokens_per_s": f"{adapted.tokens_per_s:.2f}",
            "tokens": str(adapted.tokens),
            "step_ms": f"{adapted.latency_ns / 1e6:.2f}",
            "chunk_limit": str(limits.chunk),
            "batch_limit": str(limits.batch),
            "length_limit": str(limits.length),
            "precision": limits.precision or spec.precision,
            "limit_changes": str(adapted.changes),
            "out_of_memory": str(adapted.out_of_memory),
        }
    return Diagnosis(f"generator {spec.name}", verdict.level, verdict.message, values)
