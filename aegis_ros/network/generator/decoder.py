"""Runs the parts of a language model, step after step, over a KV cache that is taken once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import BackendError, MemoryRefused, load_error
from aegis_ros.network.generator.buckets import BATCHES
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.sessions import opened_sessions
from aegis_ros.network.generator.vision.encoder import Encoder
from aegis_ros.network.generator.vision.facts import NO_ROW
from aegis_ros.network.generator.vision.names import ROW_OF_TOKEN, ROWS
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.rationale.loading import MemoryUsedUp

__all__ = ["Decoder"]

_Ids = npt.NDArray[np.int64]
_Logits = npt.NDArray[np.float32]
_NO_LOGITS = np.empty((0, 0), np.float32)


class Decoder:
    """A language model with room for ``slots`` sequences of ``context`` tokens.

    Args:
        facts: of the model.
        paths: its parts, in order of execution, and those of its image encoder after them.
        context: longest sequence, tokens.
        slots: how many sequences it holds.

    Attributes:
        slots: as given.
        encoder: of images; ``None`` where the model takes none.
        lengths: tokens in the cache of each slot.

    Raises:
        BackendError: ONNX Runtime refuses a part.
    """

    def __init__(
        self, facts: GeneratorFacts, paths: Sequence[str], *, context: int, slots: int = 1
    ) -> None:
        """Load the parts and take the memory of the cache."""
        image = facts.image
        own = len(paths) - facts.encoder_parts
        self._sessions = opened_sessions(paths[:own])
        self.encoder = None if facts.seen is None else Encoder(facts.seen, paths[own:])
        # The image that each sequence is shown.
        self._images: npt.NDArray[Any] | None = None
        if image is not None:
            self._images = np.zeros((slots, image.rows, image.width), image.dtype)
        self._facts, self._context = facts, context
        self._dtype = np.dtype(facts.kv_dtype)
        self._inputs = [[item.name for item in each.get_inputs()] for each in self._sessions]
        self._outputs = [[item.name for item in each.get_outputs()] for each in self._sessions]
        # What grows is read from one copy while it is written to the other.
        shape = (facts.layers, 2, slots, facts.kv_heads, context, facts.head_dim)
        self._caches = [np.zeros(shape, self._dtype) for _ in range(2 if facts.grows else 1)]
        self._newest = [0] * slots
        self._shapes: dict[tuple[int, int], _Shape] = {}
        self._now, self._slot, self._ran = _Shape(0, 0, masked=False), 0, 0  # the present step
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
        if self._images is not None:
            self._images[target] = self._images[source]
        self._newest[target] = self._newest[source]
        self.lengths[target] = self.lengths[source]

    def touch(self) -> None:
        """Have the memory of the whole cache before it is written to."""
        for cache in self._caches:
            cache.fill(0)

    def show(self, rows: npt.NDArray[np.generic], slot: int) -> None:
        """Show an image to the sequence of a slot: the rows that tokens of its prompt stand for."""
        assert self._images is not None
        self._images[slot] = rows

    def forget(self, slot: int) -> None:
        """Empty the cache of a slot."""
        self.lengths[slot] = 0

    def prefill(
        self, tokens: Sequence[int], *, slot: int, rows: Sequence[int] | _Ids | None = None
    ) -> None:
        """Put tokens into the cache of a slot; nothing is asked about the next one.

        Args:
            tokens: of a prompt.
            slot: whose sequence.
            rows: which row of the slot's image each stands for, or ``NO_ROW``; ``None``: none does.
        """
        told = None if rows is None else np.array([rows], np.int64)
        self._step(np.array([tokens], np.int64), slot, self._facts.cached_by, told)

    def decode(
        self, tokens: Sequence[int], *, slot: int, rows: Sequence[int] | None = None
    ) -> _Logits:
        """Put one token each into the caches of slots that follow each other.

        Args:
            tokens: one a slot.
            slot: the first one.
            rows: as for :meth:`prefill`.

        Returns:
            float32 [tokens, vocabulary]: logits of the token after each.
        """
        told = None if rows is None else np.array(rows, np.int64)[:, None]
        ids = np.array(tokens, np.int64)[:, None]
        return self._step(ids, slot, len(self._sessions), told).copy()

    def _step(self, ids: _Ids, slot: int, parts: int, rows: _Ids | None) -> _Logits:
        """Run the first parts on ``ids`` [batch, tokens] for the slots from ``slot`` on."""
        self.begin(ids, slot, rows)
        for part in range(parts):
            self.run(part)
        return self.end()

    def begin(self, ids: _Ids, slot: int, rows: _Ids | None = None) -> None:
        """Begin a step: the next tokens of sequences in slots that follow each other.

        It has no effect before :meth:`end`, and may be begun anew.

        Args:
            ids: int64 [batch, tokens].
            slot: of the first sequence.
            rows: int64 [batch, tokens], which row of its image each stands for, or ``NO_ROW``;
                ``None``: none does.

        Raises:
            BackendError: a sequence has no room for them.
        """
        batch, tokens = ids.shape
        past = self.lengths[slot : slot + batch]
        longest = int(past.max()) + tokens
        if longest > self._context:
            raise BackendError(
                "the sequence is longer than its cache",
                where="context",
                value=longest,
                expected=f"at most {self._context} tokens",
            )
        if self._facts.grows and batch > 1:
            raise BackendError(
                "an export whose cache grows runs one sequence at a time",
                where="batch",
                value=batch,
                expected="1",
            )
        shape = self._shapes.get((batch, tokens))
        if shape is None:
            shape = self._shapes[batch, tokens] = _Shape(batch, tokens, masked=self._facts.grows)
        shape.tell(ids, past, rows)
        self._now, self._slot = shape, slot

    def run(self, part: int) -> None:
        """Run a part of the step that has begun; the parts one after the other.

        Raises:
            MemoryRefused: there is no memory for it; the step may be begun anew.
            BackendError: the runtime fails.
        """
        now = self._now
        try:
            binding = now.bindings.get((part, self._slot))
            if binding is not None:
                self._sessions[part].run_with_iobinding(binding)
            elif self._facts.grows:
                self._run_anew(part, now)
            else:
                self._run_first(part, now)
        except Exception as error:  # its exceptions have no common type
            failure = runtime_failure(error)
            kind = MemoryRefused if isinstance(failure, MemoryUsedUp) else BackendError
            raise load_error(failure, kind) from error
        self._ran = part + 1

    def end(self) -> _Logits:
        """End a step: its tokens are in the cache from here on.

        Returns:
            float32 [batch, vocabulary]: logits after the last token of each sequence, valid until
            the next step; empty where the part that computes them did not run.
        """
        now, slot = self._now, self._slot
        self.lengths[slot : slot + now.batch] += now.tokens
        if self._facts.grows:
            self._newest[slot] ^= 1
        if self._ran < len(self._sessions) or now.logits is None:
            return _NO_LOGITS
        return now.logits[:, -1].astype(np.float32, copy=False)

    def _run_anew(self, part: int, now: _Shape) -> None:
        """Run a part with all of its tensors bound anew.

        What an export hands on, and where a cache that grows lies, differ from step to step.
        """
        binding = self._told(part, now)
        for name in self._outputs[part]:
            if name.startswith("present."):
                self._bind_cache(binding, name, grown=now.tokens)
            else:
                binding.bind_output(name, "cpu")
        self._sessions[part].run_with_iobinding(binding)
        for name, value in zip(self._outputs[part], binding.get_outputs(), strict=True):
            if not name.startswith("present."):
                now.values[name] = value
        if part == len(self._sessions) - 1:
            now.logits = now.values["logits"].numpy()

    def _run_first(self, part: int, now: _Shape) -> None:
        """Run a part in these slots for the first time; bind its tensors for all further times."""
        binding = self._told(part, now)
        missing = []
        for at, name in enumerate(self._outputs[part]):
            if name.startswith("present."):
                self._bind_cache(binding, name, grown=now.tokens)
            elif name == "logits" and now.logits is not None:
                _bind_array(binding, name, now.logits)
            elif name in now.values:
                binding.bind_ortvalue_output(name, now.values[name])
            else:
                binding.bind_output(name, "cpu")
                missing.append((at, name))
        self._sessions[part].run_with_iobinding(binding)
        made = binding.get_outputs()
        for at, name in missing:  # from now on in memory that is there
            if name == "logits":
                now.logits = made[at].numpy().copy()
                _bind_array(binding, name, now.logits)
            else:
                now.values[name] = made[at]
                binding.bind_ortvalue_output(name, made[at])
        now.bindings[part, self._slot] = binding

    def _told(self, part: int, now: _Shape) -> Any:
        """Return a binding of a part with all of its inputs."""
        binding = self._sessions[part].io_binding()
        for name in self._inputs[part]:
            if name in now.told:
                told = now.told[name]
                binding.bind_input(name, "cpu", 0, told.dtype, told.shape, told.ctypes.data)
            elif name.startswith("past_key_values."):
                self._bind_cache(binding, name, grown=0)
            elif name == ROWS and self._images is not None:
                image = self._images[self._slot]
                binding.bind_input(name, "cpu", 0, image.dtype, image.shape, image.ctypes.data)
            else:
                binding.bind_ortvalue_input(name, now.values[name])
        return binding

    def _bind_cache(self, binding: Any, name: str, *, grown: int) -> None:
        """Bind the cache before a step, or after it (``grown`` > 0)."""
        shape, place = self._cache(name, self._slot, self._now.batch, grown=grown)
        bind = binding.bind_output if name.startswith("present.") else binding.bind_input
        bind(name, "cpu", 0, self._dtype, shape, place)

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


class _Shape:
    """A size of step: what it is told and hands on lies in the same memory each time.

    Attributes:
        batch, tokens: of the step.
        told: by the name that files have for it.
        values: tensors that parts hand on.
        logits: of the last part, once it has run.
        bindings: by part and first slot, those that are kept.
    """

    __slots__ = ("_masked", "_reach", "batch", "bindings", "logits", "tokens", "told", "values")

    def __init__(self, batch: int, tokens: int, *, masked: bool) -> None:
        self.batch, self.tokens, self._masked = batch, tokens, masked
        self.values: dict[str, Any] = {}
        self.logits: npt.NDArray[Any] | None = None
        self.bindings: dict[tuple[int, int], Any] = {}
        self._reach = np.arange(tokens)
        self.told: dict[str, npt.NDArray[Any]] = {
            "input_ids": np.zeros((batch, tokens), np.int64),
            "seqlens_k": np.zeros(batch, np.int32),
            "total_sequence_length": np.zeros(1, np.int32),
            "position_ids": np.zeros((batch, tokens), np.int64),
            ROW_OF_TOKEN: np.zeros((batch, tokens), np.int64),
        }

    def tell(self, ids: _Ids, past: npt.NDArray[np.int64], rows: _Ids | None) -> None:
        """Write down what a step is told: its tokens, and how many are in each cache before."""
        told = self.told
        told["input_ids"][...] = ids
        told[ROW_OF_TOKEN][...] = NO_ROW if rows is None else rows
        told["seqlens_k"][...] = past + (self.tokens - 1)
        longest = int(past.max()) + self.tokens
        told["total_sequence_length"][0] = longest
        np.add(past[:, None], self._reach, out=told["position_ids"])
        if self._masked:
            told["attention_mask"] = np.ones((self.batch, longest), np.int64)


def _bind_array(binding: Any, name: str, array: npt.NDArray[Any]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
