"""A small language model as exporters write it: ONNX operators, and a cache that grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from test.network.generator.models import CHAT, tokens

LAYERS, HIDDEN, HEADS, SIZE, CONTEXT = 3, 32, 2, 16, 128


def graph(
    *,
    dtype: type[np.floating[Any]] = np.float32,
    drop: Sequence[str] = (),
    extra: Sequence[str] = (),
    vocabulary: int = 0,
) -> onnx.ModelProto:
    """Such a model.

    Args:
        dtype: of its numbers.
        drop: inputs and outputs that it does not list.
        extra: further inputs.
        vocabulary: 0 for that of the tokenizer.
    """
    random = np.random.default_rng(3)
    count = vocabulary or len(tokens())
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(name: str, *shape: int) -> str:
        value = random.standard_normal(shape) / shape[0] ** 0.5
        return constant(name, value.astype(dtype))

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    heads = constant("heads", np.array([0, 0, HEADS, SIZE], np.int64))
    flat = constant("flat", np.array([0, 0, HIDDEN], np.int64))
    one, zero = constant("one", np.int64(1)), constant("zero", np.int64(0))
    ends = constant("ends", np.array([1, 3], np.int64))
    low, root = constant("low", dtype(-1e4)), constant("root", dtype(SIZE**-0.5))
    add("Shape", ["attention_mask"], "mask_shape")
    add("Gather", ["mask_shape", one], "total")
    add("Range", [zero, "total", one], "key_at")
    add("Unsqueeze", ["position_ids", ends], "asked_at")
    add("LessOrEqual", ["key_at", "asked_at"], "seen")
    add("Gather", [weight("embedding", count, HIDDEN), "input_ids"], "word")
    add("Gather", [weight("places", CONTEXT, HIDDEN), "position_ids"], "place")
    x = add("Add", ["word", "place"], "x")
    for layer in range(LAYERS):
        at = f"l{layer}."
        kept = {}
        for which, name in (("q", "query"), ("k", "key"), ("v", "value")):
            add("MatMul", [x, weight(f"{at}{which}w", HIDDEN, HIDDEN)], f"{at}{which}")
            add("Reshape", [f"{at}{which}", heads], f"{at}{which}h")
            kept[name] = add("Transpose", [f"{at}{which}h"], f"{at}{which}t", perm=[0, 2, 1, 3])
        for name in ("key", "value"):
            past, present = f"past_key_values.{layer}.{name}", f"present.{layer}.{name}"
            kept[name] = add("Concat", [past, kept[name]], present, axis=2)
        add("Transpose", [kept["key"]], f"{at}kt2", perm=[0, 1, 3, 2])
        add("MatMul", [kept["query"], f"{at}kt2"], f"{at}raw")
        add("Mul", [f"{at}raw", root], f"{at}scaled")
        add("Where", ["seen", f"{at}scaled", low], f"{at}masked")
        add("Softmax", [f"{at}masked"], f"{at}soft", axis=-1)
        add("MatMul", [f"{at}soft", kept["value"]], f"{at}mix")
        add("Transpose", [f"{at}mix"], f"{at}mixt", perm=[0, 2, 1, 3])
        add("Reshape", [f"{at}mixt", flat], f"{at}mixf")
        add("MatMul", [f"{at}mixf", weight(f"{at}ow", HIDDEN, HIDDEN)], f"{at}o")
        x = add("Add", [x, f"{at}o"], f"{at}x")
        add("MatMul", [x, weight(f"{at}uw", HIDDEN, HIDDEN)], f"{at}u")
        add("Tanh", [f"{at}u"], f"{at}a")
        x = add("Add", [x, f"{at}a"], f"{at}y")
    add("MatMul", [x, weight("head", HIDDEN, count)], "logits")
    ids = ["input_ids", "attention_mask", "position_ids"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", f"n_{name}"))
        for name in (*ids, *extra)
    ]
    outputs = [helper.make_tensor_value_info("logits", kind, ("batch", "n", count))]
    for layer in range(LAYERS):
        for name in ("key", "value"):
            past = ("batch", HEADS, "past", SIZE)
            inputs.append(
                helper.make_tensor_value_info(f"past_key_values.{layer}.{name}", kind, past)
            )
            whole = ("batch", HEADS, "total", SIZE)
            outputs.append(helper.make_tensor_value_info(f"present.{layer}.{name}", kind, whole))
    for name in drop:  # nobody lists it, so a constant stands for an input
        inputs = [item for item in inputs if item.name != name]
        outputs = [item for item in outputs if item.name != name]
        if name.startswith("past"):
            constants.append(numpy_helper.from_array(np.zeros((1, HEADS, 0, SIZE), dtype), name))
    made = helper.make_graph(nodes, "export", inputs, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_export(folder: Path, tokenizer: str, **options: Any) -> Path:
    """Write a model, and beside it what it is published with."""
    folder.mkdir(exist_ok=True)
    onnx.save_model(graph(**options), str(folder / "model.onnx"))
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        config = {
            "eos_token": {"content": "<|end|>"},
            "bos_token": "<|start|>",
            "chat_template": CHAT,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        stated = {"max_position_embeddings": CONTEXT}
        (folder / "config.json").write_text(json.dumps(stated))
    return folder / "model.onnx"


def greedy(model: onnx.ModelProto, prompt: Sequence[int], count: int) -> list[int]:
    """The most likely tokens, all computed anew for each: no cache is needed for that."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    kind = session.get_inputs()[-1].type
    dtype = np.float16 if "16" in kind else np.float32
    empty = {
        f"past_key_values.{layer}.{name}": np.zeros((1, HEADS, 0, SIZE), dtype)
        for layer in range(LAYERS)
        for name in ("key", "value")
    }
    ids = list(prompt)
    for _ in range(count):
        fed = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids))[None],
        }
        (logits,) = session.run(["logits"], fed | empty)
        ids.append(int(np.argmax(logits[0, -1])))
    return ids[len(prompt) :]
