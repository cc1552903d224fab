"""Rules and the codes of requests: programs match on both."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros import errors
from aegis_ros.rationale import ResultCode, Rule, result_code

SRV = Path(__file__).parents[2] / "srv"


def test_the_codes_are_those_of_the_service() -> None:
    declared = {
        name.removeprefix("uint8 RESULT_"): int(number)
        for name, number in (
            line.split("=")
            for line in (SRV / "RegisterModel.srv").read_text().splitlines()
            if line.startswith("uint8 RESULT_")
        )
    }
    assert declared == {code.name: int(code) for code in ResultCode}


def test_a_rejection_is_never_a_yes() -> None:
    assert not {result_code(rule) for rule in Rule} & {ResultCode.ADMITTED, ResultCode.DONE}


@pytest.mark.parametrize(
    "rule", [Rule.UTILIZATION, Rule.DEMAND_BOUND, Rule.CRITICAL_WINDOW, Rule.TABLE, Rule.MODES]
)
def test_every_schedulability_test_says_not_schedulable(rule: Rule) -> None:
    assert result_code(rule) is ResultCode.NOT_SCHEDULABLE


def test_every_error_names_its_rule() -> None:
    named = [getattr(errors, name) for name in errors.__all__]
    families = [item for item in named if isinstance(item, type)]
    assert all(isinstance(family("it broke").rule, Rule) for family in families)
    assert errors.ModelError("it broke", rule=Rule.MODEL_CUT).rule is Rule.MODEL_CUT


def test_a_rule_is_read_by_the_name_it_had_before() -> None:
    assert Rule("thinning") is Rule.DECIMATION
    assert str(Rule.DECIMATION) == "decimation"
    with pytest.raises(ValueError):
        Rule("thinly")
