"""The adaptation policy that comes with the package: rules on memory, speed and who waits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aegis_ros.rationale.adaptation import (
    ArenaHasRoom,
    ArenaTight,
    FewerAreFaster,
    NobodyWaits,
    RequestsWait,
    SlowerWithLength,
)
from aegis_ros.scheduling.adaptation.figures import Figures
from aegis_ros.scheduling.adaptation.menu import Limits, Menu
from aegis_ros.scheduling.adaptation.policy import Wish

__all__ = ["DefaultRules", "Thresholds"]

_BINS = 8  # of lengths
_NEW = 0.2  # weight of a new duration in the average
_ENOUGH = 4  # durations from which on an average counts


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the rules change something.

    Of two batches, each has to be faster by a factor to be taken instead of the other, so that one
    that was taken is kept while their speeds vary by less than both factors together.

    Attributes:
        low: share of the arena below which more answers are tried.
        high: share above which there are to be fewer.
        more: by what factor more answers have to be faster to be preferred, above 1.
        fewer: by what factor fewer answers have to be, above 1.
        slower: share of the speed of short sequences below which long ones are too slow.
        calm_ns: how long requests have to wait, or nobody, until precision and length change.
        stale_ns: after what time a speed that was measured is worth no more than the budgets.
    """

    low: float = 0.60
    high: float = 0.85
    more: float = 1.05
    fewer: float = 1.1
    slower: float = 0.5
    calm_ns: int = 5_000_000_000
    stale_ns: int = 60_000_000_000


