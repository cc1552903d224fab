"""Model files: in the contained child process, as a node reads them.

What the child may take is bounded by the arena; the limits here are those of the process that
asks, and the time until the network is refused or taken.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, prepare
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.spec import PreprocessSpec
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, SEEDS, Limits, Target, Try, answered, words
from test.orchestrator.house import make_model

__all__ = ["TARGET", "mutated_network", "seeds"]

_ARENA_BYTES = 64 * MIB
_EXTENTS = (0, 1, -1, 2, 3, 7, 65_536, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))
_OPERATORS = words("operators")
_BYTES = Mutator(most_bytes=256 * 1024)
_FEED = (Feed(PreprocessSpec(size=(8, 8)), (16, 24, 3)),)


def seeds() -> Sequence[bytes]:
    """Return small networks, good ones and bad ones."""
    with Scratch() as folder:
        make_model(folder / "net.onnx")
        relu = (folder / "net.onnx").read_bytes()
    made = [_network(*parts) for parts in (_convolution(), _tiled(), _looped())]
    cases = [path.read_bytes() for path in sorted((SEEDS / "onnx").iterdir())]
    return [relu, *made, *cases]


def _network(nodes: list[Any], weights: list[Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        initializer=weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


def _convolution() -> tuple[list[Any], list[Any]]:
    kernel = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "kernel")
    shape = numpy_helper.from_array(np.array([1, -1], np.int64), "shape")
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Reshape", ["c", "shape"], ["output"]),
    ]
    return nodes, [kernel, shape]


def _tiled() -> tuple[list[Any], list[Any]]:
    times = numpy_helper.from_array(np.array([1, 1, 2, 2], np.int64), "times")
    return [helper.make_node("Tile", ["input", "times"], ["output"])], [times]


def _looped() -> tuple[list[Any], list[Any]]:
    body = helper.make_graph(
        [
            helper.make_node("Add", ["before", "before"], ["after"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 3, 8, 8]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, 3, 8, 8]),
        ],
    )
    times = numpy_helper.from_array(np.array(3, np.int64), "times")
    go = numpy_helper.from_array(np.array(True), "go_on")
    return [helper.make_node("Loop", ["times", "go_on", "input"], ["output"], body=body)], [
        times,
        go,
    ]


def mutated_network(chosen: Sequence[bytes], rng: Random) -> bytes:
    """Return a network with bent bytes, or one that is well-formed and means something else."""
    data = rng.choice(chosen)
    if rng.random() < 0.3:
        return _BYTES([data], rng)
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # a seed that is no network
        return _BYTES([data], rng)
    for _ in range(rng.randint(1, 4)):
        rng.choice(_CHANGES)(model, rng)
    return bytes(model.SerializeToString())


def _bend_extent(model: Any, rng: Random) -> None:
    infos = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    extents = [each for info in infos for each in info.type.tensor_type.shape.dim]
    if extents:
        rng.choice(extents).dim_value = rng.choice(_EXTENTS)


def _bend_weight(model: Any, rng: Random) -> None:
    if not model.graph.initializer:
        return
    weight = rng.choice(model.graph.initializer)
    choice = rng.randrange(4)
    if choice == 0 and weight.dims:
        weight.dims[rng.randrange(len(weight.dims))] = rng.choice(_EXTENTS)
    elif choice == 1:
        weight.dims.append(rng.choice(_EXTENTS))
    elif choice == 2:
        weight.data_type = rng.randrange(20)
    elif weight.raw_data:
        values = np.frombuffer(weight.raw_data, np.uint8).copy()
        edge = np.frombuffer(rng.choice(_EXTENTS).to_bytes(8, "little", signed=True), np.uint8)
        place = 8 * rng.randrange(max(1, len(values) // 8))
        size = min(8, len(values) - place)
        values[place : place + size] = edge[:size]
        weight.raw_data = values.tobytes()


def _bend_node(model: Any, rng: Random) -> None:
    if not model.graph.node:
        return
    node = rng.choice(model.graph.node)
    choice = rng.randrange(5)
    if choice == 0:
        node.op_type = rng.choice(_OPERATORS)
    elif choice == 1 and node.input:
        names = [name for each in model.graph.node for name in (*each.input, *each.output)]
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif choice == 2 and node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = rng.choice(_EXTENTS)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_EXTENTS)
    elif choice == 3:
        node.attribute.append(helper.make_attribute("axis", rng.choice(_EXTENTS)))
    else:
        node.domain = rng.choice(("", "com.microsoft", "org.example", "ai.onnx.ml"))


def _repeat_nodes(model: Any, rng: Random) -> None:
    """Put the output through the same operator many times."""
    if not model.graph.node or not model.graph.output:
        return
    last = model.graph.output[0].name
    pattern = rng.choice(model.graph.node)
    for number in range(2 ** rng.randrange(1, 12)):
        name = f"{last[:40]}_{number}"
        node = model.graph.node.add()
        node.CopyFrom(pattern)
        del node.output[:], node.input[1:]
        node.input[:1] = [last]
        node.input.extend(pattern.input[1:])
        node.output.append(name)
        last = name
    model.graph.output[0].name = last


def _bend_model(model: Any, rng: Random) -> None:
    choice = rng.randrange(4)
    if choice == 0:
        model.ir_version = rng.choice((0, 1, 3, 99, 2**62))
    elif choice == 1 and model.opset_import:
        model.opset_import[0].version = rng.choice((0, 1, 7, 21, 99, 2**62))
    elif choice == 2:
        text = rng.choice(("[" * 5_000, "['a'] * 10**9", "{0: 'a'}", "x" * 300_000, "9" * 9_000))
        helper.set_model_props(model, {"names": text})
    elif model.graph.initializer:
        weight = rng.choice(model.graph.initializer)
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=rng.choice(("/etc/passwd", "../x", "x")))


_CHANGES: tuple[Callable[[Any, Random], None], ...] = (
    _bend_extent,
    _bend_weight,
    _bend_weight,
    _bend_node,
    _bend_node,
    _repeat_nodes,
    _bend_model,
)


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    file, cache = scratch / "net.onnx", scratch / "cache"

    def work(data: bytes) -> bool:
        shutil.rmtree(cache / "networks", ignore_errors=True)
        file.write_bytes(data)
        taken = answered(
            lambda: prepare(file, _FEED, cache_dir=cache, arena_bytes=_ARENA_BYTES), ModelError
        )
        left = [path.name for path in (cache / "networks").iterdir() if path.is_dir()]
        assert not left, f"scratch is left behind: {left}"
        return taken

    yield work


TARGET = Target(
    name="onnx",
    title="model files, in the contained child",
    seeds=seeds,
    mutate=mutated_network,
    opened=_opened,
    limits=Limits(seconds=10.0),
    weight=0.03,
    reads=("/proc",),  # what the child holds open is counted
    brief=2,
)
