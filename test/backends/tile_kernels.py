"""Computes kernels of TVM in many ways, in a process that has TVM's compiler; prints what it found.

python -m test.backends.tile_kernels
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.tvm.compiling import kernels_of, processor_target, read_network
from aegis_ros.backends.tvm.schedules import in_blocks, kernel_id, scheduled, tiles_of
from aegis_ros.backends.tvm.toolkit import load_compiler
from aegis_ros.backends.tvm.tuning import search

_TRIED = 2  # of the most promising ways of each kernel, and as many of all others


def network(path: Path) -> Path:
    """Write one network with sums of many kinds beside each other, and operators that have none."""
    generator = np.random.default_rng(3)
    nodes, weights, outputs = [], [], []
    kinds: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
        "pointwise": ("Conv", (8, 6, 1, 1), {}),
        "by_two": ("Conv", (4, 6, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "depthwise": ("Conv", (6, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 6}),
        "transposed": ("ConvTranspose", (6, 4, 2, 2), {"strides": [2, 2]}),
    }
    for name, (operator, shape, given) in kinds.items():
        values = generator.normal(size=shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}_weights"))
        nodes += [
            helper.make_node(operator, ["input", f"{name}_weights"], [f"{name}_sums"], **given),
            helper.make_node("Sigmoid", [f"{name}_sums"], [name]),
        ]
        outputs.append(name)
    nodes += [
        helper.make_node("MaxPool", ["input"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Softmax", ["input"], ["soft"], axis=1),
    ]
    # Loops of its own, which are no blocks.
    places = np.zeros((1, 6, 12, 2), np.int64)
    weights.append(numpy_helper.from_array(places, "places"))
    weights.append(numpy_helper.from_array(places.astype(np.float32), "values"))
    scattered = ["input", "places", "values"]
    nodes.append(helper.make_node("ScatterElements", scattered, ["least"], reduction="min", axis=3))
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 6, 12, 16])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)
            for name in (*outputs, "pool", "soft", "least")
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def functions(kernels: Any) -> Iterator[Any]:
    """Yield a network's kernels."""
    from tvm.tirx import PrimFunc

    for _, function in kernels.functions_items():
        if isinstance(function, PrimFunc):
            yield function


def made_by(function: Any) -> list[npt.NDArray[Any]]:
    """Return all tensors of a kernel after it has run."""
    tvm = load_compiler()
    generator = np.random.default_rng(7)
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    tensors = [
        tvm.runtime.tensor(
            generator.normal(size=[int(extent) for extent in item.shape]).astype(str(item.dtype))
        )
        for item in function.params
    ]
    tvm.compile(module, processor_target())["main"](*tensors)
    return [tensor.numpy() for tensor in tensors]


def ways(kernels: Any) -> dict[str, Any]:
    """Compute each kernel in several ways; return how many, and those that differ in any bit."""
    generator, count, different, refused = np.random.default_rng(1), 0, [], 0
    for function in functions(kernels):
        tiles = tiles_of(function)
        if not tiles:
            continue
        wanted = made_by(function)
        others = generator.choice(len(tiles), min(_TRIED, len(tiles)), replace=False)
        for tile in tiles[:_TRIED] + [tiles[place] for place in others]:
            changed = scheduled(function, tile)
            if changed is None:
                refused += 1
                continue
            count += 1
            found = made_by(changed)
            if not all(map(np.array_equal, wanted, found)):
                different.append(str(tile))
    return {"count": count, "different": different, "refused": refused}


def searched(kernels: Any) -> dict[str, Any]:
    """Search with a clock that likes one way of each kernel best; return what came of it."""
    best = {
        kernel_id(function): next(each for each in tiles[9:] if scheduled(function, each))
        for function in functions(kernels)
        if (tiles := tiles_of(function))
    }
    liked = {
        kernel_id(scheduled(function, best[kernel_id(function)]))
        for function in functions(kernels)
        if kernel_id(function) in best
    }
    said: list[float] = []

    def measure(function: Any) -> int:
        return 10 if kernel_id(function) in liked else 1000

    found = search(kernels, best, 1e-6, lambda phase, done: said.append(done), measure=measure)
    without = search(kernels, {}, 1e-6, lambda phase, done: None, measure=measure)

    def texts(module: Any) -> set[str]:
        return {function.script() for function in functions(module)}

    changed = texts(in_blocks(kernels, found.choices)) - texts(in_blocks(kernels, {}))
    return {
        "kernels": found.tuned.kernels,
        "chosen": sum(found.choices[each] == best[each] for each in found.choices),
        "before_ns": found.tuned.before_ns,
        "after_ns": found.tuned.after_ns,
        "said": said[-1],
        "changed": len(changed),
        "without": len(without.choices),
        "timed": [found.tuned.timed, without.tuned.timed],
    }


def main() -> None:
    """Print what was found."""
    with TemporaryDirectory() as folder:
        kernels = kernels_of(read_network(network(Path(folder) / "sums.onnx")).module)
    of_all = list(functions(kernels))
    able = [function for function in of_all if tiles_of(function)]
    answer = {"all": len(of_all), "able": len(able), "ways": ways(kernels)}
    print(json.dumps(answer | {"search": searched(kernels)}))


if __name__ == "__main__":
    main()
