"""The live page and the metrics, without ROS: what is shown is put in, questions are taken out.

Importing :mod:`aegis_ros.dashboard.server` needs the packages of the extra ``dashboard``.
"""

from aegis_ros.dashboard.feed import Batch, Cursor, Feed
from aegis_ros.dashboard.questions import Pause, Robot, WhatIf
from aegis_ros.dashboard.settings import Settings
from aegis_ros.dashboard.views import (
    AnswerView,
    BoundView,
    CounterfactualView,
    DecisionView,
    JobView,
    LaneView,
    StatusView,
    TaskView,
    WitnessView,
)

__all__ = [
    "AnswerView",
    "Batch",
    "BoundView",
    "CounterfactualView",
    "Cursor",
    "DecisionView",
    "Feed",
    "JobView",
    "LaneView",
    "Pause",
    "Robot",
    "Settings",
    "StatusView",
    "TaskView",
    "WhatIf",
    "WitnessView",
]
