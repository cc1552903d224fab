"""Every error tells what, where, which value, what was expected, and a hint."""

from __future__ import annotations

from aegis_ros.errors import AegisError, ConfigError, ModelError
from aegis_ros.rationale import Rule


def test_the_message_has_every_part() -> None:
    error = ConfigError(
        "out of range", where="a.yaml:3: period_ms", value=0, expected="above 0", hint="Raise it"
    )
    assert str(error) == "a.yaml:3: period_ms: out of range (got 0); expected above 0. Raise it."


def test_parts_that_are_absent_leave_no_trace() -> None:
    assert str(AegisError("it broke.")) == "it broke."


def test_a_long_value_is_shortened() -> None:
    assert len(AegisError("bad", value="x" * 10_000).value) == 200


def test_the_rule_is_that_of_the_family_unless_given() -> None:
    assert ModelError("bad").rule is Rule.MODEL_VALID
    assert ModelError("bad", rule=Rule.MODEL_ROOTS).rule is Rule.MODEL_ROOTS


def test_no_part_is_longer_than_a_log_can_bear() -> None:
    """Names of strangers stand in every part; one of a megabyte was logged and published whole."""
    long = "x" * 1_000_000
    error = ConfigError(long, where=long, value=long, expected=long, hint=long)
    assert len(str(error)) < 32_768
    assert len(str(error.at(long))) < 32_768
    assert error.problem.endswith("…")
