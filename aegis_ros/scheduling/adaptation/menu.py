"""What an adapted generator may choose from: the buckets that were admitted, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Choice", "Limits", "Menu"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A bucket that was admitted.

    Attributes:
        tokens: of a chunk; or answers that are decoded at once.
        prefill: whether it is a chunk.
        precision: of the weights; empty where there is one.
        total_ns: budget of all its parts.
    """

    tokens: int
    prefill: bool
    precision: str
    total_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of what was admitted a generator uses.

    Attributes:
        chunk: most tokens of a prompt in one step.
        batch: answers that may run at once, and are decoded in one step.
        length: most tokens of a request that begins from now on, its prompt included.
        precision: that requests run with which begin from now on; one that runs keeps its own.
    """

    chunk: int
    batch: int
    length: int
    precision: str = ""

    def answer(self, prompt: int, asked: int) -> int:
        """Return how many tokens of an answer a request gets.

        A prompt that alone is as long as :attr:`length` is answered all the same: adapting refuses
        nobody, and what such a request may take was reserved for it.

        Args:
            prompt: its tokens.
            asked: for how many it asks.
        """
        return asked if prompt >= self.length else min(asked, self.length - prompt)


class Menu:
    """The buckets of a generator that were admitted.

    Args:
        choices: all of them.
        slots: requests that may run at once, at least 1.
        max_len: tokens of one, its prompt included.
        slot_bytes: what one reserves.

    Attributes:
        slots, max_len, slot_bytes: as given.
        precisions: with a chunk and a decode each, the most expensive one first.
    """

    def __init__(
        self, choices: Sequence[Choice], *, slots: int, max_len: int, slot_bytes: int
    ) -> None:
        """Sort them.

        Raises:
            ValueError: no precision has both a chunk and a decode.
        """
        self.slots, self.max_len, self.slot_bytes = slots, max_len, slot_bytes
        self._chunks: dict[str, dict[int, int]] = {}
        self._decodes: dict[str, dict[int, int]] = {}
        for each in choices:
            kind = self._chunks if each.prefill else self._decodes
            kind.setdefault(each.precision, {})[each.tokens] = each.total_ns
        both = [each for each in self._chunks if each in self._decodes]
        if not both:
            raise ValueError("a generator needs a chunk and a decode of one precision")
        self.precisions = tuple(
            sorted(both, key=lambda each: (-self.decode_ns(self.batches(each)[0], each), each))
        )

    def chunks(self, precision: str) -> tuple[int, ...]:
        """Return the sizes of its chunks, the smallest one first."""
        return tuple(sorted(self._chunks[precision]))

    def batches(self, precision: str) -> tuple[int, ...]:
        """Return the sizes of its decodes, up to the first with room for all slots."""
        sizes = sorted(self._decodes[precision])
        enough = next((each for each in sizes if each >= self.slots), sizes[-1])
        return tuple(each for each in sizes if each <= enough)

    def decode_ns(self, batch: int, precision: str) -> int:
        """Return the budget of a decode."""
        return self._decodes[precision][batch]

    def nearest(self, limits: Limits, precision: str) -> Limits:
        """Return limits with another precision, and the sizes that it has."""
        chunks, batches = self.chunks(precision), self.batches(precision)
        return Limits(
            max((each for each in chunks if each <= limits.chunk), default=chunks[0]),
            max((each for each in batches if each <= limits.batch), default=batches[0]),
            limits.length,
            precision,
        )

    def problem(self, limits: object) -> str:
        """Return what is wrong with limits that anybody may have made; empty for nothing."""
        if not isinstance(limits, Limits):
            return f"answered with {type(limits).__name__} instead of Limits"
        if not isinstance(limits.precision, str) or limits.precision not in self.precisions:
            return f"chose precision {limits.precision!r}, which was not admitted"
        for name, value, known in (
            ("chunk", limits.chunk, self.chunks(limits.precision)),
            ("batch", limits.batch, self.batches(limits.precision)),
        ):
            if type(value) is not int or value not in known:
                admitted = ", ".join(map(str, known))
                return f"chose {name} {value!r}, which was not admitted (admitted: {admitted})"
        if type(limits.length) is not int or not 2 <= limits.length <= self.max_len:
            return f"chose length {limits.length!r}; expected 2 to {self.max_len}"
        return ""
