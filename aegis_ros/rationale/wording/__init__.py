"""The English of all decisions: one module for each module of data."""

from aegis_ros.rationale.wording.counterfactuals import counterfactual
from aegis_ros.rationale.wording.loading import hint as load_hint
from aegis_ros.rationale.wording.requests import origin_words
from aegis_ros.rationale.wording.units import every_nth, fewer_frames, length
from aegis_ros.rationale.wording.verdicts import in_slack, verdict_words
from aegis_ros.rationale.wording.words import known as load_wordings
from aegis_ros.rationale.wording.words import sentence, words

__all__ = [
    "counterfactual",
    "every_nth",
    "fewer_frames",
    "in_slack",
    "length",
    "load_hint",
    "load_wordings",
    "origin_words",
    "sentence",
    "verdict_words",
    "words",
]
