"""Whether the orchestrator is configured, and whether it lets frames in."""

from __future__ import annotations

from collections.abc import Iterable

from aegis_ros.errors import StateError
from aegis_ros.orchestrator.admitted import Entry
from aegis_ros.spec import Criticality

__all__ = ["Lifecycle"]


class Lifecycle:
    """The two states that requests depend on; changed under the orchestrator's lock.

    Attributes:
        configured: whether the engine runs.
        active: whether frames are let in.
    """

    def __init__(self) -> None:
        """Begin unconfigured."""
        self.configured = False
        self.active = False

    def require_configured(self) -> None:
        """Pass if it is configured.

        Raises:
            StateError: it is not.
        """
        if not self.configured:
            raise StateError("the orchestrator is not configured", hint="Configure it first")

    def critical_running(self, admitted: Iterable[Entry]) -> bool:
        """Return whether a task of high criticality is fed now."""
        return self.active and any(
            entry.spec.criticality is Criticality.HIGH and entry.fed.enabled for entry in admitted
        )
