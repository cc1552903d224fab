"""`aegis audit`: who asked the orchestrator for what, and whether the record was touched since."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.audit import AuditRecord, read, verify
from aegis_ros.audit.chain import files
from aegis_ros.errors import ConfigError
from aegis_ros.views.terminal import say, terminal

__all__ = ["show", "verify_log"]


def verify_log(folder: Path, head: str) -> int:
    """Check the whole log; return 0 when it is as it was written, 1 when not.

    Args:
        folder: where the log is.
        head: a digest that must be in it; empty for none.

    Raises:
        ConfigError: there is no log, or it cannot be read.
    """
    _require(folder)
    try:
        verdict = verify(folder, head)
    except OSError as error:
        raise _unreadable(folder, error) from error
    console = terminal()
    for each in verdict.damage:
        say(console, f"{each.file.name}, line {each.line}: {each.problem}", style="red")
    begins = (
        "" if verdict.first <= 1 else f", from number {verdict.first} (older ones were rotated)"
    )
    say(console, f"{verdict.records:,} records{begins}; the last has the digest {verdict.head}")
    if verdict.damage:
        return 1
    say(console, "The chain is whole.", style="green")
    return 0


def show(folder: Path, task: str, count: int) -> int:
    """Print the last records; return 0.

    Raises:
        ConfigError: there is no log, or it cannot be read.
    """
    _require(folder)
    try:
        records = [each for _, _, each in read(folder) if isinstance(each, AuditRecord)]
    except OSError as error:
        raise _unreadable(folder, error) from error
    console = terminal()
    chosen = [each for each in records if not task or each.task == task]
    for each in chosen[-count:] if count else chosen:
        who = f" [{each.asked_by}]" if each.asked_by else ""
        say(console, f"{each.number:>6}  {each.time}  {each.event:<10}{who} {each.sentence}")
    return 0


def _require(folder: Path) -> None:
    if not files(folder):
        raise ConfigError(
            "there is no audit log here",
            where="DIRECTORY",
            value=str(folder),
            expected="the folder audit in the state directory of an orchestrator",
            hint="ros2 param get /orchestrator state_dir prints the state directory",
        )


def _unreadable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"the audit log cannot be read ({error})", where=str(folder))
