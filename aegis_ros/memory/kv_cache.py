"""The key-value cache of a generator: slots that requests take, wait for and give back.

All of it is in the arena from the beginning, so that no request can run out of memory: one that
runs has room for its prompt and its longest answer, and is never evicted for another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from aegis_ros.memory.footprint import Footprint
from aegis_ros.rationale.generators import (
    AnswerCapped,
    AnswerTooLong,
    PromptTooLong,
    RequestWaits,
    TooManyRequests,
)

__all__ = ["KvCache", "KvShape", "Reserved"]


@dataclass(frozen=True, slots=True)
class KvShape:
    """How large a cache is.

    Attributes:
        slots: answers that may run at once, at least 1.
        max_len: tokens of one, its prompt included, at least 2.
        token_bytes: of one token, keys and values of all layers, at least 1.
    """

    slots: int
    max_len: int
    token_bytes: int

    @property
    def slot_bytes(self) -> int:
        """What one answer reserves, however short it becomes."""
        return self.max_len * self.token_bytes

    @property
    def footprint(self) -> Footprint:
        """What it takes of the arena, whether requests run or not."""
        return Footprint(state=self.slots * self.slot_bytes)

    def most_slots(self, room_bytes: int) -> int:
        """Return how many slots of this length fit into so many bytes."""
        return max(0, room_bytes) // self.slot_bytes

    def longest(self, room_bytes: int) -> int:
        """Return how many tokens each of these slots may have in so many bytes."""
        return max(0, room_bytes) // (self.slots * self.token_bytes)


@dataclass(frozen=True, slots=True)
class Reserved:
    """A request that runs.

    Attributes:
        request: its number.
        slot: where its keys and values lie.
        prompt: tokens of the prompt.
        answer: tokens that it may generate at most.
        capped: why it may generate fewer than it asked for; ``None`` where it may not.
    """

    request: int
    slot: int
    prompt: int
    answer: int
    capped: AnswerCapped | None = None


class KvCache:
    """Who has which slot, and who waits for one. One caller at a time.

    Args:
        task: name of the generator, for reasons.
        shape: what is reserved.
        most_waiting: requests that may wait, beside those with a place of their own.
    """

    def __init__(self, task: str, shape: KvShape, most_waiting: int) -> None:
        """Begin with all slots free."""
        self._task = task
        self._shape = shape
        self._most_waiting = most_waiting
        self._most_running = shape.slots
        self._free = list(range(shape.slots - 1, -1, -1))
        self._running: dict[int, Reserved] = {}
        self._waiting: deque[tuple[int, int, int, AnswerCapped | None]] = deque()
        self._apart: set[int] = set()  # of those that wait, who has a place of its own

    def copy(self) -> KvCache:
        """Return one that is as this one is now, to try what would become of requests."""
        made = KvCache(self._task, self._shape, self._most_waiting)
        made._most_running = self._most_running
        made._free = list(self._free)
        made._running = dict(self._running)
        made._waiting = deque(self._waiting)
        made._apart = set(self._apart)
        return made

    @property
    def used_bytes(self) -> int:
        """What requests that run have reserved."""
        return len(self._running) * self._shape.slot_bytes

    @property
    def running(self) -> tuple[Reserved, ...]:
        """Requests that have a slot, the first one to get it first."""
        return tuple(self._running.values())

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of requests that wait for a slot, in the order in which they will get it."""
        return tuple(request for request, *_ in self._waiting)

    def limit(self, most: int) -> tuple[Reserved, ...]:
        """Let at most so many requests run from now on; those that run go on.

        Args:
            most: at least 1; more than there are slots is all of them.

        Returns:
            Those that waited and run now, in their turn.

        Raises:
            ValueError: ``most`` is below 1.
        """
        if most < 1:
            raise ValueError(f"{most} requests may run; expected at least 1")
        self._most_running = min(most, self._shape.slots)
        found = []
        while self._waiting and len(self._running) < self._most_running:
            found.append(self._next())
        return tuple(found)

    def ask(
        self, request: int, prompt: int, answer: int, *, cap: bool = True, own_place: bool = False
    ) -> Reserved | RequestWaits | PromptTooLong | AnswerTooLong | TooManyRequests:
        """Take in a request.

        Args:
            request: its number, unlike that of any other that runs or waits.
            prompt: tokens of the prompt, at least 1.
            answer: tokens it asks for at most, at least 1.
            cap: whether a shorter answer will do where the slot has no room for the whole.
            own_place: whether it has a place to wait of its own, that others do not take. It gets
                a slot in its turn all the same.

        Returns:
            Its slot; that it waits, and gets one from :meth:`end` in its turn; or why it is not
            taken, with the number that would pass.

        Raises:
            ValueError: a number is out of range, or taken.
        """
        if request in self._running or request in self.waiting:
            raise ValueError(f"request {request} is known already")
        if prompt < 1 or answer < 1:
            raise ValueError(f"request {request}: {prompt} tokens, and {answer} to answer")
        room = self._shape.max_len - prompt
        if room < 1:
            most = self._shape.max_len - 1
            return PromptTooLong(self._task, request, prompt, most)
        capped = None
        if answer > room:
            if not cap:
                return AnswerTooLong(self._task, request, prompt, answer, room)
            capped = AnswerCapped(self._task, request, prompt, answer, room)
            answer = room
        if len(self._running) < self._most_running:
            return self._take(request, prompt, answer, capped)
        if own_place:
            self._apart.add(request)
        elif len(self._waiting) - len(self._apart) >= self._most_waiting:
            return TooManyRequests(self._task, request, self._most_running, self._most_waiting)
        self._waiting.append((request, prompt, answer, capped))
        return RequestWaits(self._task, request, self._most_running, len(self._waiting))

    def end(self, request: int) -> Reserved | None:
        """Forget a request, whether it has ended or is cancelled, whether it runs or waits.

        Returns:
            The one that gets its slot; ``None`` where nobody waits, or it had none.

        Raises:
            KeyError: there is no such request.
        """
        reserved = self._running.pop(request, None)
        if reserved is None:
            for entry in self._waiting:
                if entry[0] == request:
                    self._waiting.remove(entry)
                    self._apart.discard(request)
                    return None
            raise KeyError(request)
        self._free.append(reserved.slot)
        if not self._waiting or len(self._running) >= self._most_running:
            return None
        return self._next()

    def _next(self) -> Reserved:
        """Give a slot to the first one in line."""
        entry = self._waiting.popleft()
        self._apart.discard(entry[0])
        return self._take(*entry)

    def _take(
        self, request: int, prompt: int, answer: int, capped: AnswerCapped | None
    ) -> Reserved:
        found = Reserved(request, self._free.pop(), prompt, answer, capped)
        self._running[request] = found
        return found
