"""What the diagnosis of a generator says, as a table: state and figures in, level and words out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aegis_ros.engine import EngineStatus
from aegis_ros.nodes.diagnostics import Diagnosis, diagnose
from aegis_ros.nodes.generator_health import judge_generator
from aegis_ros.nodes.task_health import Level
from aegis_ros.orchestrator import GeneratorState, GeneratorSummary, LaneSummary, OrchestratorState
from aegis_ros.orchestrator.adapting import AdaptedSummary
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.types import RejectedTask
from aegis_ros.rationale.engine import TaskNotReloaded
from aegis_ros.rationale.generators import BucketTried, CacheTooLarge, GeneratorRefused, StepBorne
from aegis_ros.rationale.rejection import Failed
from aegis_ros.scheduling.adaptation import Limits
from aegis_ros.spec import GeneratorSpec
from aegis_ros.trace.balance import Balance

MIB, S = 2**20, 1_000_000_000

FARES = AdaptedSummary(
    name="llm",
    limits=Limits(32, 2, 1_024),
    tokens=900,
    tokens_per_s=21.5,
    cycles=700,
    latency_ns=40_000_000,
    context=310,
    arena_used_bytes=300 * MIB,
    arena_peak_bytes=320 * MIB,
    device_use=0.7,
    changes=1,
    out_of_memory=0,
    decision="",
)
WELL = GeneratorSummary(
    spec=GeneratorSpec("llm", "tiny.gguf", slots=2),
    state=GeneratorState.RUNNING,
    problem=None,
    lane="main",
    steps=("prefill 32", "decode 1", "decode 2"),
    given_up=(),
    expected_tokens_per_s=25.0,
    slots=2,
    max_len=1_024,
    running=2,
    waiting=1,
    stalled_ns=S // 20,
    cache_bytes=90 * MIB,
    cache_used_bytes=90 * MIB,
    adapted=FARES,
)
LANE = LaneSummary("main", 1, 0.3, 0.7, 0, "llm", 0)
FULL = replace(LANE, utilization_measured=0.97, running="eye")

DECODE = BucketTried("prefill 2", 9_000_000, 1, False)
CANNOT = GeneratorRefused("llm", "main", StepBorne("main", 0, "eye", 0, 0), "prefill", (DECODE,))
LARGE = CacheTooLarge("llm", 2, 1_024, 90 * MIB, 40 * MIB, 0, 455)


def judged(**changes: Any) -> tuple[int, str]:
    lane = changes.pop("at", LANE)
    where = {"active": True, "engine_runs": True}
    where |= {name: changes.pop(name) for name in where if name in changes}
    spec = changes.pop("spec", {})
    generator = replace(WELL, spec=replace(WELL.spec, **spec), **changes)
    found = judge_generator(generator, lane, **where)
    return found.level, found.message


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, Level.OK, "21.5 tokens a second, 2 of 2 answers, 1 request(s) wait"),
        ({"running": 0, "waiting": 0}, Level.OK, "waits for a request"),
        ({"active": False}, Level.OK, "once the node is active"),
        ({"engine_runs": False}, Level.ERROR, "no engine runs"),
        (
            {"state": GeneratorState.REFUSED, "problem": LARGE, "adapted": None, "active": False},
            Level.ERROR,
            "not admitted: ",
        ),
        (
            {"state": GeneratorState.FAILED, "problem": TaskNotReloaded("llm", "no memory")},
            Level.ERROR,
            "no memory",
        ),
        (
            {"state": GeneratorState.PAUSED, "problem": CANNOT, "steps": ()},
            Level.WARN,
            "gave up all its steps and takes no requests: ",
        ),
        (
            {"given_up": ("prefill 16", "prefill 32"), "steps": ("prefill 8", "decode 1")},
            Level.WARN,
            "gave up prefill 16, prefill 32 for the tasks beside it, and answers with prefill 8, "
            "decode 1",
        ),
        ({"stalled_ns": 4 * S}, Level.OK, "tokens a second"),
        ({"stalled_ns": 6 * S}, Level.ERROR, "no step has ended in 6"),
        ({"stalled_ns": 6 * S}, Level.ERROR, "3 request(s) wait: see the entry engine"),
        ({"stalled_ns": 6 * S, "expected_tokens_per_s": 1.0}, Level.OK, "tokens a second"),
        ({"stalled_ns": 11 * S, "expected_tokens_per_s": 1.0}, Level.ERROR, "no step"),
        ({"stalled_ns": 6 * S, "expected_tokens_per_s": 0.0}, Level.ERROR, "no step"),
        ({"stalled_ns": 6 * S, "at": FULL}, Level.WARN, "tasks fill lane main to 97%"),
        (
            {"stalled_ns": 6 * S, "at": FULL, "spec": {"tokens_per_s": 4.0}},
            Level.ERROR,
            "tasks fill lane main to 97%",
        ),
        (
            {"stalled_ns": 6 * S, "at": replace(FULL, running="llm")},
            Level.ERROR,
            "see the entry engine",
        ),
        ({"stalled_ns": 6 * S, "at": None}, Level.ERROR, "see the entry engine"),
        (
            {"stalled_ns": 6 * S, "given_up": ("prefill 32",)},
            Level.ERROR,
            "no step has ended",
        ),
    ],
)
def test_the_gravest_finding_decides(changes: dict[str, Any], level: int, words: str) -> None:
    found, message = judged(**changes)
    assert found == level, message
    assert words in message


def state(*generators: GeneratorSummary, **changes: Any) -> OrchestratorState:
    made = OrchestratorState(
        active=True,
        engine=None,
        engine_status=EngineStatus(1, 0, (), 0, 0),
        arena_bytes=512 * MIB,
        arena_used_bytes=300 * MIB,
        lanes=(replace(LANE, utilization_measured=0.99),),
        tasks=(),
        frames=Balance(),
        generators=generators,
    )
    return replace(made, **changes)


def entries(state: OrchestratorState) -> dict[str, Diagnosis]:
    return {each.name: each for each in diagnose(state, "active", {})}


def test_each_has_an_entry_with_its_figures() -> None:
    found = entries(state(WELL))["generator llm"]
    assert found.level == Level.OK
    assert found.values["tokens_per_s"] == "21.50" and found.values["running"] == "2"
    assert found.values["steps"] == "prefill 32, decode 1, decode 2"
    assert found.values["cache_used_bytes"] == str(90 * MIB)
    assert found.values["precision"] == WELL.spec.precision, "it has one only"


def test_a_lane_that_one_fills_is_no_warning() -> None:
    assert entries(state(WELL))["lane main"].level == Level.OK
    assert entries(state(replace(WELL, lane="side")))["lane main"].level == Level.WARN


def test_a_refused_one_has_one_entry_and_is_no_task() -> None:
    refused = replace(WELL, state=GeneratorState.REFUSED, problem=LARGE, adapted=None)
    gone = RejectedTask("map", True, "from the file", RationaleLog().make(Failed("map", "no file")))
    why = RejectedTask("llm", True, "from the file", RationaleLog().make(LARGE))
    found = entries(state(refused, rejected=(gone, why)))
    assert found["generator llm"].level == Level.ERROR
    assert "task llm" not in found and found["task map"].level == Level.ERROR
