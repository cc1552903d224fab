"""A transformer in NumPy, float32, written from its definition: what ours is held to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np


class Reference:
    """A model of a GGUF file, with the weights that its blocks stand for."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.weights = {
            tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            for tensor in reader.tensors
        }
        architecture = reader.fields["general.architecture"].contents()

        def said(key: str) -> float:
            return reader.fields[f"{architecture}.{key}"].contents()

        self.layers, self.heads = int(said("block_count")), int(said("attention.head_count"))
        self.kv_heads = int(said("attention.head_count_kv"))
        self.head_dim = int(said("embedding_length")) // self.heads
        self.base = said("rope.freq_base")
        self.epsilon = np.float32(said("attention.layer_norm_rms_epsilon"))
        self.interleaved = architecture == "llama"
        self.forget()

    def forget(self) -> None:
        self._keys: list[list[np.ndarray]] = [[] for _ in range(self.layers)]
        self._values: list[list[np.ndarray]] = [[] for _ in range(self.layers)]
        self._length = 0

    def read(self, ids: Sequence[int]) -> np.ndarray:
        """Logits after the last of some tokens that follow those read before."""
        w = self.weights
        x = w["token_embd.weight"][np.asarray(ids)]
        at = self._length + np.arange(len(ids))
        self._length += len(ids)
        for layer in range(self.layers):
            name = f"blk.{layer}."
            x = x + self._attention(layer, name, self._normal(x, f"{name}attn_norm"), at)
            normal = self._normal(x, f"{name}ffn_norm")
            gate = normal @ w[f"{name}ffn_gate.weight"].T
            gated = gate / (1 + np.exp(-gate)) * (normal @ w[f"{name}ffn_up.weight"].T)
            x = x + gated @ w[f"{name}ffn_down.weight"].T
        head = w.get("output.weight", w["token_embd.weight"])
        return self._normal(x[-1:], "output_norm")[0] @ head.T

    def greedy(self, ids: Sequence[int], count: int, ends: Sequence[int] = ()) -> list[int]:
        self.forget()
        found: list[int] = []
        logits = self.read(ids)
        while len(found) < count and not (found and found[-1] in ends):
            found.append(int(np.argmax(logits)))
            if len(found) < count:
                logits = self.read(found[-1:])
        return found

    def _normal(self, x: np.ndarray, name: str) -> np.ndarray:
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return x / scale * self.weights[f"{name}.weight"]

    def _attention(self, layer: int, name: str, x: np.ndarray, at: np.ndarray) -> np.ndarray:
        def project(which: str, heads: int) -> np.ndarray:
            found = x @ self.weights[f"{name}attn_{which}.weight"].T
            found = found + self.weights.get(f"{name}attn_{which}.bias", np.float32(0))
            return found.reshape(len(x), heads, self.head_dim)

        self._keys[layer].append(self._turned(project("k", self.kv_heads), at))
        self._values[layer].append(project("v", self.kv_heads))
        q = self._turned(project("q", self.heads), at)
        shared = self.heads // self.kv_heads
        k = np.repeat(np.concatenate(self._keys[layer]), shared, axis=1)
        v = np.repeat(np.concatenate(self._values[layer]), shared, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.float32(self.head_dim**0.5)
        scores = np.where(np.arange(len(k))[None, None] <= at[None, :, None], scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores = scores / scores.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", scores, v).reshape(len(x), -1)
        return mixed @ self.weights[f"{name}attn_output.weight"].T

    def _turned(self, x: np.ndarray, at: np.ndarray) -> np.ndarray:
        half = self.head_dim // 2
        angles = np.outer(at, self.base ** (-np.arange(half) / half))[:, None]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        if self.interleaved:
            first, second = x[..., 0::2], x[..., 1::2]
        else:
            first, second = x[..., :half], x[..., half:]
        one, other = first * cos - second * sin, second * cos + first * sin
        if self.interleaved:
            return np.stack((one, other), -1).reshape(x.shape)
        return np.concatenate((one, other), -1)
