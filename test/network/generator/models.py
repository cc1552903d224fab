"""Small language models that are made up on the spot: weights are noise, tokens are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

CONTEXT = 256
LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, HEAD_DIM = 3, 64, 96, 4, 2, 16
EPSILON = 1e-5
CHAT = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|start|>", "<|end|>")
_MERGES = ("t h", "th e", "Ġ a", "Ġ the", "i n")


def tokens() -> list[str]:
    """Every byte, what the merges make, and three tokens that steer the model."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    of_byte = {byte: chr(byte) for byte in seen}
    of_byte |= {byte: chr(256 + n) for n, byte in enumerate(b for b in range(256) if b not in seen)}
    return [of_byte[byte] for byte in range(256)] + [
        *(merge.replace(" ", "") for merge in _MERGES),
        *CONTROL,
    ]


def keys(architecture: str = "llama") -> dict[str, Any]:
    """What a GGUF file says of such a model."""
    names = tokens()
    return {
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.context_length": CONTEXT,
        f"{architecture}.embedding_length": HIDDEN,
        f"{architecture}.feed_forward_length": INNER,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": KV_HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": EPSILON,
        f"{architecture}.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type": [3 if name in CONTROL else 1 for name in names],
        "tokenizer.ggml.merges": list(_MERGES),
        "tokenizer.ggml.bos_token_id": names.index("<|start|>"),
        "tokenizer.ggml.eos_token_id": names.index("<|end|>"),
        "tokenizer.chat_template": CHAT,
    }


def weights(seed: int = 0, *, biased: bool = False) -> dict[str, np.ndarray]:
    """Tensors of such a model, float32 [rows, columns]; the head is the embedding."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.standard_normal((rows, columns), np.float32) / np.float32(columns**0.5)

    def gain() -> np.ndarray:
        return 1 + random.standard_normal(HIDDEN).astype(np.float32) / 8

    kv = KV_HEADS * HEAD_DIM
    found = {"token_embd.weight": random.standard_normal((len(tokens()), HIDDEN), np.float32)}
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        found |= {
            f"{at}attn_norm.weight": gain(),
            f"{at}attn_q.weight": 2 * matrix(HEADS * HEAD_DIM, HIDDEN),
            f"{at}attn_k.weight": 2 * matrix(kv, HIDDEN),
            f"{at}attn_v.weight": matrix(kv, HIDDEN),
            f"{at}attn_output.weight": matrix(HIDDEN, HEADS * HEAD_DIM),
            f"{at}ffn_norm.weight": gain(),
            f"{at}ffn_gate.weight": 2 * matrix(INNER, HIDDEN),
            f"{at}ffn_up.weight": 2 * matrix(INNER, HIDDEN),
            f"{at}ffn_down.weight": 2 * matrix(HIDDEN, INNER),
        }
        if biased:
            for name, rows in (("q", HEADS * HEAD_DIM), ("k", kv), ("v", kv)):
                found[f"{at}attn_{name}.bias"] = random.standard_normal(rows).astype(np.float32)
    found["output_norm.weight"] = gain()
    return found


def noise(kind: str, rows: int, columns: int) -> np.ndarray:
    """A matrix of a K type, which the package `gguf` reads and does not write."""
    random = np.random.default_rng(rows + columns)
    size, places = {"Q4_K": (144, {0: 3e-4, 2: 2.2e-3}), "Q6_K": (210, {208: 4.7e-5})}[kind]
    blocks = random.integers(0, 256, (rows, columns // 256, size), dtype=np.uint8)
    for at, scale in places.items():
        blocks[..., at : at + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return blocks.reshape(rows, -1)


def write_gguf(
    path: Path,
    kind: str = "F32",
    *,
    architecture: str = "llama",
    said: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray | None] | None = None,
) -> Path:
    """Write such a model.

    Args:
        path: of the file.
        kind: type of the matrices in the file.
        architecture: ``llama`` or ``qwen2``, which has biases.
        said: keys that differ; ``None`` leaves one out.
        tensors: tensors that differ; ``None`` leaves one out.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in (keys(architecture) | dict(said or {})).items():
        if value is None:
            continue
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_int32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_array(name, value)
    made = weights(biased=architecture == "qwen2") | dict(tensors or {})
    for name, array in made.items():
        if array is None:
            continue
        of = getattr(gguf.GGMLQuantizationType, kind if array.ndim == 2 else "F32")
        known = array.ndim == 1 or kind not in ("Q4_K", "Q6_K")
        data = gguf.quantize(array, of) if known else noise(kind, *array.shape)
        writer.add_tensor(name, data, raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
