"""Decisions as plain data: their names, the numbers put into them, and their words."""

from aegis_ros.rationale.names import Decision, ResultCode, Rule, result_code
from aegis_ros.rationale.reason import UNTESTED, Inequality, Reason
from aegis_ros.rationale.record import Counterfactual, Rationale, ResponseBound, Witness

__all__ = [
    "UNTESTED",
    "Counterfactual",
    "Decision",
    "Inequality",
    "Rationale",
    "Reason",
    "ResponseBound",
    "ResultCode",
    "Rule",
    "Witness",
    "result_code",
]
