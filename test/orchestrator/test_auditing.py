"""The orchestrator's audit log says why it cannot be written."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aegis_ros.orchestrator.auditing import Audit


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