class _Speeds:
    """How long decodes take, by precision, size and length."""

    def __init__(self, menu: Menu, stale_ns: int) -> None:
        self._menu, self._stale_ns = menu, stale_ns
        self._now_ns = 0
        # Average, of how many, and when the last one came.
        self._taken: dict[tuple[str, int, int], tuple[float, int, int]] = {}

    def note(self, figures: Figures) -> None:
        self._now_ns = figures.now_ns
        known = figures.precision in self._menu.precisions
        if not known or figures.prefill or figures.duration_ns <= 0:
            return
        if figures.size not in self._menu.batches(figures.precision):
            return
        place = min(_BINS - 1, max(0, figures.context * _BINS // self._menu.max_len))
        key = (figures.precision, figures.size, place)
        average, count = self._fresh(key) or (float(figures.duration_ns), 0)
        average += _NEW * (figures.duration_ns - average)
        self._taken[key] = (average, min(count + 1, _ENOUGH), figures.now_ns)

    def _fresh(self, key: tuple[str, int, int]) -> tuple[float, int] | None:
        average, count, at_ns = self._taken.get(key, (0.0, 0, 0))
        return (average, count) if count and self._now_ns - at_ns < self._stale_ns else None

    def begin(self, place: int) -> int:
        """Return the length with which a bin begins."""
        return -(-place * self._menu.max_len // _BINS)

    def by_length(self, batch: int, precision: str) -> list[tuple[int, float]]:
        """Return the bins that were measured, and tokens a second of a full decode there."""
        found = []
        for place in range(_BINS):
            average, count = self._fresh((precision, batch, place)) or (0.0, 0)
            if count >= _ENOUGH:
                found.append((place, batch * 1e9 / average))
        return found

    def against(self, batch: int, other: int, precision: str) -> tuple[float, float]:
        """Return tokens a second of two full decodes: at the same lengths, else as budgeted."""
        first = dict(self.by_length(batch, precision))
        second = dict(self.by_length(other, precision))
        both = [place for place in first if place in second]
        if not both:
            budget = self._menu.decode_ns
            return batch * 1e9 / budget(batch, precision), other * 1e9 / budget(other, precision)
        return (
            sum(first[place] for place in both) / len(both),
            sum(second[place] for place in both) / len(both),
        )


class DefaultRules:
    """Changes one limit at a time.

    More answers at once where the arena is used little and they are faster, fewer where it is used
    much or where fewer are clearly faster; shorter requests where long ones are much slower and
    others wait; a cheaper precision where requests wait all the time, or the arena stays tight, and
    nothing else is left. What pressure took comes back when it has gone.

    Args:
        menu: what was admitted.
        thresholds: when to change something.
    """

    def __init__(self, menu: Menu, thresholds: Thresholds | None = None) -> None:
        """Begin without figures."""
        self._menu = menu
        self._at = thresholds or Thresholds()
        self._speeds = _Speeds(menu, self._at.stale_ns)
        self._waits: bool | None = None
        self._since_ns = 0  # since when requests wait, or nobody does
        self._loose_ns = 0  # since when the arena is not tight

    def first(self) -> Limits:
        """Return all that was admitted, with the batch that is fastest by its budgets."""
        menu = self._menu
        precision = menu.precisions[0]
        batches = menu.batches(precision)
        best = max(batches, key=lambda each: each / menu.decode_ns(each, precision))
        return Limits(menu.chunks(precision)[-1], best, menu.max_len, precision)

    def after(self, figures: Figures, limits: Limits) -> Wish | None:
        """Return the first change that a rule asks for."""
        self._speeds.note(figures)
        waits = figures.waiting > 0
        if waits is not self._waits:
            self._waits, self._since_ns = waits, figures.now_ns
        if self._tight(figures):
            self._loose_ns = figures.now_ns
        rules = (self._for_memory, self._for_speed, self._for_waiting, self._back)
        wishes = (rule(figures, limits) for rule in rules)
        return next((wish for wish in wishes if wish is not None), None)

    def _tight(self, figures: Figures) -> bool:
        return figures.arena_used_bytes > self._at.high * figures.arena_bytes > 0

    def _for_memory(self, figures: Figures, limits: Limits) -> Wish | None:
        arena, used = figures.arena_bytes, figures.arena_used_bytes
        if self._tight(figures):
            if figures.running > limits.batch:
                return None  # nobody is evicted: what was taken is not free yet
            tight = ArenaTight(used, arena, self._at.high)
            fewer = [each for each in self._batches(limits) if each < limits.batch]
            if fewer:
                return Wish(replace(limits, batch=fewer[-1]), tight)
            cheaper = self._with_precision(limits, 1)
            return None if cheaper is None else Wish(cheaper, tight)
        if arena <= 0 or used >= self._at.low * arena:
            return None
        more = self._faster_with_more(limits)
        slots = max(0, min(more, self._menu.slots) - max(0, figures.running))
        then = used + slots * self._menu.slot_bytes
        if not more or then > self._at.high * arena:
            return None
        return Wish(replace(limits, batch=more), ArenaHasRoom(used, arena, then, self._at.low))

    def _batches(self, limits: Limits) -> tuple[int, ...]:
        return self._menu.batches(limits.precision)

    def _faster_with_more(self, limits: Limits) -> int:
        """Return the next larger batch that is faster by enough; 0 for none."""
        for more in self._batches(limits):
            if more > limits.batch:
                now, then = self._speeds.against(limits.batch, more, limits.precision)
                if then > self._at.more * now:
                    return more
        return 0

    def _for_speed(self, figures: Figures, limits: Limits) -> Wish | None:
        for fewer in reversed(self._batches(limits)):
            if fewer < limits.batch:
                now, then = self._speeds.against(limits.batch, fewer, limits.precision)
                if then > self._at.fewer * now:
                    return Wish(replace(limits, batch=fewer), FewerAreFaster(now, then))
        return None

    def _for_waiting(self, figures: Figures, limits: Limits) -> Wish | None:
        if not self._waits:
            return None
        found = self._speeds.by_length(limits.batch, limits.precision)
        for at, (place, per_s) in enumerate(found):
            short = max((speed for _, speed in found[:at]), default=0.0)
            begins = self._speeds.begin(place)
            if per_s < self._at.slower * short and 2 <= begins < limits.length:
                cause = SlowerWithLength(begins, per_s, short, self._at.slower, figures.waiting)
                return Wish(replace(limits, length=begins), cause)
        for_ns = figures.now_ns - self._since_ns
        waited = RequestsWait(figures.waiting, for_ns)
        if for_ns < self._at.calm_ns:
            return None
        if not figures.arena_bytes and (more := self._faster_with_more(limits)):
            return Wish(replace(limits, batch=more), waited)
        cheaper = self._with_precision(limits, 1)
        return None if cheaper is None else Wish(cheaper, waited)

    def _back(self, figures: Figures, limits: Limits) -> Wish | None:
        for_ns = figures.now_ns - self._since_ns
        if self._waits or for_ns < self._at.calm_ns:
            return None
        calm = NobodyWaits(for_ns)
        if limits.length < self._menu.max_len:
            return Wish(replace(limits, length=self._menu.max_len), calm)
        chunk = self._menu.chunks(limits.precision)[-1]
        if limits.chunk < chunk:  # another policy was here before
            return Wish(replace(limits, chunk=chunk), calm)
        if not figures.arena_bytes and (more := self._faster_with_more(limits)):
            return Wish(replace(limits, batch=more), calm)
        if figures.now_ns - self._loose_ns < self._at.calm_ns:
            return None
        better = self._with_precision(limits, -1)
        return None if better is None else Wish(better, calm)

    def _with_precision(self, limits: Limits, step: int) -> Limits | None:
        """Return limits with the next cheaper precision (1) or the one before (-1), if any."""
        known = self._menu.precisions
        place = known.index(limits.precision) + step
        if not 0 <= place < len(known):
            return None
        found = self._menu.nearest(limits, known[place])
        return replace(found, chunk=self._menu.chunks(known[place])[-1])
