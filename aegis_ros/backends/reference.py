"""What a network should compute: ONNX Runtime's numbers, unoptimised, on frames that differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork
from aegis_ros.backends.whole_numbers import WholeNumbers, is_whole, nearly
from aegis_ros.backends.whole_numbers import apart as whole_apart
from aegis_ros.network.patterns import patterns

__all__ = ["FLOAT32", "TF32", "Tolerance", "difference", "session"]

_FRAMES = 3  # whose results are compared, the first one again after the others

Frame = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an output may be off, as parts of its largest number in the reference.

    An output may be off by ``most``, but by no more than a quarter of what lies between the
    reference results of two frames: or the results of an earlier frame would do as well. What is
    less than ``rounding`` is never held against it.

    Attributes:
        most: upper limit.
        rounding: what the arithmetic itself may cost.
    """

    most: float
    rounding: float

    def allowed(self, results: Arrays) -> float:
        """Return by how much one output may be off, from its reference results."""
        scale = _scale(results)
        apart = min(_apart(one, other) for one, other in combinations(results, 2))
        return min(self.most * scale, max(apart / 4.0, self.rounding * scale))


# TF32 keeps 10 bits of a factor, a relative error of 2**-11 each; deep networks add some up.
TF32 = Tolerance(0.02, 0.005)
FLOAT32 = Tolerance(0.005, 0.0005)


def difference(
    network: CompiledNetwork,
    source: Path,
    compute: Callable[[Arrays], Arrays],
    tolerance: Tolerance = FLOAT32,
) -> str:
    """Return which output is off by more than is tolerated, or nothing.

    Three frames are taken whose reference results differ most, and the first one once more after
    the others: what returns the results of an earlier frame is found. Of whole numbers (labels,
    places), which may jump at the least difference, most have to be the same
    (:mod:`~aegis_ros.backends.whole_numbers`). Outputs whose extents depend on the data are not
    compared.

    Args:
        network: its frames and outputs.
        source: the ONNX file.
        compute: what is checked: returns the outputs for one array an input.
        tolerance: for every output.
    """
    names = [item.name for item in network.outputs]
    reference = session(str(source))
    fed = [item.tensor.name for item in network.inputs]
    frames = list(
        zip(*(patterns(item.max_shape, item.dtype) for item in network.inputs), strict=True)
    )
    results = [reference.run(names, dict(zip(fed, each, strict=True))) for each in frames]
    steady = [
        place
        for place in range(len(names))
        if results[0][place].size and len({result[place].shape for result in results}) == 1
    ]
    compared = [place for place in steady if results[0][place].dtype.kind == "f"]
    whole = [place for place in steady if is_whole(results[0][place])]
    chosen = _most_different(
        [[result[place] for place in (*compared, *whole)] for result in results]
    )
    allowed = {
        place: tolerance.allowed([results[at][place] for at in chosen]) for place in compared
    }
    near = {
        at: [reference.run(names, dict(zip(fed, each, strict=True))) for each in nearly(frames[at])]
        for at in (chosen if whole else ())
    }
    numbers = {
        place: WholeNumbers(
            names[place],
            {at: results[at][place] for at in chosen},
            {at: [each[place] for each in near[at]] for at in chosen},
        )
        for place in whole
    }
    for at in [*chosen, chosen[0]]:
        found = compute(frames[at])
        for place, expected in numbers.items():
            if results[at][place].shape != found[place].shape:
                continue
            if problem := expected.problem(at, found[place]):
                return problem
        for place in compared:
            wanted = results[at][place]
            if wanted.shape != found[place].shape:
                continue
            scale = _scale([results[each][place] for each in chosen])
            off = _apart(found[place], wanted)
            if math.isinf(off):
                return (
                    f"output {names[place]!r} is infinite or no number where ONNX Runtime's is "
                    "another one"
                )
            if not off <= allowed[place]:
                return (
                    f"output {names[place]!r} is off from ONNX Runtime's by "
                    f"{100.0 * off / scale:.2g}% of its largest number, and "
                    f"{100.0 * allowed[place] / scale:.2g}% is tolerated"
                )
    return ""


def session(model: str | bytes) -> Any:
    """Return an ONNX Runtime session that computes a network, file or content, as it is written."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _scale(results: Arrays) -> float:
    """Return the largest number, but for infinite ones."""
    finite = [each[np.isfinite(each)].astype(np.float64) for each in results]
    return max(float(np.max(np.abs(each), initial=0.0)) for each in finite) + 1e-6


def _apart(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Return the largest difference: infinite where one of both is, or is no number, alone."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        differences = np.where(same, 0.0, np.abs(a - b))
    return float(np.max(np.where(np.isnan(differences), np.inf, differences)))


def _most_different(results: Sequence[Arrays]) -> list[int]:
    """Return the indices of the frames whose results lie farthest apart, each from every other.

    Of whole numbers, it counts how many differ.
    """
    scales = [
        1.0 if is_whole(values[0]) else _scale(values) for values in zip(*results, strict=True)
    ]

    def apart(one: int, other: int) -> float:
        return max(
            (
                whole_apart(a, b) if is_whole(a) else _apart(a, b) / scale
                for a, b, scale in zip(results[one], results[other], scales, strict=True)
            ),
            default=0.0,
        )

    every = range(len(results))
    chosen = list(max(combinations(every, 2), key=lambda pair: apart(*pair)))
    while len(chosen) < min(_FRAMES, len(results)):
        others = [at for at in every if at not in chosen]
        chosen.append(max(others, key=lambda at: min(apart(at, each) for each in chosen)))
    return chosen
