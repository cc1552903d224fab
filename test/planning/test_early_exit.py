"""Early exits at admission: what can stand in for what, and from which cut on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.decoders import FrameInfo, create_decoder, outputs_read
from aegis_ros.engine import JobResult
from aegis_ros.memory import Footprint
from aegis_ros.network import PreparedNetwork, TensorInfo
from aegis_ros.planning.early_exit import early_exit_problem, stand_in_problem
from aegis_ros.rationale import Rule
from aegis_ros.rationale.jobs import Overran
from aegis_ros.rationale.wording import words
from aegis_ros.spec import OverrunPolicy, PreprocessSpec, TaskSpec
from test.orchestrator.house import MS, House

EARLY_EXIT = OverrunPolicy.EARLY_EXIT


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "house")
    made.start()
    return made


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedNetwork:
    return make_network(tmp_path, "exits")


def task(house: House, decoder: str = "classification", **early_exit: str) -> TaskSpec:
    return house.task(
        on_overrun="early_exit",
        early_exit=early_exit,
        output={"topic": "/label", "decoder": decoder},
    )


def cut(prepared: PreparedNetwork, *complete_after: int, segments: int = 4) -> CompiledNetwork:
    return CompiledNetwork(
        backend="onnxruntime",
        key="key",
        paths=("part",) * segments,
        inputs=prepared.inputs,
        outputs=prepared.outputs,
        footprint=Footprint(1),
        complete_after=complete_after,
    )


def test_an_exit_that_is_complete_before_the_last_segment_is_admitted(house, prepared) -> None:
    spec = task(house, logits="exit")
    assert stand_in_problem(spec, prepared) is None
    assert early_exit_problem(spec, prepared, cut(prepared, 3, 2)) is None


@pytest.mark.parametrize(
    ("early_exit", "expected"),
    [
        ({"logits": "aux"}, "names output 'aux', which the network does not have"),
        ({"boxes": "exit"}, "its outputs are logits, exit"),
    ],
)
def test_names_of_outputs_that_do_not_exist_are_refused(
    house, prepared, early_exit: dict[str, str], expected: str
) -> None:
    assert expected in words(stand_in_problem(task(house, **early_exit), prepared))


@pytest.mark.parametrize(
    "other", [TensorInfo("exit", "int64", (4,)), TensorInfo("exit", "float32", (1, 4))]
)
def test_an_output_of_another_type_or_extents_cannot_stand_in(house, prepared, other) -> None:
    changed = replace(prepared, outputs=(prepared.outputs[0], other))
    problem = words(stand_in_problem(task(house, logits="exit"), changed))
    assert problem.startswith("output 'exit' (") and "cannot stand in for 'logits'" in problem


@pytest.mark.parametrize(
    ("segments", "complete_after", "expected"),
    [
        (
            1,
            (),
            "is complete with its only segment, not before. Cut the network into more",
        ),
        (2, (1, 1), "is complete with segment 2 of 2, not before. Cut the network into more"),
        (4, (), "is available only after the last segment: backend onnxruntime does not"),
    ],
)
def test_an_exit_that_is_complete_with_the_end_only_is_refused_with_a_hint(
    house, prepared, segments: int, complete_after: tuple[int, ...], expected: str
) -> None:
    compiled = cut(prepared, *complete_after, segments=segments)
    problem = words(early_exit_problem(task(house, logits="exit"), prepared, compiled))
    assert "output 'exit', which stands in for 'logits' at the early exit of detector" in problem
    assert expected in problem and problem.endswith("or choose another on_overrun")


def test_an_output_the_decoder_reads_needs_a_stand_in_and_others_do_not(house, prepared) -> None:
    compiled = cut(prepared, 3, 2)
    # The decoder reads logits; exit stands in for itself.
    problem = words(early_exit_problem(task(house, exit="exit"), prepared, compiled))
    assert "reads output 'logits', and nothing stands in for it" in problem
    assert "after segment 3 of 4" in problem
    assert early_exit_problem(task(house, "raw", exit="exit"), prepared, compiled) is None


def test_what_is_complete_beside_the_stand_ins_is_handed_out_too() -> None:
    outputs = tuple(TensorInfo(name, "float32", (2,)) for name in ("late", "early", "side"))
    compiled = CompiledNetwork(
        "any", "key", ("part",) * 3, (), outputs, 1, complete_after=(2, 1, 0)
    )
    assert compiled.exit_after(["early"]) == 2 and compiled.exit_after(["late"]) == 3
    assert compiled.exit_outputs({"late": "early"}) == {"late": "early", "side": "side"}


def test_a_decoder_is_asked_what_it_reads(prepared) -> None:
    decoder = create_decoder("classification", {}, PreprocessSpec(), prepared.outputs)
    frame = FrameInfo(16, 24, 16, 24)
    assert outputs_read(decoder, prepared.outputs, frame) == ("logits",)


def test_the_admission_refuses_an_early_exit_that_cannot_be(house: House) -> None:
    unknown = house.orchestrator.register(task(house, output="aux"))
    assert not unknown.accepted and unknown.rationale.rule is Rule.SCHEMA
    assert "names output 'aux'" in unknown.rationale.sentence
    whole = house.orchestrator.register(task(house, "raw", output="output"))
    assert not whole.accepted and "its only segment" in whole.rationale.sentence
    assert house.names() == []


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (0, "The job ends at the network's early exit after segment 2, unless it has caught up"),
        (1, "The job ends there, at the network's early exit (on_overrun: early_exit)"),
        (2, "The job ends there, at the network's early exit (on_overrun: early_exit)"),
    ],
)
def test_an_overrun_says_where_the_job_ends(segment: int, expected: str) -> None:
    overran = Overran(
        task="detector",
        job=7,
        lane="lane0",
        segment=segment,
        segments=4,
        taken_ns=12 * MS,
        budget_ns=10 * MS,
        used_ns=12 * MS,
        whole_ns=40 * MS,
        applied=str(EARLY_EXIT),
        exit_after=2,
    )
    assert expected in words(overran)


def test_results_that_ended_early_are_counted(house: House) -> None:
    answer = house.orchestrator.register(house.task())
    times: dict[str, Any] = dict.fromkeys(
        ("arrival_ns", "received_ns", "deadline_ns", "released_ns", "started_ns", "finished_ns"), 1
    )
    for early in (True, False, True):
        house.engine.on_result(
            JobResult(answer.task_id, 1, **times, execution_ns=1, outputs={}, early_exit=early)
        )
    assert house.orchestrator.status().tasks[0].early_exits == 2
