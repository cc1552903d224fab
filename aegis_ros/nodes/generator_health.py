"""How a generator is: its state and what it comes to go in, level and words come out."""

from __future__ import annotations

from aegis_ros.nodes.task_health import Level, Verdict
from aegis_ros.orchestrator import GeneratorState, GeneratorSummary, LaneSummary
from aegis_ros.rationale.memory import ShedForMemory
from aegis_ros.rationale.wording import length, words

__all__ = ["judge_generator"]

# How long requests must be in hand without a step, before that is told: at least so long, and as
# long as so many tokens take.
_LEAST_STALLED_NS = 5_000_000_000
_LEAST_STEPS = 10
_FULL = 0.9  # share of a busy lane from which on what runs in the slack may get no time


def judge_generator(
    generator: GeneratorSummary,
    lane: LaneSummary | None,
    *,
    active: bool,
    engine_runs: bool,
) -> Verdict:
    """Return how a generator is; the gravest finding decides.

    Health comes from steps: requests that wait for an answer while none ends are an error, except
    where tasks fill the lane of one that was promised nothing.

    Args:
        generator: its state and figures.
        lane: its lane; ``None`` where that is not known.
        active: whether requests are let in.
        engine_runs: whether there is an engine.
    """
    why = "" if generator.problem is None else words(generator.problem)
    if generator.state is GeneratorState.REFUSED:
        return Verdict(Level.ERROR, f"not admitted: {why}")
    if generator.state is GeneratorState.FAILED:
        return Verdict(Level.ERROR, why)
    if not active:
        return Verdict(Level.OK, "admitted; takes requests once the node is active")
    if not engine_runs:
        return Verdict(Level.ERROR, "no engine runs: see the entry engine")
    if isinstance(generator.problem, ShedForMemory):
        return Verdict(Level.WARN, f"takes no requests: {why}")
    if generator.state is GeneratorState.PAUSED:
        return Verdict(Level.WARN, f"gave up all its steps and takes no requests: {why}")
    stalled = _stalled(generator, lane)
    if stalled is not None:
        return stalled
    if generator.given_up:
        return Verdict(
            Level.WARN,
            f"gave up {', '.join(generator.given_up)} for the tasks beside it, and answers with "
            f"{', '.join(generator.steps)}; ~/rationale says why",
        )
    return _well(generator)


def _stalled(generator: GeneratorSummary, lane: LaneSummary | None) -> Verdict | None:
    """Return what is wrong where requests are in hand and no step ends."""
    expected = generator.expected_tokens_per_s
    usual_ns = _LEAST_STEPS * 1e9 / expected if expected else 0.0
    if generator.stalled_ns < max(_LEAST_STALLED_NS, usual_ns):
        return None
    asked = generator.running + generator.waiting
    text = f"no step has ended in {length(generator.stalled_ns)}, and {asked} request(s) wait"
    starved = lane is not None and lane.utilization_measured > _FULL
    if starved and lane is not None and lane.running != generator.spec.name:
        text += f": tasks fill lane {lane.name} to {lane.utilization_measured:.0%}"
        # What runs in the slack has no claim to any.
        level = Level.ERROR if generator.spec.tokens_per_s else Level.WARN
        return Verdict(level, text)
    return Verdict(Level.ERROR, f"{text}: see the entry engine and ~/rationale")


def _well(generator: GeneratorSummary) -> Verdict:
    if not generator.running and not generator.waiting:
        return Verdict(Level.OK, "waits for a request")
    speed = 0.0 if generator.adapted is None else generator.adapted.tokens_per_s
    text = f"{speed:.1f} tokens a second, {generator.running} of {generator.slots} answers"
    return Verdict(Level.OK, f"{text}, {generator.waiting} request(s) wait")
