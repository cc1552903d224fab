"""The live page and the metrics, without ROS: status goes in, questions come out.

Importing :mod:`aegis_ros.dashboard.server` needs the packages of the extra ``dashboard``.
"""

from aegis_ros.dashboard.feed import Batch, Cursor, Feed
from aegis_ros.dashboard.questions import Pause, Robot, WhatIf
from aegis_ros.dashboard.settings import Settings
from aegis_ros.dashboard.views import (
    AnswerView,
    BarView,
    BoundView,
    CounterfactualView,
    DecisionView,
    DueView,
    GeneratorView,
    JobView,
    LaneView,
    RejectedView,
    StatusView,
    TaskView,
    WindowView,
    WitnessView,
)
from aegis_ros.dashboard.window import analysis_task, critical_window

__all__ = [
    "AnswerView",
    "BarView",
    "Batch",
    "BoundView",
    "CounterfactualView",
    "Cursor",
    "DecisionView",
    "DueView",
    "Feed",
    "GeneratorView",
    "JobView",
    "LaneView",
    "Pause",
    "RejectedView",
    "Robot",
    "Settings",
    "StatusView",
    "TaskView",
    "WhatIf",
    "WindowView",
    "WitnessView",
    "analysis_task",
    "critical_window",
]
