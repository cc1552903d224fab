"""Puts graphs together: from pixels to rows, and from tokens and rows to logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.vision.names import PIXELS, ROW_OF_TOKEN, ROWS
from aegis_ros.network.generator.vision.settings import ImageSettings
from aegis_ros.network.graph import tensor_infos
from aegis_ros.network.plain_text import plain
from aegis_ros.network.tensor import TensorInfo

__all__ = ["Numbers", "embedded", "encoder_of", "numbers_of"]

_EMBEDS = "inputs_embeds"
_FLOATS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
_ENCODER, _EMBEDDING = "vision_encoder", "embed_tokens"
_EXPORTED = (
    "Use the three files of one export: vision_encoder, embed_tokens and decoder_model_merged"
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a decoder takes for each token.

    Attributes:
        width: how many numbers.
        dtype: their element type.
    """

    width: int
    dtype: str


def numbers_of(decoder: onnx.ModelProto) -> Numbers:
    """Return what a decoder takes for each token.

    Raises:
        ModelError: it takes tokens, or leaves that open.
    """
    inputs = {item.name: item for item in tensor_infos(decoder.graph.input)}
    item = inputs.get(_EMBEDS)
    if item is None:
        raise ModelError(
            f"the decoder of a vision-language model has no input {_EMBEDS!r}",
            where="model",
            value=", ".join(list(inputs)[:3]),
            expected=f"{_EMBEDS}, attention_mask, position_ids and past_key_values",
            hint=_EXPORTED,
        )
    width = item.shape[-1] if len(item.shape) == 3 else None
    if not isinstance(width, int) or item.dtype not in _FLOATS:
        raise ModelError(
            "an input is not as it must be",
            where=f"model: {_EMBEDS}",
            value=_told(item),
            expected="float32 or float16 [batch, tokens, a number]",
        )
    return Numbers(width, item.dtype)


def encoder_of(
    vision: onnx.ModelProto, settings: ImageSettings, numbers: Numbers
) -> onnx.ModelProto:
    """Return a vision encoder that takes the bytes of an image, and makes rows for a decoder.

    Args:
        vision: the export, its projector included.
        settings: how it takes images.
        numbers: what the decoder takes for each token.

    Raises:
        ModelError: it does not take such images, or does not make such rows.
    """
    inputs = {item.name: item for item in tensor_infos(vision.graph.input)}
    pixels, mask = inputs.pop("pixel_values", None), inputs.pop("pixel_attention_mask", None)
    if pixels is None:
        raise _wrong(_ENCODER, "has no input 'pixel_values'", "pixel_values")
    if inputs:
        raise _wrong(
            _ENCODER,
            f"has an input {next(iter(inputs))!r}, which nothing is known to feed with",
            "pixel_values, and pixel_attention_mask in some",
        )
    size = (settings.height, settings.columns)
    _require_images(pixels, size)
    output = _output(vision, numbers.width)
    model = compose.add_prefix(vision, prefix="vision/")
    graph = model.graph
    rank = len(pixels.shape)
    front = _Nodes("before/")
    at = front.add("Transpose", PIXELS, perm=[2, 0, 1])
    at = front.add("Cast", at, to=TensorProto.FLOAT)
    at = front.add("Mul", at, front.constant(np.float32(settings.scale)))
    at = front.add("Sub", at, front.constant(_by_colour(settings.mean)))
    at = front.add("Div", at, front.constant(_by_colour(settings.std)))
    at = front.add("Cast", at, to=_FLOATS[pixels.dtype])
    extents = front.constant(np.array([1] * (rank - 3) + [3, *size], np.int64))
    front.add("Reshape", at, extents, to_name="vision/pixel_values")
    if mask is not None:
        if mask.dtype != "bool" or len(mask.shape) != rank - 1:
            raise _wrong(_ENCODER, "takes another kind of mask", "bool, without colours", mask)
        whole = np.ones((*[1] * (rank - 3), *size), bool)
        front.constants.append(numpy_helper.from_array(whole, "vision/pixel_attention_mask"))
    after = _Nodes("after/")
    at = after.add("Flatten", f"vision/{output.name}", axis=len(output.shape) - 1)
    after.add("Cast", at, to_name=ROWS, to=_FLOATS[numbers.dtype])
    nodes = [*front.nodes, *graph.node, *after.nodes]
    constants = [*graph.initializer, *front.constants, *after.constants]
    taken = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [*size, 3])
    made = helper.make_tensor_value_info(ROWS, _FLOATS[numbers.dtype], ["rows", numbers.width])
    _fill(graph, nodes, [taken], [made], constants=constants, sparse=graph.sparse_initializer)
    return model


