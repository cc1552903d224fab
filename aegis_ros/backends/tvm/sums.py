"""Sums over a length that a frame decides begin at their first value, also where it is zero."""

from __future__ import annotations

from typing import Any

__all__ = ["begun"]


def begun(module: Any) -> Any:
    """Return a network whose kernels write where a sum begins before they add anything.

    TVM writes it with the first thing that is added. Where a frame leaves nothing to add, it would
    never be written, and the result be what was in memory before.

    Args:
        module: the network, as kernels.
    """
    from tvm.tirx import PrimFunc

    changed = module.clone()
    for name, function in module.functions_items():
        if isinstance(function, PrimFunc):
            apart = _begun(function)
            if apart is not None:
                changed.update_func(name, apart.with_attrs(function.attrs))
    return changed


def _begun(function: Any) -> Any:
    """Return a kernel with the beginning of its sums apart; ``None`` where nothing has to change.

    Kernels that TVM writes without blocks begin their sums themselves.
    """
    from tvm import s_tir

    schedule = s_tir.Schedule(function)
    try:
        root = schedule.get_sblock("root")
    except s_tir.ScheduleError:
        return None
    found = [block for block in schedule.get_child_blocks(root) if _decided(schedule, block)]
    for block in found:
        schedule.decompose_reduction(block, schedule.get_loops(block)[0])
    return schedule.mod["main"] if found else None


def _decided(schedule: Any, block: Any) -> bool:
    """Return whether a frame decides how much one block adds."""
    shape = schedule.get(block)
    return shape.init is not None and any(
        int(each.iter_type) == 2 and getattr(each.dom.extent, "value", None) is None
        for each in shape.iter_vars
    )
