"""Cuts a network into parts that run one after the other, at its narrowest tensors.

The graph should be one that a runtime has optimised already: operators are then fused as they will
run, and each part runs them as the whole would. Operators run in the file's order, but for those of
outputs that need few of them: such an output is complete as early as can be, and a job may end with
it. A cut lies between two operators; the tensors computed before it and used after it cross it.
Cuts are chosen in two steps: the smallest longest part that any choice of cuts can reach, then,
among all choices that come close to it, the one with the least to hand over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from aegis_ros.errors import ModelError
from aegis_ros.network.graph import node_flops
from aegis_ros.network.operators import bodies
from aegis_ros.network.tensor import DTYPE_OF_ONNX, TensorInfo
from aegis_ros.rationale import Rule

__all__ = [
    "Cut",
    "crossing_tensors",
    "cut",
    "exits_first",
    "find_cuts",
    "model_like",
    "runtime_tensors",
    "split",
    "tensors_read",
]

_IMBALANCE = 0.10  # so much longer than necessary may the longest part be for narrower cuts
_BYTES_PER_TENSOR = 16_384.0  # what handing over one more tensor is worth, as bytes
_BYTES_UNKNOWN = 16.0 * 1024 * 1024  # a tensor of unknown extents is allocated in every run
_MAX_PLACES = 2_000


@dataclass(frozen=True)
class Cut:
    """A network in parts.

    Attributes:
        parts: the networks, in order of execution. Each takes what it uses of the whole's inputs
            and of what earlier parts hand on, by the tensors' own names.
        places: number of the first operator of each part but the first, in the order they run in.
        crossings: the tensors that cross each of the cuts.
        shares: estimated part of the whole's execution time, 0..1 each, 1 together.
    """

    parts: tuple[onnx.ModelProto, ...]
    places: tuple[int, ...]
    crossings: tuple[tuple[TensorInfo, ...], ...]
    shares: tuple[float, ...]

    @property
    def identity(self) -> str:
        """Hexadecimal name of where it was cut and what is handed on."""
        names = [[item.name for item in items] for items in self.crossings]
        return hashlib.sha256(json.dumps([self.places, names]).encode()).hexdigest()[:12]

    def completes(self, output: str) -> int:
        """Return the index of the part that computes an output of the network."""
        return next(
            number
            for number, part in enumerate(self.parts)
            if any(output in node.output for node in part.graph.node)
        )

    def save(self, folder: Path) -> list[Path]:
        """Write each part to a file of ``folder``; return the files in order of execution."""
        paths = [folder / f"{number}.onnx" for number in range(len(self.parts))]
        for part, path in zip(self.parts, paths, strict=True):
            onnx.save_model(part, str(path))
        return paths


def runtime_tensors(
    model: onnx.ModelProto, session: Callable[[onnx.ModelProto], Any]
) -> dict[str, TensorInfo]:
    """Return what ONNX Runtime knows of every tensor it can hand over, by name.

    Args:
        model: the network; it is left as it is.
        session: opens an inference session on a model.
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    stated = {item.name for item in shown.graph.output}
    shown.graph.output.extend(
        onnx.ValueInfoProto(name=name)
        for node in model.graph.node
        for name in node.output
        if name and name not in stated
    )
    return {
        item.name: TensorInfo(
            item.name,
            DTYPE_OF_ONNX[item.type],
            tuple(extent if extent is not None else "?" for extent in item.shape),
        )
        for item in session(shown).get_outputs()
        if item.type in DTYPE_OF_ONNX
    }


def cut(
    model: onnx.ModelProto,
    parts: int,
    *,
    tensors: Mapping[str, TensorInfo],
    costs: Sequence[float] | None = None,
) -> Cut:
    """Cut a network into ``parts`` parts.

    Args:
        model: an optimised network, operators in an order in which they can run.
        parts: how many, at least 1.
        tensors: what is known of the tensors between operators; no cut goes through another.
        costs: execution time of each operator in any unit; estimated where not given.

    Raises:
        ModelError: by ``Rule.MODEL_CUT``: it has too few places to be cut at.
    """
    nodes = len(model.graph.node)
    weights = np.asarray(node_flops(model) if costs is None else costs, np.float64)
    weights = np.maximum(weights, 1e-9)
    if weights.size != nodes:
        raise ValueError(f"{weights.size} costs for {nodes} operators")
    order = exits_first(model)
    weights = weights[order]
    model = _in_order(model, order)
    crossings = crossing_tensors(model)
    places = find_cuts(
        weights,
        [_width([tensors.get(name) for name in names]) for names in crossings],
        parts,
    )
    edges = [0, *places, nodes]
    total = float(weights.sum()) or 1.0
    return Cut(
        split(model, places, tensors),
        places,
        tuple(tuple(tensors[name] for name in crossings[place - 1]) for place in places),
        tuple(float(weights[low:high].sum()) / total for low, high in pairwise(edges)),
    )


