"""A small vision-language model in the layout of published exports, made up on the spot."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, utils

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.network.generator import conversion_child
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.preparing import tokenizer_of
from aegis_ros.network.generator.vision.published import vision_of
from aegis_ros.network.generator.vocabulary import of_gguf
from aegis_ros.network.model_file import ModelFile
from test.network.generator.export import CONTEXT, HEADS, HIDDEN, LAYERS, SIZE, graph
from test.network.generator.models import tokens, write_gguf

PATCH, EDGE = 4, 16
ROWS = (EDGE // PATCH) ** 2
INNER = 24
IMAGE, AROUND, GLOBAL = "<image>", "<fake_token_around_image>", "<global-img>"
OWN = (IMAGE, AROUND, GLOBAL)  # further tokens of its tokenizer
TOKEN = len(tokens())  # that stands for an image
LISTS = (
    "{% for m in messages %}<|start|>{{ m['role'] }}:{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant:{% endif %}"
)
MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)


def encoder(
    *,
    width: int = HIDDEN,
    dtype: type[np.floating[Any]] = np.float32,
    masked: bool = True,
    sizes: Sequence[int | str] = ("height", "width"),
    extra: Sequence[str] = (),
) -> onnx.ModelProto:
    """An encoder with its projector: patches, two layers, rows of ``width`` numbers.

    Args:
        width: of a row.
        dtype: of its numbers.
        masked: whether it takes several images and a mask, as that of Idefics3 does.
        sizes: height and width that its input states.
        extra: further inputs.
    """
    random = np.random.default_rng(11)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(name: str, *shape: int) -> str:
        scale = float(np.prod(shape[1:])) ** 0.5
        return constant(name, (2 * random.standard_normal(shape) / scale).astype(dtype))

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    x = "pixel_values"
    if masked:
        folded = constant("folded", np.array([-1, 3, EDGE, EDGE], np.int64))
        add("Cast", ["pixel_attention_mask"], "mask", to=kind)
        beyond = constant("beyond", np.array([2], np.int64))
        add("Unsqueeze", ["mask", beyond], "mask3")
        add("Mul", [x, "mask3"], "shown")
        x = add("Reshape", ["shown", folded], "pixels")
    x = add(
        "Conv",
        [x, weight("patches", INNER, 3, PATCH, PATCH)],
        "patched",
        strides=[PATCH, PATCH],
        kernel_shape=[PATCH, PATCH],
    )
    flat = constant("flat", np.array([0, INNER, -1], np.int64))
    add("Reshape", [x, flat], "patched3")
    x = add("Transpose", ["patched3"], "words", perm=[0, 2, 1])
    for layer in range(2):
        at = f"v{layer}."
        add("Transpose", [x], f"{at}t", perm=[0, 2, 1])
        add("MatMul", [x, f"{at}t"], f"{at}raw")
        add("Mul", [f"{at}raw", constant(f"{at}root", dtype(0.1))], f"{at}scaled")
        add("Softmax", [f"{at}scaled"], f"{at}soft", axis=-1)
        add("MatMul", [f"{at}soft", x], f"{at}mix")
        add("MatMul", [f"{at}mix", weight(f"{at}w", INNER, INNER)], f"{at}o")
        add("Tanh", [f"{at}o"], f"{at}a")
        x = add("Add", [x, f"{at}a"], f"{at}x")
    add("MatMul", [x, weight("projector", INNER, width)], "image_features")
    images = ("batch", "images", 3) if masked else ("batch", 3)
    inputs = [helper.make_tensor_value_info("pixel_values", kind, [*images, *sizes])]
    if masked:
        mask = ["batch", "images", *sizes]
        inputs.append(helper.make_tensor_value_info("pixel_attention_mask", TensorProto.BOOL, mask))
    inputs += [helper.make_tensor_value_info(name, kind, ["n"]) for name in extra]
    made = ["images", "rows", "width"]
    outputs = [helper.make_tensor_value_info("image_features", kind, made)]
    whole = helper.make_graph(nodes, "vision", inputs, outputs, constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def embedding_and_decoder(
    dtype: type[np.floating[Any]] = np.float32,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The small language model of :mod:`export` as the two files that such exports have."""
    whole = graph(dtype=dtype, vocabulary=TOKEN + len(OWN))
    for node in whole.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "word":
                    names[index] = "inputs_embeds"
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    words = helper.make_tensor_value_info("inputs_embeds", kind, ["batch", "n", HIDDEN])
    whole.graph.value_info.append(words)
    extractor = utils.Extractor(whole)
    first = extractor.extract_model(["input_ids"], ["inputs_embeds"])
    fed = [item.name for item in whole.graph.input if item.name != "input_ids"]
    rest = extractor.extract_model(
        ["inputs_embeds", *fed], [item.name for item in whole.graph.output]
    )
    return first, rest


