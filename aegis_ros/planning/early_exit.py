"""Whether a task's jobs can end at an early exit, and what stands in the way.

An early exit is a set of outputs that a network has computed before its last segment ends, each of
which stands in for one that the task's decoder reads (imprecise computation, Liu et al. 1991).
"""

from __future__ import annotations

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.decoders import FrameInfo, create_decoder, outputs_read
from aegis_ros.network import PreparedNetwork, TensorInfo
from aegis_ros.planning.cutting import SEGMENT_COUNTS
from aegis_ros.planning.feeds import decoded_outputs
from aegis_ros.rationale import Reason
from aegis_ros.rationale.rejection import (
    ExitIncomplete,
    ExitUnknownToBackend,
    NoStandIn,
    NoSuchOutput,
    OutputsDiffer,
)
from aegis_ros.scheduling import EarlyExitPlan, SegmentPlan
from aegis_ros.spec import OverrunPolicy, TaskSpec

__all__ = ["early_exit_problem", "plan_for", "stand_in_problem"]


def stand_in_problem(spec: TaskSpec, prepared: PreparedNetwork) -> Reason | None:
    """Return which outputs cannot stand in for which, and why; ``None`` where all can."""
    known = {item.name: item for item in prepared.outputs}
    for output, stand_in in spec.early_exit.items():
        for name in (output, stand_in):
            if name not in known:
                return NoSuchOutput(spec.name, name, tuple(known))
        if not _alike(known[output], known[stand_in]):
            return OutputsDiffer(
                spec.name, output, _type(known[output]), stand_in, _type(known[stand_in])
            )
    return None


def early_exit_problem(
    spec: TaskSpec, prepared: PreparedNetwork, compiled: CompiledNetwork
) -> Reason | None:
    """Return why jobs of a task cannot end early in the present cut; ``None`` where they can.

    Args:
        spec: a task whose stand-ins :func:`stand_in_problem` accepts.
        prepared: its network.
        compiled: the same, cut.
    """
    if spec.on_overrun is not OverrunPolicy.EARLY_EXIT:
        return None
    segments = compiled.segments
    after = compiled.exit_after(spec.early_exit.values())
    if after >= segments:
        return _too_late(spec, compiled)
    given = compiled.exit_outputs(spec.early_exit)
    for name in _read(spec, prepared):
        if name not in given:
            return NoStandIn(spec.name, spec.output.decoder, name, after, segments)
    return None


def plan_for(
    spec: TaskSpec, compiled: CompiledNetwork, budgets_ns: tuple[int, ...], total_ns: int = 0
) -> SegmentPlan:
    """Return what the jobs of a task are made of.

    Args:
        spec: the task.
        compiled: its network.
        budgets_ns: of each segment; as many as the network has.
        total_ns: of a whole job; 0 for the sum of its segments.
    """
    if spec.on_overrun is OverrunPolicy.EARLY_EXIT and spec.early_exit:
        after = compiled.exit_after(spec.early_exit.values())
        if after < compiled.segments:
            return EarlyExitPlan(compiled.segments, budgets_ns, total_ns, after)
    return SegmentPlan(len(budgets_ns), budgets_ns, total_ns)


def _too_late(spec: TaskSpec, compiled: CompiledNetwork) -> Reason:
    segments = compiled.segments
    complete = compiled.completed_by(segments - 2) if segments > 1 else ()
    output, stand_in = next(item for item in spec.early_exit.items() if item[1] not in complete)
    if segments > 1 and not compiled.complete_after:
        return ExitUnknownToBackend(spec.name, output, stand_in, compiled.backend)
    more = next((count for count in SEGMENT_COUNTS if count > segments), 2 * segments)
    return ExitIncomplete(spec.name, output, stand_in, segments, more, compiled.note)


def _read(spec: TaskSpec, prepared: PreparedNetwork) -> tuple[str, ...]:
    decoder = create_decoder(
        spec.output.decoder,
        spec.output.options,
        spec.main_preprocess,
        decoded_outputs(spec, prepared),
        metadata=prepared.metadata,
    )
    # Of a chain, a decoder sees one crop as its frame.
    shape = prepared.max_shape[1:] if spec.follows else prepared.max_shape
    frame = FrameInfo.of(shape, spec.main_preprocess)
    return outputs_read(decoder, decoded_outputs(spec, prepared), frame)


def _alike(one: TensorInfo, other: TensorInfo) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape


def _type(item: TensorInfo) -> str:
    return f"{item.dtype} {list(item.shape)}"
