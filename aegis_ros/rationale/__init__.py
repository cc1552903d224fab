"""Decisions as plain data: their names, the numbers put into them, and their words."""

from aegis_ros.rationale.names import Decision, ResultCode, Rule, result_code
from aegis_ros.rationale.record import Counterfactual, Rationale, ResponseBound, Witness

__all__ = [
    "Counterfactual",
    "Decision",
    "Rationale",
    "ResponseBound",
    "ResultCode",
    "Rule",
    "Witness",
    "result_code",
]
