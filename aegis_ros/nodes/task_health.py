"""How a task is: counts and reasons go in, level and words come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from aegis_ros.nodes.hearing import Hearing
from aegis_ros.nodes.resources import fastdds_profile
from aegis_ros.orchestrator import (
    Dropped,
    StampVerdict,
    TaskState,
    TaskSummary,
    TopicStamps,
    slow_unpacking_ns,
)
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.wording import every_nth, length, words
from aegis_ros.spec import Criticality, DiagnosticsSpec

__all__ = ["Level", "Verdict", "judge_task", "profile_hint"]

# Frames without a result, and how long that must have lasted, before it is an error.
_LEAST_UNANSWERED = 3
_LEAST_PERIODS = 3
_LEAST_NS = 1_000_000_000
_DISCOVERY_S = 5.0  # until the graph knows a publisher that was there before, on a busy network
_LEAST_SLOW = 2  # one that was held up says nothing of the pictures

_CLOCKS = "synchronise the sender's clock with this one (chrony, PTP)"
# What is meant to drop frames: it makes no task ill.
_INTENDED = (
    Rule.OPERATOR,
    Rule.DEVICE_SPEED,
    Rule.MEMORY,
    Rule.CRITICALITY,
    Rule.DECIMATION,
)
# What takes only frames that are too many: never the cause where another frame failed otherwise.
_SURPLUS = (Rule.NEWER_FRAME, Rule.RATE_GATE, *_INTENDED)


class Level(IntEnum):
    """Levels of a diagnosis; the numbers of ``DiagnosticStatus``."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a task is, and what to do about it."""

    level: Level
    message: str


@cache
def profile_hint() -> str:
    """Return what the driver of large images needs, with a path that can be copied."""
    # No angle brackets: rqt_runtime_monitor takes them for HTML and leaves them out.
    try:
        path = str(fastdds_profile())
    except FileNotFoundError:
        path = "$(ros2 pkg prefix aegis_ros --share)/config/fastdds.xml"
    return (
        "the camera driver's process needs the Fast DDS profile for large images: "
        f"export FASTRTPS_DEFAULT_PROFILES_FILE={path} before starting it"
    )


def judge_task(
    task: TaskSummary,
    hearing: Hearing,
    *,
    active: bool,
    engine_runs: bool,
    limits: DiagnosticsSpec,
) -> Verdict:
    """Return how a task is; the gravest finding decides.

    Health comes from results: frames that come in while nothing comes out are an error, whatever
    the reason is.

    Args:
        task: its counts, figures and reasons.
        hearing: what it hears of its publishers.
        active: whether frames are let in.
        engine_runs: whether there is an engine.
        limits: from where on to warn.
    """
    state = _by_state(task, active=active, engine_runs=engine_runs)
    if state is not None:
        return state
    for judge in (_hears, _answers, _decodes, _keeps_time, _unpacks, _loses, _keeps_up):
        found = judge(task, hearing, limits)
        if found is not None:
            return found
    return _well(task)


def _by_state(task: TaskSummary, *, active: bool, engine_runs: bool) -> Verdict | None:
    if task.state is TaskState.FAILED:
        return Verdict(Level.ERROR, task.problem)
    if task.state is TaskState.DISABLED:
        return Verdict(Level.OK, "disabled on request")
    if not active:
        return Verdict(Level.OK, "admitted; runs once the node is active")
    if not engine_runs:
        return Verdict(Level.ERROR, "no engine runs: see the entry engine")
    if task.state is TaskState.SHED:
        shed = next(
            (each for each in task.unanswered.dropped if each.reason.rule in _INTENDED), None
        )
        why = words(shed.reason) if shed else "its lane or the device has no time for it"
        return Verdict(Level.WARN, f"shed, no frame of it runs: {why}")
    return None


