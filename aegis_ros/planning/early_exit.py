"""Whether a task's jobs can end at an early exit, and what stands in the way.

An early exit is a set of outputs that a network has computed before its last segment ends, each of
which stands in for one that the task's decoder reads (imprecise computation, Liu et al. 1991).
"""

from __future__ import annotations

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.decoders import FrameInfo, create_decoder, outputs_read
from aegis_ros.network import PreparedNetwork, TensorInfo
from aegis_ros.planning.cutting import SEGMENT_COUNTS
from aegis_ros.scheduling import EarlyExitPlan, SegmentPlan
from aegis_ros.spec import OverrunPolicy, TaskSpec

__all__ = ["early_exit_problem", "plan_for", "stand_in_problem"]

_OTHERWISE = "or choose another on_overrun"


def stand_in_problem(spec: TaskSpec, prepared: PreparedNetwork) -> str:
    """Return which outputs cannot stand in for which, and why; empty where all can."""
    known = {item.name: item for item in prepared.outputs}
    for output, stand_in in spec.early_exit.items():
        for name in (output, stand_in):
            if name not in known:
                return (
                    f"early_exit of {spec.name} names output {name!r}, which the network does not "
                    f"have; its outputs are {', '.join(known)}"
                )
        if not _alike(known[output], known[stand_in]):
            return (
                f"output {_shown(known[stand_in])} cannot stand in for {_shown(known[output])} in "
                f"early_exit of {spec.name}: one decoder reads both, so that type and extents must "
                "be the same"
            )
    return ""


def early_exit_problem(spec: TaskSpec, prepared: PreparedNetwork, compiled: CompiledNetwork) -> str:
    """Return why jobs of a task cannot end early in the present cut; empty where they can.

    Args:
        spec: a task whose stand-ins :func:`stand_in_problem` accepts.
        prepared: its network.
        compiled: the same, cut.
    """
    if spec.on_overrun is not OverrunPolicy.EARLY_EXIT:
        return ""
    segments = compiled.segments
    after = compiled.exit_after(spec.early_exit.values())
    if after >= segments:
        return _too_late(spec, compiled)
    given = compiled.exit_outputs(spec.early_exit)
    for name in _read(spec, prepared):
        if name not in given:
            return (
                f"decoder {spec.output.decoder} of {spec.name} reads output {name!r}, and nothing "
                f"stands in for it at the early exit after segment {after} of {segments}; name "
                f"what does in early_exit, {_OTHERWISE}"
            )
    return ""


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


def _too_late(spec: TaskSpec, compiled: CompiledNetwork) -> str:
    segments = compiled.segments
    complete = compiled.completed_by(segments - 2) if segments > 1 else ()
    output, stand_in = next(item for item in spec.early_exit.items() if item[1] not in complete)
    what = f"output {stand_in!r}, which stands in for {output!r} at the early exit of {spec.name}, "
    if segments > 1 and not compiled.complete_after:
        return (
            f"{what}is in its place with the last segment only: backend {compiled.backend} knows "
            f"nothing of early exits. Use another backend, {_OTHERWISE}"
        )
    more = next((count for count in SEGMENT_COUNTS if count > segments), 2 * segments)
    why = f" ({compiled.note})" if compiled.note else ""
    which = f"segment {segments} of {segments}, the last" if segments > 1 else "its only segment"
    return (
        f"{what}is complete with {which}{why}. Cut it into more segments (segments: {more}), "
        f"{_OTHERWISE}"
    )


def _read(spec: TaskSpec, prepared: PreparedNetwork) -> tuple[str, ...]:
    decoder = create_decoder(
        spec.output.decoder,
        spec.output.options,
        spec.preprocess,
        prepared.outputs,
        prepared.metadata,
    )
    frame = FrameInfo.of(prepared.max_shape, spec.preprocess)
    return outputs_read(decoder, prepared.outputs, frame)


def _alike(one: TensorInfo, other: TensorInfo) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape


def _shown(item: TensorInfo) -> str:
    return f"{item.name!r} ({item.dtype} {list(item.shape)})"