def exits_first(model: onnx.ModelProto) -> list[int]:
    """Return the operators in an order in which every output is complete as early as can be.

    One output after the other, that of the fewest operators first; what each needs keeps the file's
    order. Runtimes write a head that leaves the network on the way anywhere, often at the end.
    """
    nodes = model.graph.node
    made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needed = [_ancestors(model, item.name, made_by) for item in model.graph.output]
    order: list[int] = []
    taken: set[int] = set()
    for indices in [*sorted(needed, key=len), set(range(len(nodes)))]:
        order += sorted(indices - taken)
        taken |= indices
    return order


def crossing_tensors(model: onnx.ModelProto) -> list[tuple[str, ...]]:
    """Return, for each place between two operators, the tensors computed before and used after.

    Place ``i`` lies behind operator ``i``. Inputs and constants of the network cross nothing: each
    part has them itself.
    """
    graph = model.graph
    last_use = {name: index for index, node in enumerate(graph.node) for name in tensors_read(node)}
    found: list[tuple[str, ...]] = []
    live: dict[str, int] = {}
    for index, node in enumerate(graph.node[:-1]):
        live.update({name: last_use[name] for name in node.output if name in last_use})
        live = {name: last for name, last in live.items() if last > index}
        found.append(tuple(live))
    return found


def find_cuts(
    costs: npt.NDArray[np.float64], widths: Sequence[float | None], parts: int
) -> tuple[int, ...]:
    """Return the first operator of each part but the first.

    Args:
        costs: float64 [N], execution time of each operator.
        widths: [N - 1], what a cut behind each operator costs; ``None`` where there must be none.
        parts: how many.

    Raises:
        ModelError: by ``Rule.MODEL_CUT``: there are too few places.
    """
    if parts < 1:
        raise ValueError(f"{parts} parts")
    sums = np.concatenate(([0.0], np.cumsum(costs)))
    places = _candidates(widths)
    if len(places) < parts - 1:
        raise ModelError(
            f"the network can be cut at {len(places)} places",
            where="segments",
            value=parts,
            expected=f"at most {len(places) + 1}",
            rule=Rule.MODEL_CUT,
        )
    ends = np.asarray([0, *places, len(costs)])
    at = sums[ends]
    width = np.asarray([0.0, *(float(widths[place - 1] or 0.0) for place in places), 0.0])
    bound = _least_longest(at, parts) * (1.0 + _IMBALANCE)
    chosen = _narrowest(at, width, parts, bound)
    return tuple(int(ends[index]) for index in chosen)


def split(
    model: onnx.ModelProto, places: Sequence[int], tensors: Mapping[str, TensorInfo]
) -> tuple[onnx.ModelProto, ...]:
    """Return the parts of a network that is cut before the operators ``places``.

    Raises:
        ModelError: by ``Rule.MODEL_CUT``: it has outputs no operator computes, or sparse constants.
    """
    graph = model.graph
    nodes = len(graph.node)
    produced = {
        name: index for index, node in enumerate(graph.node) for name in node.output if name
    }
    outputs = {item.name: item for item in graph.output}
    if not outputs.keys() <= produced.keys() or graph.sparse_initializer:
        raise ModelError(
            "the network has an output that no operator computes, or sparse constants",
            where="segments",
            rule=Rule.MODEL_CUT,
        )
    inputs = {item.name: item for item in graph.input}
    constants = {item.name: item for item in graph.initializer}
    known = {item.name: item for item in graph.value_info}
    last_use = {name: index for index, node in enumerate(graph.node) for name in tensors_read(node)}
    parts = []
    for number, (low, high) in enumerate(pairwise([0, *places, nodes])):
        inside = list(graph.node[low:high])
        used = list(dict.fromkeys(name for node in inside for name in tensors_read(node)))
        made = [name for node in inside for name in node.output if name]
        handed_in = [name for name in used if name in produced and produced[name] < low]
        handed_out = [
            name
            for name in made
            if name in outputs or (high < nodes and last_use.get(name, -1) >= high)
        ]
        parts.append(
            model_like(
                model,
                helper.make_graph(
                    inside,
                    f"{graph.name}_{number}",
                    [
                        *(inputs[name] for name in used if name in inputs),
                        *(_described(name, tensors, outputs) for name in handed_in),
                    ],
                    [_described(name, tensors, outputs) for name in handed_out],
                    [constants[name] for name in used if name in constants],
                    value_info=[
                        known[name] for name in made if name in known and name not in handed_out
                    ],
                ),
            )
        )
    return tuple(parts)