def _hears(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    if not task.spec.sources:  # no topic feeds it; of a chain, a result may hold no boxes
        return None
    topic = task.spec.topics
    if hearing.unheard and hearing.publishers == 0:
        return Verdict(Level.ERROR, _unheard(hearing.unheard))
    never = task.received == 0
    if hearing.publishers == 0 and task.awaited_s > _DISCOVERY_S:
        return Verdict(
            Level.WARN, f"{topic} has no publisher; start the driver, or remap the topic"
        )
    # Before frames were let in, none could come.
    quiet_s = task.awaited_s if never else min(task.awaited_s, task.received_age_s)
    silent_s = limits.silent_periods * task.spec.period_ns / 1e9
    if hearing.publishers and quiet_s > max(silent_s, 1.0):
        names = [each.topic for _, each, _ in task.spec.sources]
        commands = "; ".join(f"ros2 topic hz {name}" for name in names)
        return Verdict(
            Level.WARN,
            f"{topic} {'is' if len(names) == 1 else 'are'} silent although {hearing.publishers} "
            f"publisher(s) fit in type and QoS: check that they publish ({commands}); if they do, "
            f"{profile_hint()}",
        )
    return Verdict(Level.OK, f"waits for the first frame on {topic}") if never else None


def _answers(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    """Return an error where frames come in and nothing comes out."""
    found, spec = task.unanswered, task.spec
    usual_ns = _LEAST_PERIODS * spec.period_ns * task.decimation + spec.deadline_ns
    if found.frames < _LEAST_UNANSWERED or found.for_ns < max(_LEAST_NS, usual_ns):
        return None
    text = f"no result from {found.frames} frames in {length(found.for_ns)}"
    if not found.dropped:
        return Verdict(Level.ERROR, f"{text}, and none of them has ended: see the entry engine")
    most, *others = sorted(found.dropped, key=_surplus)
    text += f": {_counted(most)}"
    if others:
        text += "; " + ", ".join(f"{each.frames} by {each.reason.rule}" for each in others)
    # What runs in the slack has no claim to any.
    starved = _is_best_effort(task) and most.reason.rule is Rule.NEWER_FRAME
    return Verdict(Level.WARN if starved else Level.ERROR, text)


def _decodes(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    """Return what is wrong with what results hold."""
    failed, gave = task.undecoded_lately, task.gave
    if failed.count and task.undecoded_reason is not None:
        all_failed = failed.count >= gave.count
        return Verdict(
            Level.ERROR if all_failed else Level.WARN,
            f"{failed.count} of the last {max(gave.count, failed.count)} results were published "
            f"without what their decoder makes of them; the last: {words(task.undecoded_reason)}",
        )
    bad = task.not_finite_lately
    if bad.count:
        return Verdict(
            Level.WARN,
            f"{bad.count} results of the last {bad.within_ns / 1e9:.0f} s hold NaN or infinite "
            "numbers: check scale, mean and std, declare invalid: drop or zero for the inputs, and "
            "see whether the network overflows in float16",
        )
    return None


def _keeps_time(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    unread = (StampVerdict.AHEAD, StampVerdict.OFF)
    off = next((_stamps_off(each) for each in task.stamps if each.verdict in unread), "")
    if task.completed and task.missed:
        share = task.missed / task.completed
        text = f"{task.missed} of {task.completed} results were late; {_why_late(task, limits)}"
        return Verdict(
            Level.ERROR if share > limits.late_error else Level.WARN,
            f"{text}; {off}" if off else text,
        )
    if off:
        return Verdict(Level.WARN, off)
    if task.execution_max_ns > limits.budget * task.wcet_ns:
        return Verdict(
            Level.WARN,
            f"ran for {task.execution_max_ns / 1e6:.1f} ms against a budget of "
            f"{task.wcet_ns / 1e6:.1f} ms; measure its profile again",
        )
    return None


def _unpacks(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    """Return a warning where pictures take too long to be decoded, again and again."""
    if _unpacked_slowly(task, limits):
        return Verdict(Level.WARN, _slow_unpacking(task))
    return None


def _unpacked_slowly(task: TaskSummary, limits: DiagnosticsSpec) -> bool:
    slow = task.slow_unpacking_lately.count
    return slow >= _LEAST_SLOW and slow > limits.loss * task.came.count


def _slow_unpacking(task: TaskSummary) -> str:
    slow = task.slow_unpacking_lately.count
    return (
        f"decoding or copying took more than {length(slow_unpacking_ns(task.spec))}, half of the "
        f"period, for {slow} of the last {max(task.came.count, slow)} frames, the last time "
        f"{length(task.slow_unpacking_ns)}: have smaller images published, as JPEG in place of PNG "
        "and without jpeg_progressive, or raw on the same machine; aegis doctor says whether "
        "something else takes the cores"
    )


def _loses(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    """Return a warning where more frames than usual gave no result lately."""
    came = task.came
    for each in task.dropped:
        if each.reason.rule in _INTENDED or each.frames < 2:
            continue
        if each.reason.rule is Rule.NEWER_FRAME and _is_best_effort(task):
            continue
        if each.reason.rule is Rule.RATE_GATE and not _falls_short(task, limits):
            continue
        if each.frames > limits.loss * came.count:
            return Verdict(
                Level.WARN,
                f"{each.frames} of the last {max(came.count, each.frames)} frames gave no result: "
                f"{_counted(each)}",
            )
    return None


def _keeps_up(task: TaskSummary, hearing: Hearing, limits: DiagnosticsSpec) -> Verdict | None:
    spec, came = task.spec, task.came
    # One frame less in a window is no loss: it depends on where the window begins.
    expected = came.within_ns / spec.period_ns
    sparse = came.count and came.count + 1 < expected * (1.0 - limits.loss)
    if sparse and not spec.follows:
        return Verdict(
            Level.WARN,
            f"receives {came.hz:.1f} frames a second of {1e9 / spec.period_ns:.1f} declared; if "
            f"the driver publishes more, {profile_hint()}",
        )
    if hearing.unheard:
        return Verdict(Level.WARN, _unheard(hearing.unheard))
    if not _is_best_effort(task) and task.response_p99_ns > limits.deadline * spec.deadline_ns:
        return Verdict(
            Level.WARN,
            f"p99 of the response is {task.response_p99_ns / 1e6:.1f} of "
            f"{spec.deadline_ns / 1e6:.0f} ms; aegis check shows what it waits for",
        )
    return None


def _well(task: TaskSummary) -> Verdict:
    spec = task.spec
    if _is_best_effort(task):
        return Verdict(
            Level.OK,
            f"{task.rate_hz:.1f} of {1e9 / spec.period_ns:.1f} results a second in the slack, up "
            f"to {task.response_max_ns / 1e6:.0f} ms old; no deadline is promised",
        )
    fewer = f" from {every_nth(task.decimation)}" if task.decimation > 1 else ""
    cut = f"; {task.truncated} lack what is beyond output.max_results" if task.truncated else ""
    return Verdict(
        Level.OK,
        f"{task.rate_hz:.1f} results a second{fewer}, p99 {task.response_p99_ns / 1e6:.1f} of "
        f"{spec.deadline_ns / 1e6:.0f} ms{cut}",
    )


def _falls_short(task: TaskSummary, limits: DiagnosticsSpec) -> bool:
    """Return whether there were fewer results lately than the declared rate lets through."""
    expected = task.gave.within_ns / (task.spec.period_ns * task.decimation)
    return task.gave.count + 1 < expected * (1.0 - limits.loss)


def _surplus(dropped: Dropped) -> int:
    """Return 0 for a cause, and more the less a reason explains why there is no result at all."""
    rule = dropped.reason.rule
    return _SURPLUS.index(rule) + 1 if rule in _SURPLUS else 0


def _counted(dropped: Dropped) -> str:
    return f"{dropped.frames} by {dropped.reason.rule}, the last because {words(dropped.reason)}"


def _why_late(task: TaskSummary, limits: DiagnosticsSpec) -> str:
    """Return what to look at: slow decoding, how old frames are when they arrive, or everything."""
    if _unpacked_slowly(task, limits):
        return _slow_unpacking(task)
    oldest = max(task.stamps, key=lambda each: each.least_age_ns, default=None)
    jitter_ns = task.spec.jitter_ns
    if oldest is None or oldest.least_age_ns <= jitter_ns:
        return "compare received_hz, execution_max_ms with budget_ms, and transport with jitter_ms"
    text = (
        f"frames on {oldest.topic} are at least {length(oldest.least_age_ns)} old by their stamps "
        "when they arrive"
    )
    if oldest.verdict is StampVerdict.BEHIND:
        return f"{text}, more than the deadline: {_CLOCKS}, or see why it stamps or sends so late"
    return f"{text}; jitter_ms declares {jitter_ns / 1e6:g}: {_CLOCKS}, or declare what is true"


def _stamps_off(stamps: TopicStamps) -> str:
    ahead = "ahead of" if stamps.least_age_ns < 0 else "behind"
    return (
        f"the stamps on {stamps.topic} are at least {length(abs(stamps.least_age_ns))} {ahead} "
        f"this node's clock, and responses are measured from reception: {_CLOCKS}, or have the "
        "driver stamp its frames"
    )


def _unheard(unheard: Sequence[Reason]) -> str:
    more = f" (and {len(unheard) - 1} more, see ~/rationale)" if len(unheard) > 1 else ""
    return words(unheard[0]) + more


def _is_best_effort(task: TaskSummary) -> bool:
    return task.spec.criticality is Criticality.BEST_EFFORT
