"""The state of generators at one moment, for status and diagnostics."""

from __future__ import annotations

import time

from aegis_ros.orchestrator.adapting import AdaptedSummary
from aegis_ros.orchestrator.conversation import Conversation
from aegis_ros.orchestrator.types import GeneratorState, GeneratorSummary
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import GeneratorAdmitted
from aegis_ros.spec import GeneratorSpec

__all__ = ["refused_summary", "summary_of"]


def summary_of(
    spec: GeneratorSpec,
    answer: GeneratorAnswer,
    first: GeneratorAnswer,
    conversation: Conversation,
    *,
    adapted: AdaptedSummary,
    failure: Reason | None,
    squeezed: Reason | None,
    stepped_ns: int,
) -> GeneratorSummary:
    """Return a generator that was admitted as it is now.

    Args:
        spec: what was asked for.
        answer: what its lane bears now.
        first: what it bore when the generator was admitted.
        conversation: its requests.
        adapted: what it came to.
        failure: why the engine does not run it; ``None`` where it does.
        squeezed: why there is no memory for it; ``None`` where there is.
        stepped_ns: when its last step ended, monotonic; 0 for never.
    """
    demand, cache = conversation.demand(), answer.generator.cache
    state, problem = GeneratorState.RUNNING, failure
    if failure is not None:
        state = GeneratorState.FAILED
    elif squeezed is not None:
        state, problem = GeneratorState.PAUSED, squeezed
    elif not answer.admitted:
        state, problem = GeneratorState.PAUSED, answer.reason
    since_ns = max(demand.since_ns, stepped_ns)
    steps = tuple(each.name for each in answer.buckets)
    reason = answer.reason
    return GeneratorSummary(
        spec,
        state,
        problem,
        answer.generator.lane,
        steps,
        tuple(each.name for each in first.buckets if each.name not in steps),
        reason.tokens_per_s if isinstance(reason, GeneratorAdmitted) else 0.0,
        cache.slots,
        cache.max_len,
        demand.running,
        demand.waiting,
        max(0, time.monotonic_ns() - since_ns) if demand.since_ns else 0,
        cache.footprint.total,
        demand.running * cache.slot_bytes,
        adapted,
    )


def refused_summary(spec: GeneratorSpec, reason: Reason) -> GeneratorSummary:
    """Return a generator that was not admitted, for a reason."""
    return GeneratorSummary(
        spec,
        GeneratorState.REFUSED,
        reason,
        spec.lane,
        steps=(),
        given_up=(),
        expected_tokens_per_s=0.0,
        slots=spec.slots,
        max_len=spec.max_len,
        running=0,
        waiting=0,
        stalled_ns=0,
        cache_bytes=0,
        cache_used_bytes=0,
        adapted=None,
    )
