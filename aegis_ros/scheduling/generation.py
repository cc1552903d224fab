"""Chooses a generator's next bucket: chunks of the prompts first, then decodes for all that run.

Like the scheduler a plain object without I/O, threads or a clock: what runs a generator asks it
where a bucket has ended, and hands the answer to the scheduler as the outcome of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.memory import KvCache, Reserved
from aegis_ros.rationale import Reason

__all__ = ["Generated", "Generation", "Shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a bucket of a plan does.

    Attributes:
        tokens: of a chunk of a prompt; or answers that are decoded at once, one token each.
        prefill: whether it is a chunk.
    """

    tokens: int
    prefill: bool


@dataclass(frozen=True, slots=True)
class Generated:
    """A token of an answer.

    Attributes:
        request: whose.
        number: from 1.
        last: whether the answer has as many as it may have, and its slot has been given back.
    """

    request: int
    number: int
    last: bool


class _Progress:
    __slots__ = ("answer_left", "generated", "prompt_left", "request")

    def __init__(self, reserved: Reserved) -> None:
        self.request = reserved.request
        self.prompt_left = reserved.prompt
        self.answer_left = reserved.answer
        self.generated = 0


class Generation:
    """The requests of one generator on their way. One caller at a time.

    A prompt is taken in the largest chunks that it fills, the rest in the smallest; its last chunk
    gives the first token of the answer. Then all answers are decoded together, in the smallest
    bucket that has room for them; where none has, in turn.

    Args:
        shapes: of the plan's buckets, in their order: chunks first, the smallest one first.
        cache: where requests have their slots.
    """

    def __init__(self, shapes: Sequence[Shape], cache: KvCache) -> None:
        """Begin without requests.

        Raises:
            ValueError: bucket 0 is not the smallest chunk, or there is no decode.
        """
        chunks = [(each.tokens, at) for at, each in enumerate(shapes) if each.prefill]
        decodes = [(each.tokens, at) for at, each in enumerate(shapes) if not each.prefill]
        if not decodes or not chunks or min(chunks)[1] != 0:
            raise ValueError("a generator begins with its smallest chunk, and needs a decode")
        self._chunks = sorted(chunks, reverse=True)
        self._decodes = sorted(decodes)
        self._shapes = tuple(shapes)
        self._cache = cache
        self._prompts: list[_Progress] = []  # in the order in which they got their slots
        self._answers: list[_Progress] = []  # who was decoded longest ago comes first
        self._chosen = 0
        self._for: tuple[_Progress, ...] = ()

    def ask(self, request: int, prompt: int, answer: int, *, cap: bool = True) -> Reserved | Reason:
        """Take in a request, as :meth:`~aegis_ros.memory.KvCache.ask` does."""
        found = self._cache.ask(request, prompt, answer, cap=cap)
        if isinstance(found, Reserved):
            self._prompts.append(_Progress(found))
        return found

    def end(self, request: int) -> None:
        """Forget a request: it is cancelled, or its text has ended; who waits gets its slot.

        Raises:
            KeyError: there is no such request.
        """
        for line in (self._prompts, self._answers):
            line[:] = [each for each in line if each.request != request]
        self._for = tuple(each for each in self._for if each.request != request)
        found = self._cache.end(request)
        if found is not None:
            self._prompts.append(_Progress(found))

    def first(self) -> None:
        """Note that a job begins, and so bucket 0, with the prompt that has waited longest."""
        self._chosen, self._for = 0, tuple(self._prompts[:1])

    def following(self) -> int | None:
        """Return the bucket to run next; ``None`` where no request is left."""
        if self._prompts:
            left = self._prompts[0].prompt_left
            fitting = (at for tokens, at in self._chunks if tokens <= left)
            self._chosen, self._for = next(fitting, 0), (self._prompts[0],)
            return self._chosen
        if not self._answers:
            self._for = ()
            return None
        count = len(self._answers)
        roomy = (decode for decode in self._decodes if decode[0] >= count)
        tokens, self._chosen = next(roomy, self._decodes[-1])
        self._for = tuple(self._answers[:tokens])
        return self._chosen

    def ended(self) -> tuple[Generated, ...]:
        """Note that the bucket chosen last has ended; return the tokens that it gave."""
        shape = self._shapes[self._chosen]
        found = []
        for each in self._for:
            if shape.prefill:
                each.prompt_left -= min(each.prompt_left, shape.tokens)
                if each.prompt_left:
                    continue
                self._prompts.remove(each)
            else:
                self._answers.remove(each)
            self._answers.append(each)
            each.generated += 1
            each.answer_left -= 1
            found.append(Generated(each.request, each.generated, not each.answer_left))
        self._for = ()
        for token in found:
            if token.last:
                self.end(token.request)
        return tuple(found)
