"""A rejection, raised with its reason by whichever step finds it."""

from __future__ import annotations

from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.wording import words

__all__ = ["Refusal"]


class Refusal(Exception):
    """A request is rejected for a reason."""

    def __init__(self, reason: Reason) -> None:
        """Keep the reason."""
        super().__init__(words(reason))
        self.reason = reason

    @property
    def rule(self) -> Rule:
        """The rule that said no."""
        return self.reason.rule

    @property
    def sentence(self) -> str:
        """The reason for people, without a full stop."""
        return words(self.reason)