def _ancestors(model: onnx.ModelProto, output: str, made_by: Mapping[str, int]) -> set[int]:
    """Return the operators that an output is computed by."""
    found: set[int] = set()
    wanted = [output]
    while wanted:
        index = made_by.get(wanted.pop())
        if index is not None and index not in found:
            found.add(index)
            wanted += tensors_read(model.graph.node[index])
    return found


def _in_order(model: onnx.ModelProto, order: Sequence[int]) -> onnx.ModelProto:
    if list(order) == list(range(len(order))):
        return model
    nodes = [model.graph.node[index] for index in order]
    ordered = onnx.ModelProto()
    ordered.CopyFrom(model)
    del ordered.graph.node[:]
    ordered.graph.node.extend(nodes)
    return ordered


def _candidates(widths: Sequence[float | None]) -> list[int]:
    """Return the places that may be cut at; the narrowest of each stretch where there are many."""
    places = [index + 1 for index, width in enumerate(widths) if width is not None]
    if len(places) <= _MAX_PLACES:
        return places
    stretches = np.array_split(np.asarray(places), _MAX_PLACES)
    return [int(min(stretch, key=lambda place: widths[place - 1] or 0.0)) for stretch in stretches]


def _least_longest(at: npt.NDArray[np.float64], parts: int) -> float:
    """Return the longest part of the most even choice; ``at`` is the work up to each place."""
    best = at.copy()  # with one part up to here
    for _ in range(parts - 1):
        following = np.full_like(best, np.inf)
        for end in range(1, len(at)):
            following[end] = np.min(np.maximum(best[:end], at[end] - at[:end]))
        best = following
    return float(best[-1])


def _narrowest(
    at: npt.NDArray[np.float64], width: npt.NDArray[np.float64], parts: int, bound: float
) -> list[int]:
    """Return the indices of the cuts of least width together, no part longer than ``bound``."""
    best = np.where(at <= bound, width, np.inf)
    best[0] = np.inf
    came_from: list[npt.NDArray[np.int64]] = []
    for _ in range(parts - 1):
        following = np.full_like(best, np.inf)
        before = np.zeros(len(at), np.int64)
        for end in range(1, len(at)):
            first = int(np.searchsorted(at, at[end] - bound, "left"))
            if first < end:
                before[end] = first + int(np.argmin(best[first:end]))
                following[end] = best[before[end]] + width[end]
        best = following
        came_from.append(before)
    chosen: list[int] = []
    end = len(at) - 1
    for before in reversed(came_from):
        end = int(before[end])
        chosen.append(end)
    return chosen[::-1]


def _width(tensors: Sequence[TensorInfo | None]) -> float | None:
    total = 0.0
    for item in tensors:
        if item is None:
            return None
        static = item.static and item.shape
        total += _BYTES_PER_TENSOR + (item.nbytes if static else _BYTES_UNKNOWN)
    return total


def tensors_read(node: onnx.NodeProto) -> list[str]:
    """Return the tensors an operator reads, those its subgraphs take from outside included."""
    names = [name for name in node.input if name]
    for graph in bodies(node):
        own = {item.name for item in [*graph.input, *graph.initializer]}
        own |= {name for inner in graph.node for name in inner.output}
        wanted = [name for inner in graph.node for name in tensors_read(inner)]
        wanted += [item.name for item in graph.output]
        names += [name for name in wanted if name not in own]
    return names


def _described(
    name: str, tensors: Mapping[str, TensorInfo], outputs: Mapping[str, onnx.ValueInfoProto]
) -> onnx.ValueInfoProto:
    if name in outputs:
        return outputs[name]
    info = tensors[name]
    # A runtime shows a tensor of unknown rank as one without extents.
    shape = [None if extent == "?" else extent for extent in info.shape] or None
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype))
    return helper.make_tensor_value_info(name, kind, shape)


def model_like(model: onnx.ModelProto, graph: onnx.GraphProto) -> onnx.ModelProto:
    """Return a model of ``graph`` with versions and functions of another."""
    versions = {item.domain: item for item in model.opset_import}
    made = helper.make_model(graph, opset_imports=list(versions.values()))
    made.ir_version = model.ir_version
    made.functions.extend(model.functions)
    return made
