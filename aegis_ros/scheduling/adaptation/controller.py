"""Keeps a generator's limits within what was admitted, whatever its policy wishes for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aegis_ros.rationale import Reason
from aegis_ros.rationale.adaptation import (
    AdaptationCause,
    AllocationFailed,
    LimitChanged,
    OutOfMemory,
    PolicyAsked,
    PolicyLeftAside,
)
from aegis_ros.scheduling.adaptation.figures import Figures, MemoryFailure
from aegis_ros.scheduling.adaptation.menu import Limits, Menu
from aegis_ros.scheduling.adaptation.policy import AdaptationPolicy, Wish
from aegis_ros.scheduling.adaptation.rules import DefaultRules

__all__ = ["Controller", "Refused"]

_DWELL_NS = 1_000_000_000
_MOST = 200  # characters of what somebody else's policy says
_LIMITS = ("batch", "chunk", "length", "precision")


@dataclass(frozen=True, slots=True)
class Refused:
    """What to do where memory for a request could not be taken.

    Attributes:
        again: whether to try once more, with the limits that there are now.
        reasons: what changed, or why it is not tried again.
    """

    again: bool
    reasons: tuple[Reason, ...]


class Controller:
    """Asks a policy after each cycle. One caller at a time, and no clock.

    Limits are among what was admitted, and change at most once in each ``dwell_ns``. Only memory
    that could not be taken halves one at once; the next change then is as far away.

    Args:
        task: name of the generator, for reasons.
        menu: what was admitted.
        policy: makes a policy of it: a class, or another factory.
        name: of the policy.
        dwell_ns: shortest time between two changes.

    Attributes:
        limits: as they are.
    """

    def __init__(
        self,
        task: str,
        menu: Menu,
        policy: Callable[[Menu], AdaptationPolicy] = DefaultRules,
        *,
        name: str = "default",
        dwell_ns: int = _DWELL_NS,
    ) -> None:
        """Make the policy; ours, where that fails."""
        self._task, self._menu, self._name = task, menu, name
        self._dwell_ns = dwell_ns
        self._changed_ns: int | None = None
        self._latest_ns: int | None = None
        self._left_aside: list[Reason] = []
        self._ours = False
        self._policy: AdaptationPolicy
        try:
            self._policy = policy(menu)
            self._ours = type(self._policy) is DefaultRules
            self.limits = self._policy.first()
            problem = menu.problem(self.limits)
        except Exception as error:  # a plug-in may raise anything
            problem = _raised(error)
        if problem:
            self._leave_aside(problem)
            self.limits = self._policy.first()

    def after(self, figures: Figures) -> tuple[Reason, ...]:
        """Return what changes after a cycle, and why; :attr:`limits` has changed then."""
        found, self._left_aside = self._left_aside, []
        now_ns = figures.now_ns
        if self._latest_ns is not None and now_ns < self._latest_ns:
            return tuple(found)  # whoever counts began anew, or writes nonsense
        self._latest_ns = now_ns
        wish = self._wish(figures)
        if wish is not None and self._may_change(now_ns):
            found += self._take(wish.limits, self._cause(wish), now_ns)
        found += self._left_aside
        self._left_aside = []
        return tuple(found)

    def failed(self, now_ns: int, failure: MemoryFailure) -> Refused:
        """Halve what memory could not be taken for, and have the request tried again.

        That is the batch, or the chunk where it was one that had no memory.

        Args:
            now_ns: monotonic.
            failure: what had none.
        """
        before, request, need_bytes = self.limits, failure.request, failure.need_bytes
        prefill, menu = failure.prefill, self._menu
        sizes = (menu.chunks if prefill else menu.batches)(before.precision)
        most = before.chunk if prefill else before.batch
        half = [each for each in sizes if each <= min(most, failure.size or most) // 2]
        if failure.tried > 1 or not half:
            refusal = OutOfMemory(self._task, request, need_bytes, failure.tried, before.batch)
            return Refused(False, (refusal,))
        halved = half[-1]
        limits = replace(before, chunk=halved) if prefill else replace(before, batch=halved)
        now_ns = max(now_ns, self._latest_ns or now_ns)
        return Refused(
            True, tuple(self._take(limits, AllocationFailed(request, need_bytes), now_ns))
        )

    def _may_change(self, now_ns: int) -> bool:
        return self._changed_ns is None or now_ns - self._changed_ns >= self._dwell_ns

    def _wish(self, figures: Figures) -> Wish | None:
        """Return what the policy wishes for, held to the menu."""
        try:
            wish: object = self._policy.after(figures, self.limits)
        except Exception as error:  # a plug-in may raise anything
            self._leave_aside(_raised(error))
            return None
        if wish is None:
            return None
        if not isinstance(wish, Wish):
            self._leave_aside(f"answered with {type(wish).__name__} instead of a Wish")
            return None
        problem = self._menu.problem(wish.limits)
        if problem:
            self._leave_aside(problem)
            return None
        return wish

    def _cause(self, wish: Wish) -> AdaptationCause:
        if self._ours and isinstance(wish.cause, AdaptationCause):
            return wish.cause
        # What somebody else puts into our data may be anything.
        return PolicyAsked(self._name, wish.cause[:_MOST] if isinstance(wish.cause, str) else "")

    def _leave_aside(self, problem: str) -> None:
        if self._ours:
            raise RuntimeError(f"the default adaptation policy {problem}")
        self._left_aside.append(PolicyLeftAside(self._task, self._name, problem[:_MOST]))
        self._policy, self._ours = DefaultRules(self._menu), True

    def _take(self, limits: Limits, cause: AdaptationCause, now_ns: int) -> list[Reason]:
        before, self.limits = self.limits, limits
        changed: list[Reason] = [
            LimitChanged(self._task, name, getattr(before, name), getattr(limits, name), cause)
            for name in _LIMITS
            if getattr(before, name) != getattr(limits, name)
        ]
        if changed:
            self._changed_ns = now_ns
        return changed


def _raised(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:  # of an exception of somebody else's
        text = ""
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"
