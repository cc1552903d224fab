"""The shared memory of one generator: requests from the node, tokens from the engine.

Every field has one writer, so that there is no lock. What the node writes carries a checksum, and
what the engine has written is announced by a record: neither side reads what is not there yet, on
processors either that make writes visible in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.memory import KvShape

__all__ = ["NOBODY", "Conversation", "Cycle", "Request", "conversation_bytes"]

NOBODY = 0  # number of no request
_UNLIMITED = 2**31

# Words of the head: limits, by the node; how many cycles ran, by the engine.
_CHUNK, _BATCH, _RAN, _HEAD = range(4)
# Words of a cycle, by the engine, between its number and its number.
_BEFORE, _BUCKET, _ANSWERS, _CONTEXT, _CHOSEN, _TAKEN, _WHEN, _REFUSED, _TRIED = range(9)
_AFTER, _CYCLE = 9, 10
_KEPT = 1024  # cycles
_ENTRIES = 8 * (_HEAD + _KEPT * _CYCLE)  # where they begin
# Words of an entry, by the node.
_NUMBER, _CANCELLED, _CHECK, _PROMPT, _ANSWER, _SEED, _TEMPERATURE, _TOP_P = range(8)
_IMAGE, _FIELDS = 8, 9  # checksum of the image and 1; 0 for none


@dataclass(frozen=True, slots=True)
class Request:
    """What the node asks for; as it is in memory, so that anything may stand in it.

    Attributes:
        number: names it; above 0.
        tokens: int32 [prompt].
        answer: most tokens of the answer.
        temperature, top_p, seed: how they are chosen.
        shown: whether the prompt is about an image.
        image: uint8, the image that is written down with it; whoever reads it asks for its pixels.
    """

    number: int
    tokens: npt.NDArray[np.int32]
    answer: int
    temperature: float
    top_p: float
    seed: int
    shown: bool = False
    image: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Cycle:
    """One bucket that ran.

    Attributes:
        number: how many ran before it and with it.
        bucket: which one.
        answers: for how many requests.
        context: tokens in the longest cache among theirs.
        tokens: that were chosen after it.
        taken_ns: from its beginning to its end, what ran in between included.
        ended_ns: when it ended, monotonic.
        request: the one that memory could not be taken for; 0 where the bucket ran.
        tried: how often it was tried in a row.
    """

    number: int
    bucket: int
    answers: int
    context: int
    tokens: int
    taken_ns: int
    ended_ns: int
    request: int = 0
    tried: int = 0


def conversation_bytes(cache: KvShape, image: tuple[int, ...] = ()) -> int:
    """Return the size of the memory for a cache, and an image of these extents in each slot."""
    return _layout(cache, image)[4]


class Conversation:
    """Entries, one a slot of the cache, limits, and the last cycles.

    To the engine's loop it stands where output slots do: its jobs have none, and one runs at once.

    Args:
        cache: how many slots, and how long each is.
        fd: descriptor of the memory another process made; ``None`` makes it.
        image: extents of the image that each request may be about; none for no images.
    """

    def __init__(self, cache: KvShape, fd: int | None = None, image: tuple[int, ...] = ()) -> None:
        """Create or map the memory, with all views that are ever used."""
        prompts, tokens, times, images, size = _layout(cache, image)
        slots, longest = cache.slots, cache.max_len
        self.memory = SharedMemory(size, fd)
        self.cache = cache
        self.count = 1
        fields = (slots, _FIELDS)
        entries = self.memory.array(_ENTRIES, fields, np.int64)
        cycles = self.memory.array(8 * _HEAD, (_KEPT, _CYCLE), np.int64)
        # Memoryviews take a number in half of the time that arrays do.
        self._head = self.memory.array(0, (_HEAD,), np.int64).data
        self._cycles = [cycles[row].data for row in range(_KEPT)]
        self._entries = [entries[slot].data for slot in range(slots)]
        unsigned = self.memory.array(_ENTRIES, fields, np.uint64)
        floats = self.memory.array(_ENTRIES, fields, np.float64)
        self._unsigned = [unsigned[slot].data for slot in range(slots)]
        self._floats = [floats[slot].data for slot in range(slots)]
        self._prompts = self.memory.array(prompts, (slots, longest), np.int32)
        self._tokens = self.memory.array(tokens, (slots, longest), np.int32)
        self._times = self.memory.array(times, (slots, longest), np.int64)
        step = aligned(prod(image))
        self._images: list[npt.NDArray[Any]] = [
            self.memory.array(images + slot * step, image, np.uint8)
            for slot in range(slots if image else 0)
        ]
        self._said = [self._tokens[slot].data for slot in range(slots)]
        self._said_ns = [self._times[slot].data for slot in range(slots)]
        if fd is None:
            self.limit(_UNLIMITED, _UNLIMITED)

    # -- the node writes, the engine reads ----------------------------------------------------

    def ask(self, slot: int, request: Request) -> None:
        """Write a request down."""
        entry = self._entries[slot]
        entry[_NUMBER] = NOBODY
        self._prompts[slot, : len(request.tokens)] = request.tokens  # type: ignore[index]
        entry[_PROMPT] = len(request.tokens)
        entry[_ANSWER] = request.answer
        self._unsigned[slot][_SEED] = request.seed
        self._floats[slot][_TEMPERATURE] = request.temperature
        self._floats[slot][_TOP_P] = request.top_p
        entry[_IMAGE] = 0
        if request.image is not None:
            self._images[slot][...] = request.image
            entry[_IMAGE] = 1 + crc32(self._images[slot].data)
        entry[_CHECK] = self._sum(slot, request.number, len(request.tokens))
        entry[_NUMBER] = request.number

    def cancel(self, slot: int, number: int) -> None:
        """Note that nobody wants more of a request."""
        self._entries[slot][_CANCELLED] = number

    def clear(self, slot: int) -> None:
        """Leave a slot to nobody."""
        self._entries[slot][_NUMBER] = NOBODY

    def limit(self, chunk: int, batch: int) -> None:
        """Choose among steps of up to these sizes from now on; 0 for any."""
        self._head[_CHUNK] = chunk or _UNLIMITED
        self._head[_BATCH] = batch or _UNLIMITED

    def limits(self) -> tuple[int, int]:
        """Return the largest chunk and the largest batch."""
        return self._head[_CHUNK], self._head[_BATCH]

    def number(self, slot: int) -> int:
        """Return the number of the request in a slot."""
        number: int = self._entries[slot][_NUMBER]
        return number

    def cancelled(self, slot: int) -> int:
        """Return the number of the request in a slot that was cancelled last."""
        number: int = self._entries[slot][_CANCELLED]
        return number

    def request(self, slot: int) -> Request | None:
        """Return the request in a slot, a copy; ``None`` where it is not, or not wholly, there."""
        entry = self._entries[slot]
        number, count = entry[_NUMBER], entry[_PROMPT]
        if not 0 < count <= self.cache.max_len or self._sum(slot, number, count) != entry[_CHECK]:
            return None
        floats = self._floats[slot]
        return Request(
            number,
            np.array(self._prompts[slot, :count], np.int32),  # type: ignore[index]
            entry[_ANSWER],
            floats[_TEMPERATURE],
            floats[_TOP_P],
            self._unsigned[slot][_SEED],
            entry[_IMAGE] != 0,
        )

    def pixels(self, slot: int) -> npt.NDArray[np.uint8] | None:
        """Return the image of the request in a slot; ``None`` where it is not wholly there."""
        pixels = self._images[slot]
        return pixels if self._entries[slot][_IMAGE] == 1 + crc32(pixels.data) else None

    # -- the engine writes, the node reads ----------------------------------------------------

    def say(self, slot: int, at: int, token: int, now_ns: int) -> None:
        """Write the token down that has so many before it."""
        self._said[slot][at] = token
        self._said_ns[slot][at] = now_ns

    def said(self, slot: int, first: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return tokens of an answer, from the first to before ``count``, and their times."""
        return (
            tuple(self._said[slot][first:count].tolist()),
            tuple(self._said_ns[slot][first:count].tolist()),
        )

    def note(
        self,
        bucket: int,
        answers: int,
        context: int,
        tokens: int,
        *,
        taken_ns: int,
        now_ns: int,
        refused: int = 0,
        tried: int = 0,
    ) -> None:
        """Write a cycle down, as :class:`Cycle` has it; ``refused`` is its request."""
        number = self._head[_RAN] + 1
        row = self._cycles[number % _KEPT]
        row[_BEFORE] = number
        row[_BUCKET] = bucket
        row[_ANSWERS] = answers
        row[_CONTEXT] = context
        row[_CHOSEN] = tokens
        row[_TAKEN] = taken_ns
        row[_WHEN] = now_ns
        row[_REFUSED] = refused
        row[_TRIED] = tried
        row[_AFTER] = number
        self._head[_RAN] = number

    def cycle(self) -> Cycle | None:
        """Return the last cycle; ``None`` where there was none, or it cannot be read now."""
        return self._cycle(self._head[_RAN])

    def cycles(self, after: int) -> tuple[Cycle, ...]:
        """Return the cycles after that of a number, in their order; of many, the last ones."""
        last = self._head[_RAN]
        first = max(after, last - _KEPT) + 1
        found = (self._cycle(number) for number in range(first, last + 1))
        return tuple(each for each in found if each is not None)

    def _cycle(self, number: int) -> Cycle | None:
        """Return a cycle; ``None`` where another one stands, or is being written, in its place."""
        row = self._cycles[number % _KEPT]
        found = Cycle(
            number,
            row[_BUCKET],
            row[_ANSWERS],
            row[_CONTEXT],
            row[_CHOSEN],
            row[_TAKEN],
            row[_WHEN],
            row[_REFUSED],
            row[_TRIED],
        )
        return found if number and number == row[_AFTER] == row[_BEFORE] else None

    # -- as output slots ----------------------------------------------------------------------

    def arrays(self, slot: int) -> Sequence[npt.NDArray[np.generic]]:
        """Return no array: a job of a generator has no outputs."""
        return ()

    def note_extents(self, slot: int, shapes: tuple[tuple[int, ...], ...]) -> None:
        """Take no extents.

        Raises:
            ValueError: always.
        """
        raise ValueError("a generator has no outputs")

    def close(self) -> None:
        """Give the memory back once this object is gone."""
        self.memory.close()

    def _sum(self, slot: int, number: int, count: int) -> int:
        fields = bytes(self._entries[slot][_PROMPT:_FIELDS])
        prompt = self._prompts[slot, :count]  # type: ignore[index]
        return crc32(prompt.data, crc32(fields, number & 0xFFFFFFFF))


def _layout(cache: KvShape, image: tuple[int, ...] = ()) -> tuple[int, int, int, int, int]:
    """Return where prompts, tokens, times and images begin, and the size of all."""
    prompts = aligned(_ENTRIES + 8 * cache.slots * _FIELDS)
    row = aligned(4 * cache.slots * cache.max_len)
    images = prompts + 4 * row
    size = images + (cache.slots * aligned(prod(image)) if image else 0)
    return prompts, prompts + row, prompts + 2 * row, images, size
