"""Cuts a network at tensors that can stay where they are between two segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.reference import session

if TYPE_CHECKING:
    from aegis_ros.network.cut import Cut

__all__ = ["cut_source", "parted"]

_EVERY_OPERATOR_NS = 100.0  # so that no operator costs nothing
_CROSSES = ("float32", "float16")  # others may be extents, which are wanted on the host


def parted(
    source: Path,
    parts: int,
    folder: Path,
    outputs: Iterable[str],
    *,
    times: Mapping[str, float] | None = None,
) -> tuple[list[Path], dict[str, Any]]:
    """Write the parts of a network to a folder; return the files and what is known of the cut.

    Args:
        source: the ONNX file, which is its only part where ``parts`` is 1.
        parts: wanted.
        folder: for the files.
        outputs: names of the network's outputs, in their order.
        times: as for :func:`cut_source`.

    Returns:
        The files, and ``shares``, ``cuts`` and ``complete_after`` as
        :class:`~aegis_ros.backends.facts.BuildFacts` has them.

    Raises:
        ModelError: there are too few places to cut at.
    """
    if parts == 1:
        return [source], {"shares": [1.0], "cuts": "", "complete_after": []}
    made = cut_source(source, parts, times=times)
    known = {
        "shares": list(made.shares),
        "cuts": made.identity,
        "complete_after": [made.completes(name) for name in outputs],
    }
    return made.save(folder), known


def cut_source(source: Path, parts: int, *, times: Mapping[str, float] | None = None) -> Cut:
    """Return the network in parts.

    Args:
        source: the ONNX file.
        parts: wanted.
        times: execution time of each of the runtime's kernels, in nanoseconds, by the tensor that
            it ends with: no cut goes through another one. ``None`` where that is not known.

    Raises:
        ModelError: there are too few places to cut at.
    """
    import onnx

    from aegis_ros.network.cut import cut, runtime_tensors

    model = onnx.load_model(str(source))
    tensors = {
        name: info
        for name, info in runtime_tensors(model, _session).items()
        if info.static and info.dtype in _CROSSES and (times is None or name in times)
    }
    try:
        shown = onnx.shape_inference.infer_shapes(model)
    except Exception:  # it only improves the estimate of costs
        shown = model
    costs = None if times is None else [_cost_ns(node, times) for node in shown.graph.node]
    return cut(shown, parts, tensors=tensors, costs=costs)


def _cost_ns(node: Any, times: Mapping[str, float]) -> float:
    return _EVERY_OPERATOR_NS + sum(times.get(name, 0.0) for name in node.output)


def _session(model: Any) -> Any:
    return session(model.SerializeToString())
