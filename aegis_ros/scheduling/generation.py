"""Chooses a generator's next bucket: chunks of prompts, in turn with decodes for all that run.

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
        tokens: of a chunk of a prompt; or answers that are decoded at once, one token each; or rows
            that are made of an image.
        prefill: whether it is for a prompt: a chunk of it, or its image.
        image: whether it makes the rows of an image, which the chunks of its prompt are shown.
    """

    tokens: int
    prefill: bool
    image: bool = False


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
    __slots__ = ("answer_left", "generated", "image_left", "prompt_left", "request", "slot")

    def __init__(self, reserved: Reserved, *, image: bool = False) -> None:
        self.image_left = image
        self.request = reserved.request
        self.slot = reserved.slot
        self.prompt_left = reserved.prompt
        self.answer_left = reserved.answer
        self.generated = 0


class Generation:
    """The requests of one generator on their way. One caller at a time.

    All of a prompt but its last token is taken in the largest chunks that it fills. What is left
    of it, a token or a few, goes through decodes together with the answers of the others, and the
    last one gives the first token of its answer. While there are prompts, chunks and decodes take
    turns, so that no answer stands still for a long one. The image that a prompt is about comes
    before its first chunk. A decode for several runs over slots that
    follow each other; those in between without a turn compute for nobody. It takes the smallest
    bucket that has room for all; where none has, they take turns as well. The chunk that a job
    begins with, whatever there is to do, is for nobody where no prompt fills it.

    Args:
        shapes: of the plan's buckets, in their order: chunks first, the smallest one first.
        cache: where requests have their slots; each is about an image, where there is a bucket for
            that. ``None`` where somebody else gives slots, and hands in each request that has one
            by :meth:`take`.
    """

    def __init__(self, shapes: Sequence[Shape], cache: KvCache | None = None) -> None:
        """Begin without requests.

        Raises:
            ValueError: bucket 0 is not the smallest chunk, or there is no decode.
        """
        chunks = [
            (each.tokens, at) for at, each in enumerate(shapes) if each.prefill and not each.image
        ]
        decodes = [(each.tokens, at) for at, each in enumerate(shapes) if not each.prefill]
        if not decodes or not chunks or min(chunks)[1] != 0:
            raise ValueError("a generator begins with its smallest chunk, and needs a decode")
        self._all_chunks = self._chunks = sorted(chunks, reverse=True)
        self._all_decodes = self._decodes = sorted(decodes)
        self._shapes = tuple(shapes)
        self._image = next((at for at, each in enumerate(shapes) if each.image), None)
        self._cache = cache
        self._prompts: list[_Progress] = []  # in the order in which they got their slots
        self._decoded: list[_Progress] = []  # whose last turn was longest ago comes first
        self._chosen = 0
        self._for: tuple[_Progress, ...] = ()

    @property
    def turn(self) -> tuple[int, ...]:
        """The requests that the bucket chosen last is for; none for one that runs for nobody."""
        return tuple(each.request for each in self._for)

    @property
    def sees(self) -> bool:
        """Whether prompts may be about images."""
        return self._image is not None

    def take(self, reserved: Reserved, *, image: bool = False) -> None:
        """Take in a request that has a slot.

        Args:
            reserved: the request.
            image: whether it is about an image.

        Raises:
            ValueError: there is no bucket for that.
        """
        if image and self._image is None:
            raise ValueError("no bucket makes the rows of an image")
        self._prompts.append(_Progress(reserved, image=image))

    def ask(self, request: int, prompt: int, answer: int, *, cap: bool = True) -> Reserved | Reason:
        """Take in a request, as :meth:`~aegis_ros.memory.KvCache.ask` does; needs a cache."""
        assert self._cache is not None
        found = self._cache.ask(request, prompt, answer, cap=cap)
        if isinstance(found, Reserved):
            self.take(found, image=self.sees)
        return found

    def end(self, request: int) -> None:
        """Forget a request: it is cancelled, or its text has ended; who waits gets its slot.

        Raises:
            KeyError: there is no such request in the cache.
        """
        for line in (self._prompts, self._decoded):
            line[:] = [each for each in line if each.request != request]
        self._for = tuple(each for each in self._for if each.request != request)
        found = None if self._cache is None else self._cache.end(request)
        if found is not None:
            self.take(found, image=self.sees)

    def limit(self, *, chunk: int, batch: int) -> None:
        """Choose among chunks and decodes of up to these sizes from now on; the smallest stay.

        The bucket that runs is none of its business, nor is how many requests run:
        :meth:`run_at_most`.

        Args:
            chunk: most tokens of a prompt in one step.
            batch: most answers in one decode.
        """
        self._chunks = [each for each in self._all_chunks if each[0] <= chunk]
        self._chunks = self._chunks or self._all_chunks[-1:]
        self._decodes = [each for each in self._all_decodes if each[0] <= batch]
        self._decodes = self._decodes or self._all_decodes[:1]

    def run_at_most(self, requests: int) -> None:
        """Give slots to so many requests from now on, as :meth:`~aegis_ros.memory.KvCache.limit`.

        Raises:
            ValueError: ``requests`` is below 1.
        """
        assert self._cache is not None
        self._prompts += [
            _Progress(found, image=self.sees) for found in self._cache.limit(requests)
        ]

    def first(self) -> None:
        """Note that a job begins, and so bucket 0, with the prompt that has waited longest."""
        first = self._prompts[:1]
        filled = first and not first[0].image_left and self._chunk(first[0]) is not None
        self._chosen, self._for = 0, tuple(first) if filled else ()

    def leave(self) -> None:
        """Have the bucket chosen last be for nobody; its requests go on from where they were."""
        self._for = ()

    def following(self) -> int | None:
        """Return the bucket to run next; ``None`` where no request is left."""
        prompts, decoded = self._prompts, self._decoded
        while prompts and not prompts[0].image_left and self._chunk(prompts[0]) is None:
            decoded.append(prompts.pop(0))
        if prompts and not (decoded and self._shapes[self._chosen].prefill):
            first = prompts[0]
            bucket = self._image if first.image_left else self._chunk(first)
            self._chosen, self._for = bucket or 0, (first,)
        elif decoded:
            self._chosen, self._for = self._decode(decoded)
        else:
            self._for = ()
            return None
        return self._chosen

    def _chunk(self, prompt: _Progress) -> int | None:
        """Return the bucket of the largest chunk that leaves a token; ``None`` for none."""
        room = prompt.prompt_left - 1
        return next((at for tokens, at in self._chunks if tokens <= room), None)

    def _decode(self, decoded: Sequence[_Progress]) -> tuple[int, tuple[_Progress, ...]]:
        """Return the bucket of a decode, and for whom it is; one of them has waited longest."""
        most, largest = self._decodes[-1]
        wanted = tuple(decoded[:most])
        if len(wanted) == len(decoded):
            slots = [each.slot for each in wanted]
            width = max(slots) - min(slots) + 1
            for tokens, bucket in self._decodes:
                if tokens >= width:
                    return bucket, wanted
        # Those of a window that has room for the first, and for as many others as any.
        last = wanted[0].slot
        windows = (
            tuple(each for each in wanted if begin <= each.slot < begin + most)
            for begin in range(max(0, last - most + 1), last + 1)
        )
        return largest, max(windows, key=len)

    def ended(self) -> tuple[Generated, ...]:
        """Note that the bucket chosen last has ended; return the tokens that it gave."""
        shape = self._shapes[self._chosen]
        found = []
        if shape.image:
            for each in self._for:
                each.image_left = False
            self._for = ()
            return ()
        for each in self._for:
            if not shape.prefill:
                self._decoded.remove(each)
                self._decoded.append(each)
            each.prompt_left -= min(each.prompt_left, shape.tokens if shape.prefill else 1)
            if each.prompt_left:
                continue
            if shape.prefill:
                self._prompts.remove(each)
                self._decoded.append(each)
            each.generated += 1
            each.answer_left -= 1
            found.append(Generated(each.request, each.generated, not each.answer_left))
        self._for = ()
        for token in found:
            if token.last:
                self.end(token.request)
        return tuple(found)
