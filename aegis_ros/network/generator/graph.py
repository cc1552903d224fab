"""Builds the ONNX graph of a transformer from a GGUF file, cut into groups of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network.cut import split
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.weights import Blocks
from aegis_ros.network.tensor import TensorInfo

__all__ = ["Transformer", "transformer"]

_OPSET = 17
_FORMAT = 10
_MS = "com.microsoft"
_MOST_LAYERS = 1024
_MOST_EXTENT = 1 << 20

# Whether the rotary encoding turns neighbours (or else halves) of a head.
_INTERLEAVED = {"llama": True, "qwen2": False}


@dataclass(frozen=True, slots=True)
class Transformer:
    """A language model as a graph.

    Attributes:
        graph: the whole.
        starts: number of the first operator of each layer, and of what follows the last one.
        crossing: tensors that may be handed from one layer to the next.
        layers, kv_heads, head_dim, vocabulary: as in
            :class:`~aegis_ros.network.generator.facts.GeneratorFacts`.
    """

    graph: onnx.ModelProto
    starts: tuple[int, ...]
    crossing: dict[str, TensorInfo]
    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int

    def parts(self, groups: int) -> tuple[onnx.ModelProto, ...]:
        """Return groups of layers of about one size, and the part that computes logits.

        Raises:
            ModelError: there are fewer layers than groups.
        """
        if not 1 <= groups <= self.layers:
            raise ModelError(
                "the model cannot be cut into so many parts",
                where="parts",
                value=groups,
                expected=f"1 to {self.layers}, the number of its layers",
            )
        first = [round(number * self.layers / groups) for number in range(1, groups)]
        places = [self.starts[layer] for layer in (*first, self.layers)]
        return split(self.graph, places, self.crossing)


@dataclass(slots=True)
class _Nodes:
    """A graph that grows.

    Attributes:
        rounds: whether what is multiplied with blocks is rounded to 8 bits.
    """

    rounds: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    summed: set[str] = field(default_factory=set)

    def add(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        """Add an operator; return its first output."""
        domain = attributes.pop("domain", "")
        self.nodes.append(
            helper.make_node(
                operator, inputs, outputs, name=f"{outputs[0]}/", domain=domain, **attributes
            )
        )
        return outputs[0]

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add a constant, once; return its name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def linear(self, name: str, x: str, weight: str, matrix: Blocks | npt.NDArray[Any]) -> str:
        """Multiply ``x`` [..., columns] with a matrix [rows, columns]."""
        if not isinstance(matrix, Blocks):
            return self.add("MatMul", [x, self.constant(f"{weight}.t", matrix.T)], [name])
        if matrix.bits == 8 and not self.rounds:
            # The runtime has a kernel for 8 bits with what is rounded only, and one for 4 bits.
            halves = [
                self.linear(f"{name}/{half}", x, f"{weight}.{half}", each)
                for half, each in zip(("high", "low"), matrix.nibbles(), strict=True)
            ]
            return self.add("Add", halves, [name])
        rows, blocks, _ = matrix.packed.shape
        operands = [
            x,
            self.constant(f"{weight}.q", matrix.packed),
            self.constant(f"{weight}.scale", matrix.scales),
        ]
        attributes: dict[str, Any] = {
            "K": blocks * matrix.size,
            "N": rows,
            "bits": matrix.bits,
            "block_size": matrix.size,
            "accuracy_level": 4 if self.rounds else 1,  # products of int8 or float32
            "domain": _MS,
        }
        if matrix.offsets is None:
            return self.add("MatMulNBits", operands, [name], **attributes)
        # What all weights of a block have in common is multiplied with the sum of the block: that
        # is exact, where zero points of 4 bits are not and those of other types have no kernel.
        size = matrix.size
        sums = f"{x}/sums{size}"
        if sums not in self.summed:
            self.summed.add(sums)
            cut = self.constant(f"block{size}", np.array([0, 0, -1, size], np.int64))
            self.add("Reshape", [x, cut], [f"{x}/blocks{size}"])
            axis = self.constant("last_axis", np.array([-1], np.int64))
            self.add("ReduceSum", [f"{x}/blocks{size}", axis], [sums], keepdims=0)
        first = self.add("MatMulNBits", operands, [f"{name}/scaled"], **attributes)
        offsets = self.constant(f"{weight}.offset", matrix.offsets.T)
        second = self.add("MatMul", [sums, offsets], [f"{name}/offset"])
        return self.add("Add", [first, second], [name])


def transformer(file: GgufFile, *, context: int, precision: Precision) -> Transformer:
    """Return the graph of a model.

    Args:
        file: the model.
        context: longest sequence, tokens.
        precision: of its products.

    Raises:
        ModelError: an architecture that is not known, or a file that is not complete.
    """
    return _Builder(file, context, precision).build()


class _Builder:
    def __init__(self, file: GgufFile, context: int, precision: Precision) -> None:
        architecture = file.text("general.architecture")
        if architecture not in _INTERLEAVED:
            raise ModelError(
                "the architecture is not supported",
                where="general.architecture",
                value=architecture or "nothing",
                expected=" or ".join(_INTERLEAVED),
                hint="Export the model to ONNX with its KV cache, and name that file",
            )
        self._file, self._context, self._precision = file, context, precision
        self._key = f"{architecture}."
        self._interleaved = _INTERLEAVED[architecture]
        self._layers = self._integer("block_count", 1, _MOST_LAYERS)
        self._hidden = self._integer("embedding_length", 1, _MOST_EXTENT)
        self._inner = self._integer("feed_forward_length", 1, _MOST_EXTENT)
        self._heads = self._integer("attention.head_count", 1, 4096)
        self._kv_heads = self._integer("attention.head_count_kv", 1, self._heads, self._heads)
        self._head_dim = self._integer(
            "attention.key_length", 2, 4096, self._hidden // self._heads or 2
        )
        self._epsilon = file.number(f"{self._key}attention.layer_norm_rms_epsilon")
        self._vocabulary = file.rows("token_embd.weight")
        self._nodes = _Nodes(precision is Precision.INT8)
        self._require_known_attention()

    def build(self) -> Transformer:
        nodes, starts = self._nodes, []
        self._rotations()
        x, addend = self._embedded(), ""
        crossing: dict[str, TensorInfo] = {}
        for layer in range(self._layers):
            starts.append(len(nodes.nodes))
            x, addend = self._layer(layer, x, addend)
            for name in (x, addend):
                crossing[name] = TensorInfo(name, "float32", ("batch", "tokens", self._hidden))
        starts.append(len(nodes.nodes))
        self._logits(x, addend)
        if self._file.unused:
            raise ModelError(
                "the model has tensors that its architecture does not know",
                where="model",
                value=", ".join(self._file.unused[:3]),
                hint="Export the model to ONNX with its KV cache, and name that file",
            )
        return Transformer(
            self._model(),
            tuple(starts),
            crossing,
            self._layers,
            self._kv_heads,
            self._head_dim,
            self._vocabulary,
        )

    def _require_known_attention(self) -> None:
        if self._heads % self._kv_heads or self._head_dim % 2:
            raise ModelError(
                "its heads do not fit each other",
                where=f"{self._key}attention.head_count_kv",
                value=f"{self._kv_heads} for {self._heads} heads of {self._head_dim}",
                expected="a divisor of the number of heads, and heads of an even size",
            )
        for key, usual in (
            ("attention.value_length", self._head_dim),
            ("rope.dimension_count", self._head_dim),
            ("attention.sliding_window", 0),
            ("expert_count", 0),
        ):
            found = self._integer(key, 0, _MOST_EXTENT, usual)
            if found != usual:
                raise ModelError(
                    "this kind of attention or layer is not supported",
                    where=f"{self._key}{key}",
                    value=found,
                    expected=str(usual),
                    hint="Export the model to ONNX with its KV cache, and name that file",
                )

    def _rotations(self) -> None:
        """Add the tables of cosines and sines, float32 [context, head_dim / 2] each."""
        file, half = self._file, self._head_dim // 2
        base = file.number(f"{self._key}rope.freq_base", 10_000.0)
        rates = base ** (-np.arange(half, dtype=np.float64) / half)
        scaling = file.text(f"{self._key}rope.scaling.type", "none")
        if scaling == "linear":
            rates /= file.number(f"{self._key}rope.scaling.factor")
        elif scaling != "none":
            raise ModelError(
                "this scaling of positions is not supported",
                where=f"{self._key}rope.scaling.type",
                value=scaling,
                expected="none or linear",
            )
        if file.has("rope_freqs.weight"):
            rates /= file.numbers("rope_freqs.weight", (half,))
        angles = np.outer(np.arange(self._context, dtype=np.float64), rates)
        self._nodes.constant("cosines", np.cos(angles).astype(np.float32))
        self._nodes.constant("sines", np.sin(angles).astype(np.float32))

    def _embedded(self) -> str:
        nodes = self._nodes
        matrix = self._matrix("token_embd", self._vocabulary, self._hidden)
        if isinstance(matrix, Blocks) and matrix.bits == 8:
            packed = nodes.constant("token_embd.weight.q", matrix.packed)
            scales = nodes.constant("token_embd.weight.scale", matrix.scales)
            nodes.add("Gather", [packed, "input_ids"], ["token/q"], axis=0)
            nodes.add("Cast", ["token/q"], ["token/number"], to=TensorProto.FLOAT)
            middle = nodes.constant("middle", np.array([128], np.float32))
            nodes.add("Sub", ["token/number", middle], ["token/centred"])
            nodes.add("Gather", [scales, "input_ids"], ["token/scale"], axis=0)
            axis = nodes.constant("last_axis", np.array([-1], np.int64))
            nodes.add("Unsqueeze", ["token/scale", axis], ["token/scales"])
            nodes.add("Mul", ["token/centred", "token/scales"], ["token/blocks"])
            shape = nodes.constant("token_shape", np.array([0, 0, self._hidden], np.int64))
            return nodes.add("Reshape", ["token/blocks", shape], ["token"])
        # Two numbers in a byte cannot be gathered: anything else is gathered as float32.
        extents = (self._vocabulary, self._hidden)
        numbers = self._file.numbers("token_embd.weight", extents)
        table = nodes.constant("token_embd.weight", numbers)
        return nodes.add("Gather", [table, "input_ids"], ["token"], axis=0)

    def _layer(self, layer: int, x: str, addend: str) -> tuple[str, str]:
        """Add a layer to ``x + addend``; return its result as such a sum that is not added yet."""
        nodes, at = self._nodes, f"layer{layer}"
        x, normal = self._normal(f"{at}/attention", f"blk.{layer}.attn_norm", x, addend)
        heads, kv = self._heads * self._head_dim, self._kv_heads * self._head_dim
        q = self._linear(f"{at}/q", normal, f"blk.{layer}.attn_q", (heads, self._hidden))
        k = self._linear(f"{at}/k", normal, f"blk.{layer}.attn_k", (kv, self._hidden))
        v = self._linear(f"{at}/v", normal, f"blk.{layer}.attn_v", (kv, self._hidden))
        cached = [f"{layer}.{name}" for name in ("key", "value")]
        past, present = (
            [f"past_key_values.{each}" for each in cached],
            [f"present.{each}" for each in cached],
        )
        attended = nodes.add(
            "GroupQueryAttention",
            [q, k, v, *past, "seqlens_k", "total_sequence_length", "cosines", "sines"],
            [f"{at}/attended", *present],
            domain=_MS,
            num_heads=self._heads,
            kv_num_heads=self._kv_heads,
            do_rotary=1,
            rotary_interleaved=int(self._interleaved),
        )
        output = f"blk.{layer}.attn_output"
        mixed = self._linear(f"{at}/mixed", attended, output, (self._hidden, heads))
        x, normal = self._normal(f"{at}/inner", f"blk.{layer}.ffn_norm", x, mixed)
        widened = (self._inner, self._hidden)
        gate = self._linear(f"{at}/gate", normal, f"blk.{layer}.ffn_gate", widened)
        up = self._linear(f"{at}/up", normal, f"blk.{layer}.ffn_up", widened)
        nodes.add("Sigmoid", [gate], [f"{at}/sigmoid"])
        nodes.add("Mul", [gate, f"{at}/sigmoid"], [f"{at}/swish"])
        gated = nodes.add("Mul", [f"{at}/swish", up], [f"{at}/gated"])
        narrowed = (self._hidden, self._inner)
        down = self._linear(f"{at}/down", gated, f"blk.{layer}.ffn_down", narrowed)
        return x, down

    def _logits(self, x: str, addend: str) -> None:
        """Add what computes the logits of the last token, [batch, vocabulary]."""
        nodes = self._nodes
        _, normal = self._normal("end", "output_norm", x, addend)
        last = nodes.constant("last", np.array([-1], np.int64))
        nodes.add("Gather", [normal, last], ["end/last"], axis=1)
        name = "output" if self._file.has("output.weight") else "token_embd"
        matrix = self._matrix(name, self._vocabulary, self._hidden)
        nodes.linear("logits", "end/last", f"{name}.weight", matrix)

    def _normal(self, at: str, norm: str, x: str, addend: str) -> tuple[str, str]:
        """Add ``x + addend`` and its norm; return both."""
        gain = self._nodes.constant(
            f"{norm}.weight", self._file.numbers(f"{norm}.weight", (self._hidden,))
        )
        if not addend:
            normal = self._nodes.add(
                "SimplifiedLayerNormalization",
                [x, gain],
                [f"{at}/normal"],
                epsilon=self._epsilon,
                axis=-1,
                stash_type=1,
            )
            return x, normal
        normal = self._nodes.add(
            "SkipSimplifiedLayerNormalization",
            [x, addend, gain],
            [f"{at}/normal", "", "", f"{at}/sum"],
            epsilon=self._epsilon,
            domain=_MS,
        )
        return f"{at}/sum", normal

    def _linear(self, name: str, x: str, tensor: str, shape: tuple[int, int]) -> str:
        rows, columns = shape
        matrix = self._matrix(tensor, rows, columns)
        if not self._file.has(f"{tensor}.bias"):
            return self._nodes.linear(name, x, f"{tensor}.weight", matrix)
        product = self._nodes.linear(f"{name}/product", x, f"{tensor}.weight", matrix)
        bias = self._nodes.constant(f"{tensor}.bias", self._file.numbers(f"{tensor}.bias", (rows,)))
        return self._nodes.add("Add", [product, bias], [name])

    def _matrix(self, tensor: str, rows: int, columns: int) -> Blocks | npt.NDArray[np.float32]:
        return self._file.matrix(f"{tensor}.weight", rows, columns, self._precision)

    def _integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        return self._file.integer(f"{self._key}{key}", low, high, default)

    def _model(self) -> onnx.ModelProto:
        def real(name: str, *shape: int | str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        cache = ("batch", self._kv_heads, "context", self._head_dim)
        names = [f"{layer}.{name}" for layer in range(self._layers) for name in ("key", "value")]
        inputs = [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ("batch", "tokens")),
            helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ("batch",)),
            helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, (1,)),
            *(real(f"past_key_values.{name}", *cache) for name in names),
        ]
        outputs = [
            real("logits", "batch", 1, self._vocabulary),
            *(real(f"present.{name}", *cache) for name in names),
        ]
        graph = helper.make_graph(
            self._nodes.nodes, "transformer", inputs, outputs, list(self._nodes.constants.values())
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_FORMAT)
