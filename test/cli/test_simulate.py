"""`aegis simulate` as a user meets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aegis_ros.cli.simulate import parse_duration_ns
from aegis_ros.errors import ConfigError
from aegis_ros.planning.workload import ARRIVALS
from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, FITS, IDLING, TWO_LANES


def _tasks(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for lane in answer["lanes"] for task in lane["tasks"]]


@pytest.mark.parametrize("arrivals", ARRIVALS)
def test_an_accepted_set_is_never_late_and_keeps_its_bounds(
    aegis: Aegis, write: Write, arrivals: str
) -> None:
    said = aegis("simulate", write(FITS), "--arrivals", arrivals, "--format", "json")
    assert said.code == 0
    answer = json.loads(said.out)
    assert answer["missed"] == 0 and answer["jobs"] > 0
    for task in _tasks(answer):
        assert task["response_p50_ms"] <= task["response_p99_ms"] <= task["response_max_ms"]
        assert task["response_max_ms"] <= task["response_bound_ms"] <= task["deadline_ms"]


def test_the_critical_pattern_of_a_rejected_set_is_late(aegis: Aegis, write: Write) -> None:
    said = aegis("simulate", write(BLOCKED), "--arrivals", "critical")
    assert said.code == 1
    assert "1 late" in said.out


def test_no_miss_of_a_rejected_set_is_not_called_a_promise(aegis: Aegis, write: Write) -> None:
    said = aegis("simulate", write(BLOCKED), "--duration", "9ms", "--arrivals", "periodic")
    late_at_once = aegis("simulate", write(BLOCKED), "--arrivals", "periodic")
    assert said.code == 0 and "no proof" in said.out
    assert late_at_once.code == 1


def test_the_same_seed_gives_the_same_run_and_another_gives_another(
    aegis: Aegis, write: Write
) -> None:
    path = write(FITS)
    first, again, other = (
        aegis("simulate", path, "--seed", seed, "--execution", "uniform", "--format", "json").out
        for seed in ("3", "3", "4")
    )
    assert first == again
    assert _tasks(json.loads(first)) != _tasks(json.loads(other))


def test_execution_times_below_the_budget_use_less(aegis: Aegis, write: Write) -> None:
    path = write(FITS)
    full, part = (
        json.loads(
            aegis(
                "simulate", path, "--execution", how, "--arrivals", "periodic", "--format", "json"
            ).out
        )
        for how in ("budget", "uniform")
    )
    assert full["lanes"][0]["utilization"] == pytest.approx(0.4, abs=0.01)
    assert part["lanes"][0]["utilization"] < 0.35


def test_every_lane_is_simulated(aegis: Aegis, write: Write) -> None:
    answer = json.loads(aegis("simulate", write(TWO_LANES), "--format", "json").out)
    assert [lane["name"] for lane in answer["lanes"]] == ["left", "right"]
    assert {task["name"] for task in _tasks(answer)} == {"a", "b", "c"}


@pytest.mark.parametrize("policy", ["cw_edf", "table"])
def test_a_policy_is_run_as_it_was_decided(aegis: Aegis, write: Write, policy: str) -> None:
    text = IDLING.replace("cw_edf", policy)
    said = aegis("simulate", write(text), "--format", "json", "--duration", "1s")
    assert said.code == 0
    answer = json.loads(said.out)
    assert (answer["policy"], answer["arrivals"]) == (policy, "periodic")
    for task in _tasks(answer):
        assert task["response_max_ms"] <= task["response_bound_ms"]


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("10s", 10**10),
        ("250ms", 250 * 10**6),
        ("1.5min", 90 * 10**9),
        ("24h", 86_400 * 10**9),
        ("5us", 5_000),
        (" 2 s ", 2 * 10**9),
    ],
)
def test_durations_have_units(text: str, value_ns: int) -> None:
    assert parse_duration_ns(text) == value_ns


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1e3s", "25h", "0s", "1 day", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a duration"):
        parse_duration_ns(text)


def test_best_effort_is_never_late_and_its_frames_that_gave_way_are_reported(
    aegis: Aegis, write: Write
) -> None:
    said = aegis(
        "simulate",
        write(
            "tasks: [{name: quick, period_ms: 10, segments_ms: [5]}, {name: vlm, period_ms: 10, "
            "segments_ms: [5, 5, 5], criticality: best_effort}]"
        ),
    )
    assert said.code == 0
    assert "0 late" in said.out and "a budget was exceeded" not in said.out
    assert "frames of best effort gave way to newer ones" in said.out
