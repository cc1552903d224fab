"""What a network should compute: ONNX Runtime's numbers, unoptimised, on frames that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork
from aegis_ros.network.feed import NetworkInput

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
    tolerance: Tolerance = TF32,
) -> str:
    """Return which output is off by more than is tolerated, or nothing.

    Three frames are taken whose reference results differ most, and the first one once more after
    the others: what returns the results of an earlier frame is found. Outputs of whole numbers
    (labels, places) may jump at the least difference and are not compared, nor are those whose
    extents depend on the data.

    Args:
        network: its frames and outputs.
        source: the ONNX file.
        compute: what is checked: returns the outputs for one array an input.
        tolerance: for every output.
    """
    names = [item.name for item in network.outputs]
    reference = session(str(source))
    fed = [item.tensor.name for item in network.inputs]
    frames = list(zip(*(_candidates(item) for item in network.inputs), strict=True))
    results = [reference.run(names, dict(zip(fed, each, strict=True))) for each in frames]
    compared = [
        place
        for place in range(len(names))
        if results[0][place].dtype.kind == "f"
        and results[0][place].size
        and len({result[place].shape for result in results}) == 1
    ]
    chosen = _most_different([[result[place] for place in compared] for result in results])
    allowed = {
        place: tolerance.allowed([results[at][place] for at in chosen]) for place in compared
    }
    for at in [*chosen, chosen[0]]:
        found = compute(frames[at])
        for place in compared:
            wanted = results[at][place]
            if wanted.shape != found[place].shape:
                continue
            scale = _scale([results[each][place] for each in chosen])
            off = _apart(found[place], wanted)
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
    return max(float(np.max(np.abs(each))) for each in results) + 1e-6


def _apart(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    return float(np.max(np.abs(one.astype(np.float64) - other.astype(np.float64))))


def _most_different(results: Sequence[Arrays]) -> list[int]:
    """Return the indices of the frames whose results lie farthest apart, each from every other."""
    scales = [_scale(values) for values in zip(*results, strict=True)]

    def apart(one: int, other: int) -> float:
        return max(
            (
                _apart(a, b) / scale
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


def _candidates(item: NetworkInput) -> list[Frame]:
    """Return frames of the largest size: even ones, noise, steps, spots of several sizes, strokes.

    Detectors answer to noise as to nothing; strokes in rows, like writing, and spots are for them.
    """
    generator = np.random.default_rng(0)
    shape = item.max_shape
    high, wide = _extents(shape)
    along = np.broadcast_to(np.linspace(0.0, 1.0, high)[:, np.newaxis], (high, wide))
    across = np.broadcast_to(np.linspace(0.0, 1.0, wide), (high, wide))
    spots, blocks, strokes = (
        _in_blocks(generator, high, wide, size) for size in ((16, 16), (64, 64), (24, 3))
    )
    every_other = np.indices((high, wide))[0] // 24 % 2 == 1
    rows = np.where(every_other, np.round(strokes), 1.0)
    planes = [
        along,
        across,
        spots,
        np.round(spots),
        np.round(blocks),
        rows,
        np.where(along < 0.5, rows, 1.0),
        np.where(across < 0.5, rows, 1.0),
        1.0 - rows * (1.0 - np.round(blocks)),
    ]
    shades: list[npt.NDArray[np.float64]] = [
        np.asarray(generator.random(shape)),
        np.asarray(generator.random(shape) * 0.25 + 0.75),
        np.zeros(shape),
        np.ones(shape),
        *(_spread(plane, shape) for plane in planes),
    ]
    if item.dtype == "uint8":
        return [np.array(shade * 255.0, np.uint8, order="C") for shade in shades]
    return [np.array((shade - 0.5) * 40.0, item.dtype, order="C") for shade in shades]


def _extents(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of [.., height, width, channels], [height, width] or [height]."""
    if len(shape) > 2:
        return shape[-3], shape[-2]
    high, wide, *_ = (*shape, 1, 1)
    return high, wide


def _spread(plane: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return a plane in all channels, and in all images where there are several."""
    if len(shape) > 2:
        plane = plane[:, :, np.newaxis]
    elif len(shape) < 2:
        plane = plane.reshape(shape)
    return np.broadcast_to(plane, shape)


def _in_blocks(
    generator: np.random.Generator, high: int, wide: int, size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Return noise in 0..1 that is even within blocks of a size."""
    coarse = generator.random((-(-high // size[0]), -(-wide // size[1])))
    return np.repeat(np.repeat(coarse, size[0], 0), size[1], 1)[:high, :wide]