def tokenizer(folder: Path) -> str:
    """The tokenizer of the small models with the tokens that images need."""
    descriptor = os.open(write_gguf(folder / "words.gguf"), os.O_RDONLY)
    try:
        found = json.loads(of_gguf(GgufFile(descriptor), len(tokens())).tokenizer)
    finally:
        os.close(descriptor)
    for number, text in enumerate(OWN, TOKEN):
        found["added_tokens"].append(
            {
                "id": number,
                "content": text,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        )
    return json.dumps(found)


def described(kind: str = "smolvlm") -> dict[str, dict[str, Any]]:
    """The descriptions beside such a model, by name of their file."""
    preprocessor: dict[str, Any] = {
        "do_normalize": True,
        "do_rescale": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "rescale_factor": 1 / 255,
    }
    if kind == "llava":
        preprocessor |= {
            "do_center_crop": True,
            "crop_size": {"height": EDGE, "width": EDGE},
            "size": {"shortest_edge": EDGE},
        }
        return {
            "config": {
                "model_type": kind,
                "image_token_index": TOKEN,
                "text_config": {"max_position_embeddings": CONTEXT},
            },
            "preprocessor_config": preprocessor,
        }
    preprocessor |= {
        "do_image_splitting": True,
        "max_image_size": {"longest_edge": EDGE},
        "size": {"longest_edge": 4 * EDGE},
    }
    return {
        "config": {
            "model_type": kind,
            "image_token_id": TOKEN,
            "text_config": {"max_position_embeddings": CONTEXT},
        },
        "preprocessor_config": preprocessor,
        "processor_config": {"image_seq_len": ROWS},
    }


def write_vlm(
    folder: Path,
    *,
    kind: str = "smolvlm",
    changed: Mapping[str, Mapping[str, Any]] | None = None,
    template: str = LISTS,
    **options: Any,
) -> Path:
    """Write such a model as published ones are: graphs in a folder of their own.

    Args:
        folder: of its files.
        kind: ``smolvlm`` or ``llava``.
        changed: keys of descriptions that differ, by name of their file.
        template: of its chats.
        options: of the encoder.

    Returns:
        The decoder.
    """
    graphs = folder / "onnx"
    graphs.mkdir(parents=True, exist_ok=True)
    words, rest = embedding_and_decoder()
    onnx.save_model(encoder(masked=kind != "llava", **options), str(graphs / "vision_encoder.onnx"))
    onnx.save_model(words, str(graphs / "embed_tokens.onnx"))
    onnx.save_model(rest, str(graphs / "decoder_model_merged.onnx"))
    (folder / "tokenizer.json").write_text(tokenizer(folder), encoding="utf-8")
    named = {"eos_token": "<|end|>", "bos_token": "<|start|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    for name, said in described(kind).items():
        said = said | dict((changed or {}).get(name, {}))
        (folder / f"{name}.json").write_text(json.dumps(said))
    return graphs / "decoder_model_merged.onnx"


def made(path: Path, folder: Path, *, parts: int = 1, image_parts: int = 1) -> CompiledGenerator:
    """Do what the child does with the files beside a decoder, in this process."""
    folder.mkdir(exist_ok=True)
    roots = [str(path.parent.parent)]
    beside = tokenizer_of(str(path), roots)
    assert beside is not None
    with ExitStack() as opened:
        file = opened.enter_context(ModelFile(path))
        vision = opened.enter_context(vision_of(str(path), roots))
        request = {
            "context": 0,
            "descriptor": file.descriptor,
            "digest": file.digest,
            "folder": str(folder),
            "gguf": False,
            "image_parts": image_parts,
            "name": path.name,
            "parts": parts,
            "stated_context": beside.context,
            "template": beside.template,
            "tokenizer": {"tokenizer": beside.tokenizer, "config": beside.config},
        }
        if vision is not None:
            request["vision"] = vision.request()
        found = conversion_child.answer(json.loads(json.dumps(request)))
    paths = [folder / f"{number}.onnx" for number in range(found["parts"])]
    return CompiledGenerator(
        "key",
        tuple(map(str, paths)),
        tuple(sha256(each.read_bytes()).hexdigest() for each in paths),
        msgspec.convert(found["facts"], GeneratorFacts),
        sum(each.stat().st_size for each in paths),
    )


def prompt() -> list[int]:
    """Tokens of a prompt about an image."""
    return [5, 6, TOKEN + 1, *[TOKEN] * ROWS, TOKEN + 1, 70, 71, 72]


def picture(seed: int, size: tuple[int, int] = (EDGE, EDGE)) -> np.ndarray:
    """An image, of noise."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def greedy(folder: Path, prompt: Sequence[int], pixels: np.ndarray, count: int) -> list[int]:
    """The most likely tokens, by the three graphs as they are published, all computed anew.

    Args:
        folder: of the model.
        prompt: its tokens, those that stand for the image included.
        pixels: uint8 [EDGE, EDGE, 3].
        count: how many tokens.
    """
    vision, words, rest = (
        onnxruntime.InferenceSession(str(folder / "onnx" / f"{name}.onnx"))
        for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")
    )
    scaled = pixels.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 255)
    by_colour = [np.array(each, np.float32)[:, None, None] for each in (MEAN, STD)]
    image = ((scaled - by_colour[0]) / by_colour[1])[None]
    fed: dict[str, Any] = {"pixel_values": image}
    if len(vision.get_inputs()) > 1:
        fed = {
            "pixel_values": image[None],
            "pixel_attention_mask": np.ones((1, 1, EDGE, EDGE), bool),
        }
    (rows,) = vision.run(None, fed)
    empty = {
        f"past_key_values.{layer}.{name}": np.zeros((1, HEADS, 0, SIZE), np.float32)
        for layer in range(LAYERS)
        for name in ("key", "value")
    }
    ids = list(prompt)
    for _ in range(count):
        (embeds,) = words.run(None, {"input_ids": np.array([ids], np.int64)})
        shown = np.array(ids[: len(prompt)]) == TOKEN
        embeds[0, : len(prompt)][shown] = rows.reshape(-1, HIDDEN)
        fed = {
            "inputs_embeds": embeds,
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids))[None],
        }
        (logits,) = rest.run(["logits"], fed | empty)
        ids.append(int(np.argmax(logits[0, -1])))
    return ids[len(prompt) :]
