"""Generators in a bare set: what `aegis check` and `aegis whatif` say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.planning.answer import judge
from aegis_ros.planning.critical import critical_run
from aegis_ros.planning.task_set import read_task_set
from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, TALKING

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "talking_robot.yaml"


def generator(said_out: str) -> Any:
    (found,) = json.loads(said_out)["generators"]
    return found


def test_check_says_which_buckets_the_proof_allows_and_what_would_allow_the_rest(
    aegis: Aegis, write: Write
) -> None:
    said = aegis("check", write(TALKING))
    assert said.code == 0
    assert "generator assistant: admitted" in said.out
    assert "bears steps of best effort of up to 33.00 ms" in " ".join(said.out.split())
    assert "prefill 32 of assistant would be admitted in 5 parts of at most 27.20 ms" in said.out


def test_json_has_every_number(aegis: Aegis, write: Write) -> None:
    found = generator(aegis("check", write(TALKING), "--format", "json").out)
    assert found["admitted"] and found["rule"] == "demand_bound" and found["kv_mib"] == 180.0
    assert found["longest_step"] == {
        "longest_ms": 33.000001,
        "task": "detect",
        "t_ms": 45.0,
        "demand_ms": 12.0,
    }
    assert {bucket["name"]: bucket["admitted"] for bucket in found["buckets"]} == {
        "prefill 2": True,
        "prefill 32": False,
        "decode 1": True,
        "decode 4 (int4)": True,
    }
    assert found["tokens_per_s"] == pytest.approx((1 - 0.24 - 0.3) * 1 / 8.5e-3)
    assert {change["change"] for change in found["counterfactuals"]} == {"parts", "deadline_ms"}
    assert list(found["counterfactuals"][0]) == ["task", "change", "value", "sentence"]


def test_a_generator_that_is_not_admitted_ends_with_1_although_every_deadline_holds(
    aegis: Aegis, write: Write
) -> None:
    path = write(TALKING.replace("arena_mib: 256", "arena_mib: 128"))
    said = aegis("check", path)
    assert said.code == 1 and "Every deadline holds" in said.out
    assert "2 slots of that length or 4 slots of 728 tokens would fit" in " ".join(said.out.split())
    answer = json.loads(aegis("check", path, "--format", "json").out)
    assert answer["schedulable"] and not answer["generators"][0]["admitted"]
    assert answer["generators"][0]["buckets"] == []


def test_a_promise_is_tested_like_any_task_and_the_rest_runs_beside_it(
    aegis: Aegis, write: Write
) -> None:
    path = write(TALKING)
    said = aegis("whatif", path, "--set", "assistant.tokens_per_s=8", "--format", "json")
    assert said.code == 0
    answer = json.loads(said.out)
    names = [task["name"] for task in answer["after"]["lanes"][0]["tasks"]]
    assert names == ["detect", "depth", "assistant"]
    after = answer["after"]["generators"][0]
    assert "each answer is promised 8 tokens a second" in after["sentence"]
    before = answer["before"]["generators"][0]
    assert after["tokens_per_s"] < before["tokens_per_s"]
    said = aegis("whatif", path, "--set", "assistant.tokens_per_s=80")
    assert said.code == 1 and "after: NOT schedulable" in said.out


def test_one_that_answers_about_images_is_admitted_with_its_encoder_only(
    aegis: Aegis, write: Write
) -> None:
    for part, admitted in ((34, False), (33, True)):
        encoder = f"{{encode: 64, parts_ms: [20, {part}]}}"
        text = TALKING.replace("buckets: [", f"buckets: [{encoder}, ")
        said = aegis("check", write(text), "--format", "json")
        found = generator(said.out)
        assert found["admitted"] is admitted and said.code == int(not admitted)
        names = [bucket["name"] for bucket in found["buckets"]]
        assert names[:3] == ["prefill 2", "prefill 32", "encode 64"]


def test_whatif_shows_what_a_shorter_cache_or_another_task_does(aegis: Aegis, write: Write) -> None:
    path = write(TALKING)
    assert aegis("whatif", path, "--set", "assistant.max_len=2048").code == 1
    assert aegis("whatif", path, "--set", "assistant.slots=2").code == 0
    said = aegis("whatif", path, "--set", "detect.deadline_ms=38", "--drop", "depth",
                 "--format", "json")  # fmt: skip
    after = json.loads(said.out)["after"]["generators"][0]
    assert after["longest_step"]["longest_ms"] == 26.000001
    said = aegis("whatif", path, "--drop", "assistant", "--format", "json")
    assert said.code == 0 and json.loads(said.out)["after"]["generators"] == []


def test_where_a_lane_fails_by_itself_no_bucket_fits(aegis: Aegis, write: Write) -> None:
    said = aegis("whatif", write(TALKING), "--set", "detect.deadline_ms=31")
    assert said.code == 1 and "NOT admitted" in said.out
    assert "even without best effort" in " ".join(said.out.split())
    assert "if depth ran in 4 segments" in " ".join(said.out.split())


def test_the_example_is_admitted_and_says_what_is_not(aegis: Aegis) -> None:
    found = generator(aegis("check", str(EXAMPLE), "--format", "json").out)
    assert found["admitted"]
    refused = [bucket["name"] for bucket in found["buckets"] if not bucket["admitted"]]
    assert refused == ["prefill 32"]


ONE = TALKING.partition("generators:")[0] + (
    "generators: [{name: assistant, max_len: 64, kv_bytes_per_token: 8, buckets: %s}]"
)
BOTH = "[{prefill: 2, parts_ms: [1]}, {decode: 1, parts_ms: [1]}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE % "[]", "generators[0].buckets: not valid"),
        (ONE % "[{prefill: 2, parts_ms: [1]}, {parts_ms: [1]}]", "buckets[1]: a bucket is a chunk"),
        (ONE % BOTH.replace("decode: 1", "decode: 1, prefill: 3"), "got several"),
        (ONE % BOTH.replace("decode: 1", "prefill: 4"), "no decode is among the buckets"),
        (ONE % BOTH.replace("prefill: 2", "decode: 4"), "no prefill is among the buckets"),
        (ONE % "[{prefill: 2, parts_ms: [1]}, {prefill: 2, parts_ms: [2]}]", "stands twice"),
        (ONE % BOTH.replace("[1]", "[]", 1), "buckets[0].parts_ms: not valid"),
        (ONE % BOTH.replace("[1]", "[0]", 1), "buckets[0].parts_ms[0]: out of range"),
        (ONE % BOTH.replace("prefill: 2", "prefil: 2"), "Did you mean 'prefill'?"),
        (ONE % BOTH.replace("prefill: 2", "prefill: 2.5"), "buckets[0].prefill"),
        (ONE.replace("max_len: 64", "max_len: 1") % BOTH, "max_len: out of range"),
        (ONE.replace("name: assistant", "name: depth") % BOTH, "generators[0].name: the name is"),
        (ONE.replace("max_len", "lane: far, max_len") % BOTH, "there is no such lane"),
        ("lanes: [{name: a}, {name: b}]\n" + ONE % BOTH, "does not choose its lane"),
        ("policy: cw_edf\n" + ONE % BOTH, "tested under the policy edf"),
        (
            ONE.replace("max_len", "slots: 2, tokens_per_s: 4, max_len") % BOTH,
            "no decode for 2 answers at once",
        ),
        (ONE.replace("max_len", "tokens_per_s: 0, max_len") % BOTH, "tokens_per_s: out of range"),
        (ONE.replace("max_len", "tokens_per_s: 1e-9, max_len") % BOTH, "tokens_per_s: out of"),
        (ONE.replace("max_len", "arena_mib: .nan, max_len") % BOTH, "arena_mib: out of range"),
    ],
)
def test_a_bad_generator_ends_with_code_2_and_names_the_field(
    aegis: Aegis, write: Write, text: str, message: str
) -> None:
    said = aegis("check", write(text))
    assert said.code == 2 and message in said.err, said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "assistant.period_ms=5"), "unknown field of a generator"),
        (("--set", "assistant.slots=1.5"), "slots"),
        (("--set", "assistant.slots=0"), "slots: out of range"),
        (("--set", "assistant.slots=many"), "not a number"),
        (("--set", "policy=cw_edf"), "tested under the policy edf"),
        (("--add", "name=assistant,period_ms=5,segments_ms=1"), "the name is taken"),
    ],
)
def test_a_bad_change_of_a_generator_ends_with_code_2(
    aegis: Aegis, write: Write, arguments: tuple[str, ...], message: str
) -> None:
    said = aegis("whatif", write(TALKING), *arguments)
    assert said.code == 2 and message in said.err, said.err


def test_lanes_are_not_chosen_for_a_set_with_generators(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(TALKING), "--lanes", "auto")
    assert said.code == 2 and "a generator names its own" in said.err


LARGEST = (
    "tasks: [{name: a, period_ms: 3600000, segments_ms: [1]}]\n"
    "generators: [{name: b, slots: 1024, max_len: 1048576, kv_bytes_per_token: 1073741824, "
    "tokens_per_s: %s, buckets: [{prefill: 65536, parts_ms: [3600000]}, "
    "{decode: 1024, parts_ms: [3600000, 3600000]}]}]"
)


@pytest.mark.parametrize("rate", ["0.001", "1000000"])
@pytest.mark.parametrize("command", ["check", "simulate"])
def test_the_largest_numbers_that_may_be_written_get_an_answer(
    aegis: Aegis, write: Write, command: str, rate: str
) -> None:
    more = ("--duration", "100ms") if command == "simulate" else ()
    said = aegis(command, write(LARGEST % rate), *more)
    assert said.code in (0, 1), said.err


def test_a_set_without_generators_says_nothing_of_them(aegis: Aegis, write: Write) -> None:
    assert "generator" not in aegis("check", write(BLOCKED)).out


def test_simulate_runs_it_in_the_slack_and_no_job_takes_longer_than_its_bound(aegis: Aegis) -> None:
    said = aegis("simulate", str(EXAMPLE), "--duration", "5s")
    assert said.code == 0 and "0 late" in said.out
    assert "assistant, which always had requests, generated" in said.out
    answer = json.loads(aegis("simulate", str(EXAMPLE), "--duration", "5s", "--format", "json").out)
    (lane,) = answer["lanes"]
    assert [task["name"] for task in lane["tasks"]] == ["pedestrians", "lane_marks", "signs"]
    for task in lane["tasks"]:
        assert task["response_max_ms"] <= task["response_bound_ms"]
    (figures,) = lane["generators"]
    assert list(figures) == [
        "name",
        "tokens",
        "tokens_per_s",
        "answered",
        "first_token_p50_ms",
        "first_token_max_ms",
    ]
    assert figures["tokens"] > 0 and lane["utilization"] == pytest.approx(1.0)


def test_simulate_says_that_a_generator_that_is_not_admitted_did_not_run(
    aegis: Aegis, write: Write
) -> None:
    path = write(TALKING.replace("arena_mib: 256", "arena_mib: 1"))
    said = aegis("simulate", path, "--duration", "1s")
    assert said.code == 0 and "assistant is not admitted, and did not run" in said.out


def test_generators_run_on_their_own_lanes_beside_tasks_of_any_number(
    aegis: Aegis, write: Write
) -> None:
    path = write(
        "lanes: [{name: a}, {name: b}]\n"
        + TALKING.replace("segments_ms: [12]", "segments_ms: [12], lane: a")
        .replace("segments_ms: [30]", "segments_ms: [30], lane: b")
        .replace("max_len", "lane: b, tokens_per_s: 2, max_len")
    )
    said = aegis("simulate", path, "--duration", "2s", "--format", "json")
    assert said.code == 0
    one, other = json.loads(said.out)["lanes"]
    assert one["generators"] == [] and len(other["generators"]) == 1
    assert [task["name"] for task in other["tasks"]] == ["depth", "assistant"]
    for task in (*one["tasks"], *other["tasks"]):
        assert task["missed"] == 0 and task["response_max_ms"] <= task["response_bound_ms"]


def test_a_simulation_that_would_take_too_many_steps_is_refused(aegis: Aegis, write: Write) -> None:
    path = write(TALKING.replace("[2.5, 6]", "[0.001, 6]"))
    said = aegis("simulate", path, "--duration", "1h")
    assert said.code == 2 and "at most 5,000,000 jobs" in said.err


def test_the_bounds_count_the_steps_that_a_generator_may_take(aegis: Aegis, write: Write) -> None:
    bare = TALKING.partition("generators:")[0]
    without, beside = (
        json.loads(aegis("check", write(text), "--format", "json").out)["lanes"][0]
        for text in (bare, TALKING)
    )
    before = {task["name"]: task["response_bound_ms"] for task in without["tasks"]}
    after = {task["name"]: task["response_bound_ms"] for task in beside["tasks"]}
    # The decode of 30 ms blocks depth, which nothing else does; detect waits for depth anyway.
    assert after["depth"] == pytest.approx(before["depth"] + 30.0, abs=1e-5)
    assert after["detect"] == before["detect"]


def test_the_picture_of_the_critical_instant_has_the_step_that_blocks(
    aegis: Aegis, tmp_path: Path
) -> None:
    answer = judge(read_task_set(EXAMPLE))
    run = critical_run(answer, answer.assignment.verdicts["main"])
    assert run is not None and run.witness is not None and run.first_miss is None
    assert run.witness.blocking_task == "assistant"
    names = [task.name for task in run.case.tasks]
    first = run.outcome.runs[0]
    assert names[run.outcome.workload.task[first.job]] == "assistant"
    assert run.start_ns == first.start_ns + 1, "the others come when it has just begun"
    picture = tmp_path / "why.png"
    assert aegis("check", str(EXAMPLE), "--plot", str(picture)).code == 0 and picture.exists()
    picture = tmp_path / "timeline.png"
    said = aegis("simulate", str(EXAMPLE), "--duration", "1s", "--plot", str(picture))
    assert said.code == 0 and picture.exists()


@pytest.mark.parametrize("arrivals", ["critical", "bursty", "periodic", "sporadic"])
@pytest.mark.parametrize("execution", ["budget", "uniform"])
def test_no_way_to_arrive_makes_a_task_late_beside_it(
    aegis: Aegis, arrivals: str, execution: str
) -> None:
    said = aegis(
        "simulate", str(EXAMPLE), "--duration", "3s", "--arrivals", arrivals,
        "--execution", execution, "--format", "json",
    )  # fmt: skip
    assert said.code == 0
    answer = json.loads(said.out)
    assert answer["missed"] == 0 and answer["dropped"] == 0
    for task in answer["lanes"][0]["tasks"]:
        assert task["response_max_ms"] <= task["response_bound_ms"]
