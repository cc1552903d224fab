"""Networks of random weights in segments: one of the shape of VGG19, and a set of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends import CompiledNetwork
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.spec import FrameFormat

__all__ = ["SETS", "Column", "columns"]

SETS = {"vgg19": 1, "six": 6, "small": 6}  # how many networks each has
_VGG19 = (  # channels of the convolutions of each block, "|" between two segments
    "64 64",
    "128 128",
    "256 256|256 256",
    "512|512|512|512",
    "512|512|512|512",
)


class Column:
    """A network of one operator behind the other, which is saved segment by segment.

    Args:
        folder: of the segments' files.
        height: of its frames, and their width.
        seed: of its weights.
    """

    def __init__(self, folder: Path, height: int, seed: int) -> None:
        """Begin with a colour frame."""
        self._folder, self._frame = folder, height
        self._chance = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._made: list[str] = []
        self._shapes: dict[str, tuple[int, ...]] = {"frame": (height, height, 3)}
        self._count = 0
        self._last = "frame"
        self.paths: list[str] = []
        self.weight_bytes = 0
        self._add("Cast", ["frame"], self._shape, to=TensorProto.FLOAT)
        self._add("Transpose", [self._last], (3, height, height), perm=[2, 0, 1])
        scale = self._constant(np.array(1 / 255, np.float32))
        self._add("Mul", [self._last, scale], self._shape)
        axes = self._constant(np.array([0], np.int64))
        self._add("Unsqueeze", [self._last, axes], (1, *self._shape))

    def convolve(self, channels: int) -> None:
        """Add a convolution of 3x3, and a ReLU."""
        _, before, height, width = self._shape
        kernel = self._random((channels, before, 3, 3), 9 * before)
        bias = self._random((channels,), 1e4)
        shape = (1, channels, height, width)
        self._add("Conv", [self._last, kernel, bias], shape, pads=[1, 1, 1, 1])
        self._add("Relu", [self._last], shape)

    def pool(self) -> None:
        """Add a pooling that halves the extents."""
        _, channels, height, width = self._shape
        halved = (1, channels, height // 2, width // 2)
        self._add("MaxPool", [self._last], halved, kernel_shape=[2, 2], strides=[2, 2])

    def flatten(self) -> None:
        """Have one row of numbers from here on."""
        self._add("Flatten", [self._last], (1, int(np.prod(self._shape))))

    def connect(self, width: int, *, parts: int = 1, relu: bool = True) -> None:
        """Add a layer that connects everything; its columns are in so many segments.

        Where it is more than one, segments end before it and in it.
        """
        before, found = self._last, []
        (_, height), columns = self._shape, width // parts
        for _ in range(parts):
            if parts > 1:
                self.cut()
            weights = self._random((height, columns), height)
            bias = self._random((columns,), 1e4)
            self._add("Gemm", [before, weights, bias], (1, columns))
            found.append(self._last)
        if parts > 1:
            self.cut()
            self._add("Concat", found, (1, width), axis=1)
        if relu:
            self._add("Relu", [self._last], (1, width))

    def cut(self) -> None:
        """End a segment; write its graph as ONNX Runtime optimises it."""
        import onnxruntime

        if not self._nodes:
            return
        read = dict.fromkeys(name for node in self._nodes for name in node.input)
        graph = helper.make_graph(
            self._nodes,
            "segment",
            [self._info(name) for name in read if name in self._shapes and name not in self._made],
            [self._info(self._last)],
            list(self._weights.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        path = self._folder / f"segment{len(self.paths)}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.paths.append(str(path))
        self._nodes, self._weights, self._made = [], {}, []

    def compiled(self, name: str) -> CompiledNetwork:
        """End the last segment; return the network with all weights in its segments' files."""
        self.cut()
        return CompiledNetwork(
            backend="onnxruntime",
            key=name,
            paths=tuple(self.paths),
            inputs=(
                NetworkInput(
                    TensorInfo("frame", "uint8", self._shapes["frame"]),
                    FrameFormat.RGB8,
                    self._shapes["frame"],
                ),
            ),
            outputs=(TensorInfo(self._last, "float32", self._shape),),
            footprint=Footprint(weights=self.weight_bytes),
            cuts="made",
        )

    @property
    def _shape(self) -> tuple[int, ...]:
        return self._shapes[self._last]

    def _info(self, name: str) -> onnx.ValueInfoProto:
        kind = TensorProto.UINT8 if name == "frame" else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, self._shapes[name])

    def _add(
        self, kind: str, inputs: Sequence[str], shape: tuple[int, ...], **attributes: Any
    ) -> None:
        self._count += 1
        self._last = f"{kind.lower()}{self._count}"
        self._shapes[self._last] = shape
        self._made.append(self._last)
        self._nodes.append(helper.make_node(kind, inputs, [self._last], **attributes))

    def _constant(self, values: np.ndarray) -> str:
        self._count += 1
        name = f"weights{self._count}"
        self._weights[name] = numpy_helper.from_array(values, name)
        self.weight_bytes += values.nbytes
        return name

    def _random(self, shape: tuple[int, ...], fan_in: float) -> str:
        """Add weights that leave values about as large as they are; return their name."""
        values = self._chance.standard_normal(shape, np.float32)
        values *= np.float32((2 / fan_in) ** 0.5)
        return self._constant(values)


def columns(name: str, index: int, folder: Path) -> CompiledNetwork:
    """Write a network of a set; return it with all weights in its segments' files.

    Args:
        name: of the set: ``vgg19``, ``six`` networks of 28 to 55 MiB, or six ``small`` ones of
            4 to 9 MiB.
        index: of the network in the set.
        folder: of its files.
    """
    if name == "vgg19":
        return _vgg19(folder).compiled(name)
    # Each of the set has other sizes, so that no two have the same place.
    channels = (384 if name == "six" else 144) + (32 if name == "six" else 16) * index
    made = Column(folder, 28 if name == "six" else 14, seed=index)
    for _ in range(6):
        made.convolve(channels)
        made.cut()
    made.pool()
    made.flatten()
    made.connect(10, relu=False)
    return made.compiled(f"{name}{index}")


def _vgg19(folder: Path) -> Column:
    """Return a network of the shape of VGG19, 548 MiB of weights.

    Its largest layer, 392 MiB in one tensor, is in 8 operators, the next, 64 MiB, in 2: what one
    operator reads must fit.
    """
    made = Column(folder, 224, seed=19)
    for block in _VGG19:
        for segment in block.split("|"):
            for channels in segment.split():
                made.convolve(int(channels))
            made.cut()
        made.pool()
    made.flatten()
    made.connect(4096, parts=8)
    made.connect(4096, parts=2)
    made.connect(1000, relu=False)
    return made
