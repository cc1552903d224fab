"""The orchestrator's audit log says why it cannot be written."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.audit import AuditRecord, read
from aegis_ros.orchestrator.auditing import Audit
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Decision
from aegis_ros.rationale.requests import StateNotKept


def test_what_somebody_asked_for_and_mode_changes_are_on_record(tmp_path: Path) -> None:
    some = RationaleLog(lambda rationale: None).report(StateNotKept("/state", "full"))
    audit = Audit(tmp_path)
    audit.begin()
    for decision in Decision:
        audit.decided(replace(some, decision=decision))
    audit.end()
    events = [each.event for _, _, each in read(tmp_path) if isinstance(each, AuditRecord)]
    assert (events[0], events[-1]) == ("configured", "cleaned up")
    assert set(events[1:-1]) == {
        *("admitted", "rejected", "removed", "enabled", "disabled", "shed", "restored")
    }


def test_a_log_that_cannot_be_written_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "audit"
    folder.write_text("a file where the folder should be")
    audit = Audit(folder)
    with caplog.at_level(logging.ERROR):
        audit.begin()
        audit.event("activated")
        audit.end()
    (record,) = caplog.records
    assert str(folder) in record.getMessage()
    assert "cannot be written" in record.getMessage()
