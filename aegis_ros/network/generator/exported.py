"""Reads an ONNX export of a language model that has its KV cache as inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from aegis_ros.errors import ModelError
from aegis_ros.network.generator.pieces import optimised_pieces
from aegis_ros.network.graph import tensor_infos
from aegis_ros.network.tensor import TensorInfo

__all__ = ["Exported", "exported"]

_PAST = re.compile(r"past_key_values\.(\d{1,4})\.(key|value)")
_FED = ("input_ids", "attention_mask", "position_ids")
_HINT = (
    "Export the model with its KV cache, for example: optimum-cli export onnx "
    "--task text-generation-with-past"
)


@dataclass(frozen=True, slots=True)
class Exported:
    """An export in parts.

    Attributes:
        parts: in order of execution.
        layers, kv_heads, head_dim, vocabulary, kv_dtype, cached_by: as in
            :class:`~aegis_ros.network.generator.facts.GeneratorFacts`.
    """

    parts: Sequence[onnx.ModelProto]
    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    kv_dtype: str
    cached_by: int


def exported(
    model: onnx.ModelProto, folder: Path, parts: int, also: Collection[str] = ()
) -> Exported:
    """Return an export, optimised once as a whole and then cut.

    Args:
        model: the export, checked.
        folder: for files that are needed meanwhile.
        parts: how many are wanted.
        also: further inputs that will be fed.

    Raises:
        ModelError: it is not a language model with a KV cache, or cannot be cut like that.
    """
    inputs = {item.name: item for item in tensor_infos(model.graph.input)}
    outputs = {item.name: item for item in tensor_infos(model.graph.output)}
    layers, cache = _cache(inputs, outputs, also)
    vocabulary = outputs["logits"].shape[-1]
    if len(outputs["logits"].shape) != 3 or not isinstance(vocabulary, int):
        raise ModelError(
            "the logits have no fixed vocabulary",
            where="model: logits",
            value=list(outputs["logits"].shape),
            expected="[batch, tokens, a number]",
            hint=_HINT,
        )
    pieces = optimised_pieces(model, folder, parts)
    cached = [
        number
        for number, piece in enumerate(pieces, 1)
        if any(item.name.startswith("present.") for item in piece.graph.output)
    ]
    return Exported(
        pieces,
        layers,
        int(cache.shape[1]),
        int(cache.shape[3]),
        vocabulary,
        cache.dtype,
        cached[-1],
    )


def _cache(
    inputs: dict[str, TensorInfo], outputs: dict[str, TensorInfo], also: Collection[str]
) -> tuple[int, TensorInfo]:
    """Return the number of layers and the cache of the first; all must be like it."""
    numbers = {name: int(found[1]) for name in inputs if (found := _PAST.fullmatch(name))}
    layers = max(numbers.values(), default=-1) + 1
    wanted = [f"{layer}.{name}" for layer in range(layers) for name in ("key", "value")]
    needed = ["input_ids", "past_key_values.0.key", *(f"past_key_values.{each}" for each in wanted)]
    missing = [name for name in needed if name not in inputs]
    given = ["logits", *(f"present.{each}" for each in wanted)]
    missing += [name for name in given if name not in outputs]
    if missing:
        raise ModelError(
            f"the network is no language model with a KV cache: it has no {missing[0]!r}",
            where="model",
            expected="inputs input_ids, past_key_values.N.key and .value, outputs logits, "
            "present.N.key and .value",
            hint=_HINT,
        )
    unknown = sorted(inputs.keys() - numbers.keys() - {*_FED, *also})
    if unknown:
        raise ModelError(
            f"nothing is known to feed the input {unknown[0]!r} with",
            where="model",
            expected="no inputs but " + ", ".join(_FED) + " and past_key_values",
            hint=_HINT,
        )
    for name in _FED:
        if name in inputs and (inputs[name].dtype != "int64" or len(inputs[name].shape) != 2):
            raise ModelError(
                "an input is not as it must be",
                where=f"model: {name}",
                value=f"{inputs[name].dtype} {list(inputs[name].shape)}",
                expected="int64 [batch, tokens]",
                hint=_HINT,
            )
    first = inputs["past_key_values.0.key"]
    for name in wanted:
        item = inputs[f"past_key_values.{name}"]
        fixed = (item.shape[1], item.shape[3]) if len(item.shape) == 4 else ()
        whole = all(isinstance(extent, int) and extent > 0 for extent in fixed)
        if (
            not fixed
            or not whole
            or fixed != (first.shape[1], first.shape[3])
            or (item.dtype != first.dtype or item.dtype not in ("float32", "float16"))
        ):
            raise ModelError(
                "a cache is not as it must be",
                where=f"model: {item.name}",
                value=f"{item.dtype} {list(item.shape)}",
                expected="float32 or float16 [batch, heads, tokens, size of a head], as the first",
                hint=_HINT,
            )
    return layers, first
