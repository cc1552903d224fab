"""Who asked for what, and what was decided: an append-only record that shows when it was edited."""

from aegis_ros.audit.chain import AuditRecord, Verdict, read, verify
from aegis_ros.audit.writer import AuditLog, asked_by, asker

__all__ = ["AuditLog", "AuditRecord", "Verdict", "asked_by", "asker", "read", "verify"]