def embedded(
    decoder: onnx.ModelProto, embedding: onnx.ModelProto, rows: int, numbers: Numbers
) -> onnx.ModelProto:
    """Return a decoder that takes tokens, and for some of them the rows of an image.

    Args:
        decoder: the export, which takes embeddings.
        embedding: the export that makes them of tokens.
        rows: of an image.
        numbers: of a row, and of an embedding.

    Raises:
        ModelError: the two do not fit together.
    """
    inputs = tensor_infos(embedding.graph.input)
    if [item.name for item in inputs] != ["input_ids"] or inputs[0].dtype != "int64":
        names = ", ".join(f"{item.name} ({item.dtype})" for item in inputs)
        raise ModelError(
            f"{_EMBEDDING} takes something else than tokens",
            where=_EMBEDDING,
            value=names,
            expected="input_ids (int64) alone",
            hint=_EXPORTED,
        )
    outputs = tensor_infos(embedding.graph.output)
    last = outputs[0].shape[-1] if len(outputs) == 1 and len(outputs[0].shape) == 3 else None
    if (
        last is None
        or outputs[0].dtype != numbers.dtype
        or (isinstance(last, int) and last != numbers.width)
    ):
        raise ModelError(
            f"{_EMBEDDING} is not that of the decoder",
            where=_EMBEDDING,
            value=", ".join(_told(item) for item in outputs),
            expected=f"{numbers.dtype} [batch, tokens, {numbers.width}], as the decoder takes",
            hint=_EXPORTED,
        )
    opset = _opsets(decoder).get("", 0)
    words = compose.add_prefix(_brought_to(embedding, opset), prefix="words/")
    middle = _Nodes("image/")
    # A row of -1 takes the last one, which is then not used.
    taken = middle.add("Gather", ROWS, ROW_OF_TOKEN, axis=0)
    none = middle.add("Less", ROW_OF_TOKEN, middle.constant(np.int64(0)))
    beside = middle.constant(np.array([0, 0, 1], np.int64))
    none = middle.add("Reshape", none, beside)
    middle.add("Where", none, f"words/{outputs[0].name}", taken, to_name=_EMBEDS)
    model = onnx.ModelProto()
    model.CopyFrom(decoder)
    graph = model.graph
    tokens = ["batch", "tokens"]
    fed = [
        helper.make_tensor_value_info("words/input_ids", TensorProto.INT64, tokens),
        helper.make_tensor_value_info(ROW_OF_TOKEN, TensorProto.INT64, tokens),
        helper.make_tensor_value_info(ROWS, _FLOATS[numbers.dtype], [rows, numbers.width]),
        *(item for item in graph.input if item.name != _EMBEDS),
    ]
    nodes = [*words.graph.node, *middle.nodes, *graph.node]
    constants = [*words.graph.initializer, *middle.constants, *graph.initializer]
    for node in nodes:  # the tokens have their usual name
        for index, name in enumerate(node.input):
            if name == "words/input_ids":
                node.input[index] = "input_ids"
    fed[0].name = "input_ids"
    sparse = [*words.graph.sparse_initializer, *graph.sparse_initializer]
    _fill(graph, nodes, fed, list(graph.output), constants=constants, sparse=sparse)
    domains = _opsets(words) | _opsets(decoder)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*item) for item in domains.items())
    model.functions.extend(words.functions)
    model.ir_version = max(decoder.ir_version, embedding.ir_version)
    return model


class _Nodes:
    """Operators and constants, whose names have a beginning of their own."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.generic | np.ndarray) -> str:
        name = f"{self._prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, to_name: str = "", **attributes: Any) -> str:
        name = f"{self._prefix}{len(self.nodes)}"
        output = to_name or f"{name}_out"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output


def _require_images(pixels: TensorInfo, size: tuple[int, int]) -> None:
    """Refuse an encoder that takes no images in colour of a size."""
    wanted = (3, *size)
    last = pixels.shape[-3:]
    fits = len(pixels.shape) in (4, 5) and all(
        not isinstance(there, int) or there == here
        for there, here in zip(last, wanted, strict=True)
    )
    if pixels.dtype not in _FLOATS or not fits:
        raise ModelError(
            "the vision encoder takes other images than its files say",
            where=f"{_ENCODER}: pixel_values",
            value=_told(pixels),
            expected="float32 or float16 [batch, 3, height, width], or [batch, images, 3, height, "
            f"width], of {size[1]} × {size[0]} pixels as preprocessor_config.json says",
            hint="Copy the preprocessor_config.json there that the model was published with",
        )


def _output(vision: onnx.ModelProto, width: int) -> TensorInfo:
    """Return the output that holds the rows of an image."""
    outputs = {item.name: item for item in tensor_infos(vision.graph.output)}
    named = outputs.get("image_features")
    found = named or (next(iter(outputs.values())) if len(outputs) == 1 else None)
    if found is None:
        raise _wrong(_ENCODER, "has no output 'image_features'", "image_features")
    last = found.shape[-1] if len(found.shape) > 1 else None
    if last is None or found.dtype not in _FLOATS or (isinstance(last, int) and last != width):
        raise ModelError(
            "the vision encoder is not that of the decoder",
            where=f"{_ENCODER}: {found.name}",
            value=_told(found),
            expected=f"rows of {width} numbers, as {_EMBEDS} of the decoder",
            hint=_EXPORTED,
        )
    return found


def _brought_to(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a graph in another version of ONNX."""
    own = _opsets(model).get("", opset)
    if own == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # its exceptions have no common type
        raise ModelError(
            f"{_EMBEDDING} uses opset {own} and cannot be brought to that of the decoder "
            f"({plain(str(error))})",
            where=_EMBEDDING,
            expected=f"opset {opset}",
            hint=_EXPORTED,
        ) from error


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    return {
        "" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import
    }


def _fill(
    graph: onnx.GraphProto,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    constants: Sequence[onnx.TensorProto],
    sparse: Sequence[onnx.SparseTensorProto],
) -> None:
    """Have a graph consist of these, some of which are its own; what was known of others goes."""
    made = helper.make_graph(
        nodes, graph.name or "graph", inputs, outputs, constants, sparse_initializer=sparse
    )
    graph.CopyFrom(made)


def _by_colour(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float32).reshape(3, 1, 1)


def _told(item: TensorInfo) -> str:
    return f"{item.dtype} {list(item.shape)}"


def _wrong(where: str, problem: str, expected: str, item: TensorInfo | None = None) -> ModelError:
    return ModelError(
        f"the vision encoder {problem}",
        where=where,
        value=None if item is None else _told(item),
        expected=expected,
        hint=_EXPORTED,
    )
