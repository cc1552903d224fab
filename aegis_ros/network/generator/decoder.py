"""Runs the parts of a language model, step after step, over a KV cache that is taken once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import BackendError, load_error
from aegis_ros.network.generator.buckets import BATCHES
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["Decoder"]

_Ids = npt.NDArray[np.int64]
_Logits = npt.NDArray[np.float32]


class Decoder:
    """A language model with room for ``slots`` sequences of ``context`` tokens.

    Args:
        facts: of the model.
        paths: its parts, in order of execution.
        context: longest sequence, tokens.
        slots: how many sequences it holds.

    Attributes:
        slots: as given.
        lengths: tokens in the cache of each slot.

    Raises:
        BackendError: ONNX Runtime refuses a part.
    """

    def __init__(
        self, facts: GeneratorFacts, paths: Sequence[str], *, context: int, slots: int = 1
    ) -> None:
        """Load the parts and take the memory of the cache."""
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        try:
            self._sessions = [
                onnxruntime.InferenceSession(path, _options(), providers=["CPUExecutionProvider"])
                for path in paths
            ]
        except Exception as error:  # its exceptions have no common type
            raise load_error(runtime_failure(error), BackendError) from error
        self._facts, self._context = facts, context
        self._dtype = np.dtype(facts.kv_dtype)
        self._inputs = [[item.name for item in each.get_inputs()] for each in self._sessions]
        self._outputs = [[item.name for item in each.get_outputs()] for each in self._sessions]
        # What grows is read from one copy while it is written to the other.
        shape = (facts.layers, 2, slots, facts.kv_heads, context, facts.head_dim)
        self._caches = [np.zeros(shape, self._dtype) for _ in range(2 if facts.grows else 1)]
        self._newest = [0] * slots
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)

    @property
    def kv_bytes(self) -> int:
        """Bytes of the cache."""
        return sum(cache.nbytes for cache in self._caches)

    @property
    def largest_batch(self) -> int:
        """Most sequences in one step; those of a cache that grows have different extents."""
        return 1 if self._facts.grows else BATCHES[-1]

    def move(self, source: int, target: int) -> None:
        """Put the sequence of one slot into another one."""
        for cache in self._caches:
            cache[:, :, target] = cache[:, :, source]
        self._newest[target] = self._newest[source]
        self.lengths[target] = self.lengths[source]

    def forget(self, slot: int) -> None:
        """Empty the cache of a slot."""
        self.lengths[slot] = 0

    def prefill(self, tokens: Sequence[int], *, slot: int) -> None:
        """Put tokens into the cache of a slot; nothing is asked about the next one."""
        self._step(np.array([tokens], np.int64), slot, self._facts.cached_by)

    def decode(self, tokens: Sequence[int], *, slot: int) -> _Logits:
        """Put one token each into the caches of slots that follow each other.

        Returns:
            float32 [tokens, vocabulary]: logits of the token after each.
        """
        return self._step(np.array(tokens, np.int64)[:, None], slot, len(self._sessions))

    def _step(self, ids: _Ids, slot: int, parts: int) -> _Logits:
        """Run the first parts on ``ids`` [batch, tokens] for the slots from ``slot`` on."""
        batch, tokens = ids.shape
        past = self.lengths[slot : slot + batch]
        if int(past.max()) + tokens > self._context:
            raise BackendError(
                "the sequence is longer than its cache",
                where="context",
                value=int(past.max()) + tokens,
                expected=f"at most {self._context} tokens",
            )
        if self._facts.grows and batch > 1:
            raise BackendError(
                "an export whose cache grows runs one sequence at a time",
                where="batch",
                value=batch,
                expected="1",
            )
        fed = self._fed(ids, past)
        between: dict[str, Any] = {}
        try:
            for part in range(parts):
                self._run(part, fed, between, slot=slot, batch=batch, tokens=tokens)
        except Exception as error:  # its exceptions have no common type
            raise load_error(runtime_failure(error), BackendError) from error
        self.lengths[slot : slot + batch] = past + tokens
        if self._facts.grows:
            self._newest[slot] ^= 1
        if parts < len(self._sessions):
            return np.empty((0, 0), np.float32)
        logits: _Logits = between["logits"].numpy()[:, -1].astype(np.float32, copy=False)
        return logits

    def _fed(self, ids: _Ids, past: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Return what a step is told, for every name that files have for it."""
        tokens = ids.shape[1]
        total = past + tokens
        positions = past[:, None] + np.arange(tokens)
        return {
            "input_ids": ids,
            "seqlens_k": (total - 1).astype(np.int32),
            "total_sequence_length": np.array([total.max()], np.int32),
            "attention_mask": np.ones((len(ids), int(total.max())), np.int64),
            "position_ids": positions,
        }

    def _run(
        self,
        part: int,
        fed: dict[str, npt.NDArray[Any]],
        between: dict[str, Any],
        *,
        slot: int,
        batch: int,
        tokens: int,
    ) -> None:
        """Run a part; add what it hands on to ``between``."""
        session = self._sessions[part]
        binding = session.io_binding()
        for name in self._inputs[part]:
            if name in fed:
                told = fed[name]
                binding.bind_input(name, "cpu", 0, told.dtype, told.shape, told.ctypes.data)
            elif name.startswith("past_key_values."):
                shape, place = self._cache(name, slot, batch, grown=0)
                binding.bind_input(name, "cpu", 0, self._dtype, shape, place)
            else:
                binding.bind_ortvalue_input(name, between[name])
        for name in self._outputs[part]:
            if name.startswith("present."):
                shape, place = self._cache(name, slot, batch, grown=tokens)
                binding.bind_output(name, "cpu", 0, self._dtype, shape, place)
            else:
                binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        made = zip(self._outputs[part], binding.get_outputs(), strict=True)
        between.update((name, value) for name, value in made if not name.startswith("present."))

    def _cache(
        self, name: str, slot: int, batch: int, *, grown: int
    ) -> tuple[tuple[int, ...], int]:
        """Return extents and address of a cache before a step, or after it (``grown`` > 0)."""
        _, layer, which = name.rsplit(".", 2)
        facts = self._facts
        place = (int(layer), 0 if which == "key" else 1, slot)
        if not facts.grows:
            shape = (batch, facts.kv_heads, self._context, facts.head_dim)
            return shape, self._caches[0][place].ctypes.data
        length = int(self.lengths[slot]) + grown
        copy = self._newest[slot] ^ (1 if grown else 0)
        shape = (batch, facts.kv_heads, length, facts.head_dim)
        return shape, self._caches[copy][place].ctypes.data


def _options() -> Any:
    """Return options for graphs that are run as they are, by one thread that does not spin."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
