"""What an adaptation policy is: figures in, limits that it wishes for out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aegis_ros.rationale.adaptation import AdaptationCause
from aegis_ros.scheduling.adaptation.figures import Figures
from aegis_ros.scheduling.adaptation.menu import Limits

__all__ = ["AdaptationPolicy", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """Limits that a policy would rather have.

    Attributes:
        limits: all of them, also those that stay.
        cause: why; or a text, where a policy is not ours.
    """

    limits: Limits
    cause: AdaptationCause | str = ""


class AdaptationPolicy(Protocol):
    """Decides how much a generator uses of what was admitted. One caller at a time.

    What makes one is called with the :class:`~aegis_ros.scheduling.adaptation.Menu`, and is
    offered as an entry point in the group ``aegis_ros.adaptation``. It is asked by the node, off
    the engine's hot path, in a thread that others wait for: it must answer in microseconds.
    """

    def first(self) -> Limits:
        """Return the limits to begin with."""

    def after(self, figures: Figures, limits: Limits) -> Wish | None:
        """Return what it wishes for after a cycle; ``None`` for no change.

        It is asked after every cycle, also while nothing may change yet: a wish that came to
        nothing is seen in ``limits``.

        Args:
            figures: of the cycle.
            limits: as they are.
        """
