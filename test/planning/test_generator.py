"""Which buckets of a generator the proof allows, and what would allow the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, is_schedulable, longest_step
from aegis_ros.memory import KvShape
from aegis_ros.planning.generator import Bucket, Generator, GeneratorAnswer, judge_generator
from aegis_ros.rationale.generators import (
    CacheTooLarge,
    GeneratorAdmitted,
    GeneratorRefused,
    StepBorne,
)
from aegis_ros.rationale.wording import words
from aegis_ros.simulation import Workload, plan_of, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

MS = 1_000_000
DETECT = AnalysisTask("detect", (12 * MS,), 50 * MS, 45 * MS)
DEPTH = AnalysisTask("depth", (30 * MS,), 100 * MS, 100 * MS)
SMALL = KvShape(4, 1024, 46_080)


def prefill(tokens: int, *parts_ms: float, precision: str = "") -> Bucket:
    return Bucket(tokens, True, tuple(round(part * MS) for part in parts_ms), precision)


def decode(answers: int, *parts_ms: float, precision: str = "") -> Bucket:
    return Bucket(answers, False, tuple(round(part * MS) for part in parts_ms), precision)


def assistant(*buckets: Bucket, cache: KvShape = SMALL, **changes: object) -> Generator:
    return replace(Generator("assistant", "main", buckets, cache), **changes)  # type: ignore[arg-type]


def admitted(answer: GeneratorAnswer) -> list[str]:
    return [bucket.name for bucket in answer.buckets]


def test_buckets_whose_longest_part_the_lane_bears_are_admitted() -> None:
    asked = assistant(
        decode(4, 33), prefill(32, 40, 40), decode(1, 5, 5), prefill(2, 13), decode(2, 32.9)
    )
    answer = judge_generator(asked, [DETECT, DEPTH])
    assert answer.admitted and admitted(answer) == ["prefill 2", "decode 1", "decode 2", "decode 4"]
    reason = answer.reason
    assert isinstance(reason, GeneratorAdmitted) and reason.borne is not None
    assert reason.borne == StepBorne("main", 33 * MS + 1, "detect", 45 * MS, 12 * MS)
    assert [bucket.name for bucket in reason.buckets if not bucket.fits] == ["prefill 32"]
    plan = answer.plan(100_000)
    assert (plan.begins, plan.prefills, plan.limit(1)) == ((0, 1, 3, 4), 1, 5_100_000)


def test_one_that_answers_about_images_needs_its_encoder_in_parts_that_are_short_enough() -> None:
    image = Bucket(64, True, (20 * MS, 34 * MS), image=True)
    asked = assistant(decode(1, 5), image, prefill(2, 3), prefill(32, 30))
    answer = judge_generator(asked, [DETECT, DEPTH])
    assert isinstance(answer.reason, GeneratorRefused) and answer.reason.missing == "encode"
    said = words(answer.reason)
    assert (
        "no encode is short enough; the closest is encode 64 with parts of up to 34.00 ms" in said
    )
    finer = next(each for each in answer.reason.counterfactuals if each.change == "parts")
    assert finer.value == 3
    cut = replace(image, parts_ns=(18 * MS,) * 3)
    answer = judge_generator(replace(asked, buckets=(decode(1, 5), cut, prefill(2, 3))), [DETECT])
    assert admitted(answer) == ["prefill 2", "encode 64", "decode 1"]
    assert answer.plan(0).begins == (0, 1, 4) and answer.plan(0).prefills == 2
    assert answer.menu().chunks("") == (2,)
    assert answer.step().segments_ns[0] == 18 * MS


def test_precisions_are_buckets_of_their_own() -> None:
    asked = assistant(
        prefill(2, 13), decode(1, 40, precision="fp32"), decode(1, 10, precision="int4")
    )
    answer = judge_generator(asked, [DETECT, DEPTH])
    assert admitted(answer) == ["prefill 2", "decode 1 (int4)"]


def test_the_switch_counts_for_every_part() -> None:
    asked = assistant(prefill(2, 1), decode(1, 32.9))
    assert judge_generator(asked, [DETECT, DEPTH], switch_ns=40_000).admitted
    assert not judge_generator(asked, [DETECT, DEPTH], switch_ns=60_000).admitted


def test_a_bucket_that_is_too_long_would_pass_in_parts_that_are_proven_to() -> None:
    asked = assistant(prefill(2, 5), prefill(32, 100), decode(1, 10))
    answer = judge_generator(asked, [DETECT, DEPTH], switch_ns=100_000)
    finer = next(each for each in answer.reason.counterfactuals if each.change == "parts")
    parts = int(finer.value)

    def passes(parts: int) -> bool:
        cut = prefill(32, *(-(-100 * MS // parts) / MS,) * parts)
        again = assistant(prefill(2, 5), cut, decode(1, 10))
        return "prefill 32" in admitted(judge_generator(again, [DETECT, DEPTH], switch_ns=100_000))

    assert parts == 4 and passes(4) and not passes(3)


def test_parts_that_are_uneven_are_advised_to_become_more_and_not_fewer() -> None:
    asked = assistant(prefill(2, 5), prefill(8, 40, 2, 2, 2), decode(1, 10))
    answer = judge_generator(asked, [DETECT, DEPTH])
    finer = next(each for each in answer.reason.counterfactuals if each.change == "parts")
    assert finer.value == 5 and finer.sentence.endswith("in 5 parts of at most 9.20 ms each")


def test_a_later_deadline_of_the_task_that_decides_would_admit_it() -> None:
    asked = assistant(prefill(2, 5), decode(1, 40))
    answer = judge_generator(asked, [DETECT, DEPTH])
    assert isinstance(answer.reason, GeneratorRefused) and answer.reason.missing == "decode"
    change = next(each for each in answer.reason.counterfactuals if each.change == "deadline_ms")
    assert change.task == "detect" and change.value == 52.0
    later = replace(DETECT, deadline_ns=round(change.value * MS))
    assert judge_generator(asked, [later, DEPTH]).admitted
    sooner = replace(DETECT, deadline_ns=round(change.value * MS) - 100_000)
    assert not judge_generator(asked, [sooner, DEPTH]).admitted


def test_where_the_lane_fails_by_itself_cutting_another_task_finer_may_admit_it() -> None:
    soon = replace(DETECT, deadline_ns=24 * MS)
    asked = assistant(prefill(2, 5), prefill(32, 90), decode(1, 6), decode(4, 90))
    answer = judge_generator(asked, [soon, DEPTH])
    assert isinstance(answer.reason, GeneratorRefused)
    assert answer.reason.borne.longest_ns == 0
    assert words(answer.reason).endswith("does not hold its deadlines even without best effort")
    change = next(each for each in answer.reason.counterfactuals if each.change == "segments")
    assert change.task == "depth"
    cut = DEPTH.cut(int(change.value))
    assert judge_generator(asked, [soon, cut]).admitted


@given(task_sets(most=4), st.integers(2, 4))
def test_how_promised_tasks_are_cut_changes_nothing_where_the_lane_holds(
    tasks: list[AnalysisTask], parts: int
) -> None:
    whole = [replace(task, segments_ns=(sum(task.segments_ns),)) for task in tasks]
    assume(all(task.work_ns >= parts for task in whole) and is_schedulable(whole))
    finer = [
        replace(task, segments_ns=(task.work_ns - parts + 1, *(1,) * (parts - 1))) for task in whole
    ]
    one, other = longest_step(whole), longest_step(finer)
    assert one is not None and other is not None and one.longest_ns == other.longest_ns


def test_a_cache_beyond_its_room_is_refused_with_what_would_fit() -> None:
    room = 2 * SMALL.slot_bytes + 5
    asked = assistant(prefill(2, 5), decode(1, 6), room_bytes=room)
    reason = judge_generator(asked, [DETECT]).reason
    assert isinstance(reason, CacheTooLarge)
    assert (reason.slots_that_fit, reason.length_that_fits) == (2, 512)
    for cache in (replace(SMALL, slots=2), replace(SMALL, max_len=512)):
        assert judge_generator(replace(asked, cache=cache), [DETECT]).admitted
    for cache in (replace(SMALL, slots=3), replace(SMALL, max_len=513)):
        assert not judge_generator(replace(asked, cache=cache), [DETECT]).admitted


def test_a_lane_without_deadlines_takes_every_bucket() -> None:
    caption = AnalysisTask("caption", (90,), 100, 100, 0, Criticality.BEST_EFFORT)
    answer = judge_generator(assistant(prefill(32, 900), decode(1, 500)), [caption])
    assert isinstance(answer.reason, GeneratorAdmitted) and answer.reason.borne is None
    assert answer.reason.tested().relation == ""


def test_the_rate_is_what_is_left_of_the_lane_for_the_fastest_decode() -> None:
    asked = assistant(prefill(2, 5), decode(1, 10), decode(4, 16), decode(8, 30))
    reason = judge_generator(asked, [DETECT, DEPTH]).reason
    assert isinstance(reason, GeneratorAdmitted)
    spare = 1.0 - 12 / 50 - 30 / 100
    # Of the largest decode, only as many answers as there are slots can be had.
    assert reason.tokens_per_s == pytest.approx(spare * 4 / 16e-3)


def test_a_promise_is_a_task_of_low_criticality_that_decodes_for_all_answers() -> None:
    asked = assistant(
        prefill(2, 5), decode(1, 5, 5), decode(4, 10, 6), decode(8, 30), tokens_per_s=8.0
    )
    promise = asked.promise()
    assert promise is not None
    assert promise.segments_ns == (10 * MS, 6 * MS) and promise.criticality is Criticality.LOW
    assert promise.period_ns == promise.deadline_ns == 125 * MS
    assert replace(asked, tokens_per_s=0.0).promise() is None
    assert replace(asked, cache=replace(SMALL, slots=9)).promise() is None


# -- held to the simulator ------------------------------------------------------------------------


@st.composite
def generators(draw: st.DrawFn, around: int) -> Generator:
    """Buckets of lengths around that of the longest step."""
    part = st.integers(1, max(2, 2 * around))
    parts = st.lists(part, min_size=1, max_size=3)
    buckets = [Bucket(2**at, True, tuple(draw(parts))) for at in range(draw(st.integers(1, 3)))]
    buckets += [Bucket(2**at, False, tuple(draw(parts))) for at in range(draw(st.integers(1, 3)))]
    return Generator("assistant", "main", tuple(buckets), KvShape(2, 64, 1))


def saturated(
    answer: int, buckets: int, seed: int, steps: int = 150
) -> Callable[[int, int, int], object]:
    chance = np.random.default_rng(seed)
    left = [steps]

    def outcome(job: int, step: int, now_ns: int) -> object:
        if job != answer:
            return None
        left[0] -= 1
        return int(chance.integers(0, buckets)) if left[0] > 0 else None

    return outcome


@given(task_sets(most=3), st.integers(0, 2), st.integers(0, 2**32), st.data())
def test_with_the_buckets_that_are_admitted_no_task_is_late_and_each_other_breaks_one(
    tasks: list[AnalysisTask], switch: int, seed: int, data: st.DataObject
) -> None:
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    asked = data.draw(generators(found.longest_ns))
    answer = judge_generator(asked, tasks, switch)
    event(type(answer.reason).__name__)
    for bucket in asked.buckets:
        verdict = check_lane([*tasks, bucket.task("step")], switch_ns=switch)
        fits = next(each.fits for each in answer.reason.buckets if each.name == bucket.name)  # type: ignore[union-attr]
        assert fits == verdict.schedulable
    if not answer.admitted:
        return
    plan = answer.plan(switch)
    bare = tuple(part - switch for part in plan.budgets_ns)
    once = np.zeros(1, np.int64)
    jobs = sporadic_arrivals(tasks, 400, np.random.default_rng(seed)).beside(
        Workload.of(once, once, once, [bare]), len(tasks)
    )
    (own,) = np.nonzero(jobs.task == len(tasks))[0]
    step = AnalysisTask("assistant", bare, 1, 1, 0, Criticality.BEST_EFFORT)
    outcome = simulate(
        [*tasks, step],
        jobs,
        switch_ns=switch,
        plans=[*(plan_of(task, switch) for task in tasks), plan],
        outcome_of=saturated(int(own), len(answer.buckets), seed),
    )
    assert not (outcome.missed | outcome.skipped)[jobs.task < len(tasks)].any()


@given(task_sets(most=3), st.integers(0, 1), st.data())
def test_every_change_that_is_advised_admits_what_it_says(
    tasks: list[AnalysisTask], switch: int, data: st.DataObject
) -> None:
    tasks = [task.scaled(lambda part: part * MS) for task in tasks]
    tasks = [
        replace(
            task,
            period_ns=task.period_ns * MS,
            deadline_ns=task.deadline_ns * MS,
            jitter_ns=task.jitter_ns * MS,
        )
        for task in tasks
    ]
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    asked = data.draw(generators(max(1, found.longest_ns)))
    answer = judge_generator(asked, tasks, switch)
    for change in answer.reason.counterfactuals:  # type: ignore[union-attr]
        event(change.change)
        if change.change == "parts":
            name = next(b.name for b in asked.buckets if change.sentence.startswith(f"{b.name} of"))
            bucket = next(each for each in asked.buckets if each.name == name)
            parts = int(change.value)
            cut = replace(bucket, parts_ns=(-(-sum(bucket.parts_ns) // parts),) * parts)
            others = tuple(cut if each is bucket else each for each in asked.buckets)
            again = judge_generator(replace(asked, buckets=others), tasks, switch)
            assert next(each.fits for each in again.reason.buckets if each.name == name)  # type: ignore[union-attr]
        elif change.change == "deadline_ms":
            later = [
                replace(task, deadline_ns=round(change.value * MS))
                if task.name == change.task
                else task
                for task in tasks
            ]
            assert judge_generator(asked, later, switch).admitted
