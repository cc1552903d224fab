"""The stable names of what is decided and of the rules it is decided by; programs match on them."""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = ["Decision", "ResultCode", "Rule", "result_code"]


class Decision(StrEnum):
    """What was decided."""

    ADMITTED = "admitted"
    REJECTED = "rejected"
    REMOVED = "removed"
    ENABLED = "enabled"
    DISABLED = "disabled"
    SKIPPED = "skipped"
    SHED = "shed"
    LOST = "lost"
    RESTORED = "restored"
    INFORMED = "informed"


class Rule(StrEnum):
    """The rule a decision was taken by; stable names that programs may match on."""

    # admission
    SCHEMA = "schema"
    DUPLICATE_NAME = "duplicate_name"
    UNKNOWN_TASK = "unknown_task"
    MODEL_FILE = "model_file"
    MODEL_ROOTS = "model_roots"
    MODEL_DIGEST = "model_digest"
    MODEL_VALID = "model_valid"
    MODEL_CUT = "model_cut"
    TOPIC_TYPE = "topic_type"
    DECODER = "decoder"
    WCET_PROFILE = "wcet_profile"
    ARENA = "arena"
    UTILIZATION = "utilization"
    WCET_DEADLINE = "wcet_deadline"
    DEMAND_BOUND = "demand_bound"
    CRITICAL_WINDOW = "critical_window"
    TABLE = "table"
    MODES = "modes"
    LIMIT = "limit"
    STATE = "state"
    # running
    NEWER_FRAME = "newer_frame"
    RATE_GATE = "rate_gate"
    BAD_FRAME = "bad_frame"
    SYNC = "sync"
    CHAIN = "chain"
    TOPIC_SILENT = "topic_silent"
    TOPIC_QOS = "topic_qos"
    FRAMES_LOST = "frames_lost"
    TIME_JUMP = "time_jump"
    DECODER_FAILED = "decoder_failed"
    NOT_FINITE = "not_finite"
    RUN_FAILED = "run_failed"
    OVERRUN = "overrun"
    CRITICALITY = "criticality"
    DEVICE_SPEED = "device_speed"
    MEMORY = "memory"
    LANE_CHOICE = "lane_choice"
    DECIMATION = "decimation"
    ENGINE_RESTART = "engine_restart"
    OPERATOR = "operator"
    SERVICES = "services"
    ADAPTATION = "adaptation"

    @classmethod
    def _missing_(cls, value: object) -> Rule | None:
        """Read the name that a rule had in earlier versions, as old traces hold it."""
        return cls.DECIMATION if value == "thinning" else None


class ResultCode(IntEnum):
    """How a request ended; the ``RESULT`` numbers of ``RegisterModel.srv``."""

    ADMITTED = 0
    INVALID_SPEC = 1
    MODEL_REFUSED = 2
    NO_PROFILE = 3
    ARENA_FULL = 4
    NOT_SCHEDULABLE = 5
    NOT_POSSIBLE_NOW = 6
    ENGINE_FAILED = 7
    DONE = 8


_REJECTED_BY = {
    ResultCode.INVALID_SPEC: (
        Rule.SCHEMA,
        Rule.DUPLICATE_NAME,
        Rule.UNKNOWN_TASK,
        Rule.TOPIC_TYPE,
        Rule.DECODER,
        Rule.MODEL_CUT,
    ),
    ResultCode.MODEL_REFUSED: (
        Rule.MODEL_FILE,
        Rule.MODEL_ROOTS,
        Rule.MODEL_DIGEST,
        Rule.MODEL_VALID,
    ),
    ResultCode.NO_PROFILE: (Rule.WCET_PROFILE,),
    ResultCode.ARENA_FULL: (Rule.ARENA,),
    ResultCode.NOT_SCHEDULABLE: (
        Rule.UTILIZATION,
        Rule.WCET_DEADLINE,
        Rule.DEMAND_BOUND,
        Rule.CRITICAL_WINDOW,
        Rule.TABLE,
        Rule.MODES,
        Rule.CHAIN,
    ),
    ResultCode.ENGINE_FAILED: (Rule.RUN_FAILED, Rule.ENGINE_RESTART),
}
_CODES = {rule: code for code, rules in _REJECTED_BY.items() for rule in rules}


def result_code(rule: Rule) -> ResultCode:
    """Return the code of a rejection by ``rule``; what only passes by is not possible *now*."""
    return _CODES.get(rule, ResultCode.NOT_POSSIBLE_NOW)
