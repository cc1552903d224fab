"""The facade: registry, tick, journal and adaptive control; usable without ROS."""

from aegis_ros.orchestrator.admissions import Ticket
from aegis_ros.orchestrator.conversation import Conversation
from aegis_ros.orchestrator.crops import Crops
from aegis_ros.orchestrator.intake import Taken, Wanted
from aegis_ros.orchestrator.lane_choosing import LaneChooser
from aegis_ros.orchestrator.node_state import NodeState
from aegis_ros.orchestrator.orchestrator import Orchestrator
from aegis_ros.orchestrator.request import Answer, Conclusion, Question
from aegis_ros.orchestrator.stamps import FrameTimes
from aegis_ros.orchestrator.statistics import Dropped, Unanswered, slow_unpacking_ns
from aegis_ros.orchestrator.types import (
    AdmissionRequest,
    AdmissionStage,
    AdmissionSummary,
    GeneratorState,
    GeneratorSummary,
    LaneSummary,
    OrchestratorState,
    ProfileOutcome,
    Registration,
    RejectedTask,
    StampVerdict,
    TaskState,
    TaskSummary,
    TopicStamps,
)
from aegis_ros.orchestrator.window import WINDOW_NS
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale import ResultCode

__all__ = [
    "WINDOW_NS",
    "AdmissionRequest",
    "AdmissionStage",
    "AdmissionSummary",
    "Answer",
    "Conclusion",
    "Conversation",
    "Crops",
    "Dropped",
    "FrameTimes",
    "GeneratorState",
    "GeneratorSummary",
    "LaneChooser",
    "LaneSummary",
    "NodeState",
    "Orchestrator",
    "OrchestratorState",
    "ProfileOutcome",
    "Question",
    "Registration",
    "RejectedTask",
    "ResultCode",
    "StampVerdict",
    "Stream",
    "Taken",
    "TaskState",
    "TaskSummary",
    "Ticket",
    "TopicStamps",
    "Unanswered",
    "Wanted",
    "slow_unpacking_ns",
]
