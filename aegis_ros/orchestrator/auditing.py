"""Which of the orchestrator's decisions the audit log holds."""

from __future__ import annotations

import logging
from pathlib import Path

from aegis_ros.audit import AuditLog
from aegis_ros.rationale import Decision, Rationale

__all__ = ["Audit"]

_log = logging.getLogger(__name__)

# What somebody asked for, and mode changes; not what becomes of single frames.
_AUDITED = frozenset(
    [
        Decision.ADMITTED,
        Decision.REJECTED,
        Decision.REMOVED,
        Decision.ENABLED,
        Decision.DISABLED,
        Decision.SHED,
        Decision.RESTORED,
    ]
)


class Audit:
    """The audit log of an orchestrator while it is configured.

    Args:
        folder: where the log is kept.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._log: AuditLog | None = None

    @property
    def head(self) -> tuple[int, str]:
        """Number and digest of the last record on the disk; 0 and nothing before the first."""
        return (0, "") if self._log is None else self._log.head

    def begin(self) -> None:
        """Go on with the log."""
        self._log = AuditLog(self._folder, on_problem=_log.error)
        self.event("configured")

    def decided(self, rationale: Rationale) -> None:
        """Note a decision, if it is one that an audit asks for; never waits."""
        if self._log is not None and rationale.decision in _AUDITED:
            self._log.note(
                str(rationale.decision),
                task=rationale.task,
                rule=str(rationale.rule),
                sentence=rationale.sentence,
            )

    def event(self, event: str) -> None:
        """Note what happened to the node."""
        if self._log is not None:
            self._log.note(event)

    def end(self) -> None:
        """Write what waits."""
        self.event("cleaned up")
        log, self._log = self._log, None
        if log is not None:
            log.close()
