"""What the soak holds against a run: windows, accounts, slopes and goals."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rclpy
from aegis_ros.msg import ModelTask, OrchestratorStatus, Rationale, TaskStatus
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak.faults import Kind, counts_for, read_counts, schedule
from benchmarks.soak.judging import Goal, Judged, judge
from benchmarks.soak.ledger import (
    HEARD,
    MALFORMED,
    SENT,
    STOPPED,
    USUAL,
    WRONG_STAMP,
    Contract,
    Count,
    account,
    at_risk,
    punctuality,
)
from benchmarks.soak.listener import Listener
from benchmarks.soak.lives import Gap, KilledLives, killed_lives
from benchmarks.soak.own_threads import claim_class, keep_off
from benchmarks.soak.ports import open_ports
from benchmarks.soak.record import Counted, Record, Run, read_run
from benchmarks.soak.recovering import Recovery
from benchmarks.soak.trends import Sample, trend
from benchmarks.soak.windows import Window, in_windows, near_stops

MS = 1_000_000
S = 1_000_000_000
T0 = 1_790_000_000 * S
EYE = Contract("eye", 50.0, True)


# -- the schedule ------------------------------------------------------------------------------


def test_an_hour_has_the_faults_that_were_promised() -> None:
    counts = counts_for(60.0)
    assert counts[Kind.ENGINE_KILL] == 200
    assert counts[Kind.NODE_KILL] == 50
    assert counts[Kind.DISK_FULL] == 20
    assert all(number >= 1 for number in counts_for(0.5).values())


@given(st.integers(0, 1000), st.floats(1.0, 120.0))
def test_a_schedule_holds_every_fault_in_order_and_is_the_same_for_a_seed(
    seed: int, minutes: float
) -> None:
    counts = counts_for(minutes)
    planned = schedule(seed, counts, minutes)
    assert Counter(each.kind for each in planned) == counts
    assert [each.at_s for each in planned] == sorted(each.at_s for each in planned)
    assert planned[-1].at_s <= minutes * 60.0
    assert planned == schedule(seed, counts, minutes)


def test_node_and_engine_each_have_a_long_life() -> None:
    planned = schedule(3, counts_for(65.0), 65.0)
    first_node = min(each.at_s for each in planned if each.kind.startswith("node"))
    engine = [kind for kind in Kind if kind.startswith("engine")]
    last_engine = max(each.at_s for each in planned if each.kind in engine)
    assert first_node > 50 * 60
    assert first_node - last_engine > 25 * 60


def test_counts_are_read_by_name() -> None:
    counts = counts_for(60.0)
    read = read_counts(["node_kill=3", "disk_full=0"], counts)
    assert (read[Kind.NODE_KILL], read[Kind.DISK_FULL]) == (3, 0)
    assert read[Kind.ENGINE_KILL] == counts[Kind.ENGINE_KILL]
    for wrong in ("node_kill", "nothing=1", "node_kill=-1"):
        with pytest.raises(ValueError, match=f"--faults {wrong}: expected KIND=NUMBER"):
            read_counts([wrong], counts)


# -- windows and punctuality -------------------------------------------------------------------


def _window(begin_s: float, end_s: float, *, good: bool = True) -> Window:
    begin, end = T0 + round(begin_s * S), T0 + round(end_s * S)
    return Window(Kind.ENGINE_KILL, begin, end, begin + (end - begin) // 2, good=good)


def _sent(*rows: tuple[int, float], kind: int = USUAL, topic: int = 0) -> npt.NDArray[np.void]:
    return np.array([(topic, kind, seq, T0 + round(at * S)) for seq, at in rows], SENT)


def _heard(*rows: tuple[int, float, bool], task: int = 0) -> npt.NDArray[np.void]:
    made = [
        (task, met, seq, T0 + round(at * S), T0 + round(at * S) + 20 * MS, 20.0, 5.0)
        for seq, at, met in rows
    ]
    return np.array(made, HEARD)


def test_a_frame_whose_deadline_reaches_into_a_window_is_inside_it() -> None:
    begin = np.array([T0 + each * MS for each in (900, 960, 1500, 2000, 2001)])
    found = in_windows(begin, 50 * MS, [_window(1.0, 2.0)])
    assert found.tolist() == [False, True, True, True, False]


def test_lateness_counts_outside_of_windows_only() -> None:
    sent = np.concatenate(
        [
            _sent((0, 0.1), (1, 0.2), (2, 0.3), (3, 1.5), (4, 1.6), (5, 3.0)),
            _sent((6, 0.15), kind=WRONG_STAMP),
            _sent((7, 0.16), kind=MALFORMED),
            _sent((8, 99.0)),
        ]
    )
    heard = _heard((0, 0.1, True), (1, 0.2, False), (3, 1.5, False), (5, 3.0, True))
    found = punctuality([EYE], sent, heard, [_window(1.0, 2.0)], until_ns=T0 + 10 * S)["eye"]
    assert (found.frames, found.outside) == (6, 4)
    assert (found.late, found.without) == (1, 1)
    assert (found.inside_late, found.inside_without) == (1, 1)
    assert [at - T0 for at, _ in found.bad] == [200 * MS, 300 * MS]
    assert len(found.response_ms) == 3


def test_what_is_near_a_standstill_of_the_machine_is_told_apart() -> None:
    sent = _sent((0, 0.1), (1, 2.9), (2, 3.2), (3, 4.2))
    stopped = np.array([(T0 + 90 * MS, MS), (T0 + 3 * S, 50 * MS)], STOPPED)
    heard = _heard((1, 2.9, False), (3, 4.2, False))
    eye = Contract("eye", 150.0, True, repaid=10.0)
    found = punctuality([eye], sent, heard, [], until_ns=T0 + 9 * S, stopped=stopped)["eye"]
    assert (found.late, found.late_stopped) == (2, 1)  # the last one came long after it was repaid
    assert (found.without, found.without_stopped) == (2, 2)  # by its own time; while it was repaid


def test_a_long_standstill_outlasts_the_short_one_after_it() -> None:
    stopped = np.array([(T0, 100 * MS), (T0 + 200 * MS, MS)], STOPPED)
    at = np.array([T0 + each * MS for each in (500, 1200)])
    assert near_stops(at, 50 * MS, stopped, repaid=10.0).tolist() == [True, False]


def test_a_window_says_what_a_sooner_end_of_it_would_have_left_outside() -> None:
    settled = replace(_window(1.0, 3.0), first_ns=T0 + 2 * S)
    assert settled.first == replace(settled, end_ns=T0 + 2 * S)
    assert _window(1.0, 3.0).first == _window(1.0, 3.0)
    run = _run()
    heard = run.heard.copy()
    heard["met"][50] = 0
    sent_ns = int(run.sent["sent_ns"][run.sent["seq"] == heard["seq"][50]][0])
    window = Window(Kind.NODE_KILL, sent_ns - 2 * S, sent_ns + S, sent_ns - S, first_ns=sent_ns - S)
    judged = judge(_run(heard=heard, windows=[*run.windows, window]), 60.0)
    assert (judged.tasks["eye"].late, judged.sooner["eye"].late) == (0, 1)


# -- what the node tells -----------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    rclpy.init()
    try:
        yield Listener({"eye": 50.0}, Record(tmp_path))
    finally:
        rclpy.try_shutdown()


def test_frames_that_never_came_are_told_apart_from_those_that_gave_no_result(
    listener: Listener,
) -> None:
    listener.status = OrchestratorStatus(tasks=[TaskStatus(spec=ModelTask(name="eye"))])
    lost, skipped, informed = (
        Rationale.DECISION_LOST,
        Rationale.DECISION_SKIPPED,
        Rationale.DECISION_INFORMED,
    )
    for kind, decision, count in (
        ("frames_lost", lost, 2),
        ("frames_overtaken", lost, 3),
        ("jobs_lost", lost, 5),
        ("newer_frame", skipped, 0),  # for one
        ("cannot_subscribe", lost, 7),
        ("overran", informed, 11),
    ):
        message = Rationale(task="eye", kind=kind, decision=decision, count=count)
        listener._decided(message)
    counts, _ = listener.counts()
    assert (counts["eye"].transport, counts["eye"].told) == (5, 6)


# -- when all is good again --------------------------------------------------------------------

PERIODS = {"eye": 100 * MS, "ear": 200 * MS}


def _follow(recovery: Recovery, name: str, *received_ms: int, good: bool = True) -> None:
    for each in received_ms:
        recovery.note(name, T0 + each * MS, T0 + (each + 5) * MS, good=good)


def test_all_is_good_with_the_first_result_in_time_of_every_task() -> None:
    recovery = Recovery(PERIODS, T0 + 500 * MS)
    _follow(recovery, "eye", 400)  # received before the fault was over
    _follow(recovery, "ear", 600, good=False)
    assert not recovery.all_first()
    _follow(recovery, "eye", 700)
    _follow(recovery, "ear", 800)
    assert recovery.all_first()
    assert (recovery.first_ns("eye"), recovery.first_ns("ear")) == (T0 + 705 * MS, T0 + 805 * MS)


@pytest.mark.parametrize(
    ("eye", "late", "since_ms"),
    [
        (range(0, 2000, 100), (), 5),
        ((0, 100, 200, *range(400, 2000, 100)), (), 405),  # the frame of 300 ms had no result
        (range(0, 2000, 100), (150,), 205),
    ],
)
def test_all_is_steady_since_the_last_frame_without_a_result_in_time(
    eye: range | tuple[int, ...], late: tuple[int, ...], since_ms: int
) -> None:
    recovery = Recovery(PERIODS, T0)
    _follow(recovery, "ear", *range(0, 2000, 200))
    for each in sorted({*eye, *late}):
        _follow(recovery, "eye", each, good=each not in late)
    now = T0 + 2000 * MS
    assert recovery.steady_ns(now, S) == T0 + since_ms * MS
    assert recovery.steady_ns(now, 1999 * MS) == 0


def test_nothing_is_steady_once_a_task_has_no_more_results() -> None:
    recovery = Recovery(PERIODS, T0)
    _follow(recovery, "eye", *range(0, 5000, 100))
    assert recovery.steady_ns(T0 + 5000 * MS, S) == 0  # of the other there was never one
    _follow(recovery, "ear", 0, 200, 400)
    assert recovery.steady_ns(T0 + 5000 * MS, S) == 0


def test_results_of_other_tasks_are_not_taken_for_ones_own() -> None:
    contracts = [EYE, Contract("ear", 50.0, False)]
    sent = np.concatenate([_sent((0, 0.1)), _sent((1, 0.2), topic=1)])
    found = punctuality(contracts, sent, _heard((1, 0.2, True), task=1), [], until_ns=T0 + S)
    assert (found["eye"].without, found["ear"].without) == (1, 0)


# -- accounts ----------------------------------------------------------------------------------

_FAIR = Count(received=98, results=90, skipped=5, lost=2, decimated=1, told=7, transport=2)


def test_an_account_without_a_gap_misses_nothing() -> None:
    assert account(100, 90, _FAIR).missing == 0


@pytest.mark.parametrize(
    ("sent", "heard", "change", "where"),
    [
        (101, 90, {}, "unseen"),
        (100, 89, {}, "unheard"),
        (100, 90, {"told": 6}, "untold"),
        (101, 90, {"received": 99}, "unbalanced"),
    ],
)
def test_each_gap_of_an_account_is_found(
    sent: int, heard: int, change: dict[str, int], where: str
) -> None:
    found = account(sent, heard, replace(_FAIR, **change))
    assert getattr(found, where) == 1
    assert found.missing == 1


def test_frames_that_went_with_a_killed_driver_or_met_another_may_be_gone() -> None:
    second = 1_000_000
    sent = _sent((0, 0.1), (1, 0.2), (second, 1.0), (second + 1, 1.1))
    results = np.array([0, second], np.uint32)
    assert at_risk(sent, results) == 1
    assert at_risk(sent, np.array([0, 1, second], np.uint32)) == 0
    met = np.concatenate([sent, _sent((4_000_000_000, 1.099), kind=MALFORMED)])
    assert at_risk(met, results) == 2
    assert account(102, 90, _FAIR, 2).missing == 0
    assert account(102, 90, _FAIR, 2).on_the_way == 2
    assert account(103, 90, _FAIR, 2).unseen == 1
    assert account(99, 90, _FAIR, 2).unseen == -1


def test_what_became_of_frames_of_the_warm_up_is_not_held_against_a_run() -> None:
    before = Count(received=3, results=1, skipped=1, lost=0, decimated=0, told=1, transport=0)
    then = Count(received=5, results=3, skipped=1, lost=0, decimated=0, told=1, transport=0)
    early = [(seq, -20.0 + seq / 1000) for seq in range(300, 310)]  # seven of them left no trace
    counts = [
        Counted(0, T0 - 5 * S, True, {"eye": before}, 0),
        Counted(0, T0 + 3599 * S, True, {"eye": then}, 0),
    ]
    sent = _sent(*early, (0, 10.0), (1, 20.0))
    heard = _heard((300, -20.0, True), (0, 10.0, True), (1, 20.0, True))
    judged = judge(_run(sent=sent, heard=heard, counts=counts, lives=[T0 - 30 * S]), 60.0)
    assert judged.accounts["eye"].missing == judged.accounts["eye"].on_the_way == 0
    assert (judged.accounts["eye"].sent, judged.counts) == (2, (1, 1))


# -- slopes ------------------------------------------------------------------------------------


def _samples(minutes: float, mib_h: float, fds: tuple[int, int] = (40, 40)) -> list[Sample]:
    times_s = np.arange(0.0, minutes * 60.0, 5.0)
    return [
        Sample(
            "node",
            7,
            T0 + round(at * S),
            # What it takes in the first ten minutes says nothing.
            100.0 + min(at, 600.0) / 60.0 + mib_h * at / 3600.0,
            80.0,
            fds[0] if at < minutes * 30.0 else fds[1],
            17,
            50.0 + 2.0 * at / 3600.0,
        )
        for at in times_s
    ]


def test_a_slope_leaves_the_first_ten_minutes_out() -> None:
    found = trend(_samples(50.0, 3.0))
    assert found.skipped_s == 600.0
    assert found.slope_mib_h == pytest.approx(3.0, abs=0.01)
    assert found.half_mib_h == pytest.approx(3.0, abs=0.01)
    assert found.anon_mib_h == pytest.approx(2.0, abs=0.01)
    assert (found.fds, found.threads) == (0.0, 0.0)


def test_descriptors_that_grow_are_found() -> None:
    assert trend(_samples(50.0, 0.0, fds=(40, 43))).fds == 3.0


def test_a_short_life_says_nothing_about_an_hour() -> None:
    found = trend(_samples(5.0, 30.0))
    assert (found.slope_mib_h, found.fds, found.threads) == (None, None, None)


# -- goals -------------------------------------------------------------------------------------


def _run(**changes: object) -> Run:
    """Return a run of an hour without a fault of ours."""
    frames = [(seq, seq * 36.0) for seq in range(100)]
    told = Count(received=100, results=99, skipped=1, lost=0, decimated=0, told=1, transport=0)
    samples = [*_samples(55.0, 0.1)]
    samples += [replace(each, part="engine", pid=8) for each in samples]
    run = Run(
        contracts=[EYE],
        asked={Kind.ENGINE_KILL: 1},
        begin_ns=T0,
        end_ns=T0 + 3600 * S,
        lives=[T0 - S],
        counts=[Counted(0, T0 + 3599 * S, True, {"eye": told}, 0)],
        windows=[_window(71.9, 73.0)],
        samples=samples,
        sent=_sent(*frames),
        heard=_heard(*((seq, at, True) for seq, at in frames if seq != 2)),
        status_gap_ms=210.0,
        ended=True,
    )
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def _missed(judged: Judged) -> list[str]:
    return [goal.name for goal in judged.goals if not goal.met]


def test_a_run_that_reaches_all_goals_misses_none() -> None:
    judged = judge(_run(), 60.0)
    assert _missed(judged) == []
    assert judged.counts == (1, 1)


@pytest.mark.parametrize(
    ("changes", "goal"),
    [
        ({"end_ns": T0 + 3000 * S}, "at least 60 minutes"),
        ({"asked": {Kind.ENGINE_KILL: 2}}, "all faults injected"),
        ({"windows": [_window(71.9, 73.0, good=False)]}, "all is good again after each fault"),
        ({"remarks": ["the node ended"]}, "all is good again after each fault"),
        (
            {"status_gap_ms": 1200.0},
            "the node publishes its status every 1 s, whatever else it does",
        ),
        ({"samples": _samples(55.0, 2.0)}, "memory of the node grows by less than 1 MiB an hour"),
        (
            {"samples": _samples(55.0, 0.0, fds=(40, 41))},
            "file descriptors and threads of the node do not grow",
        ),
    ],
)
def test_a_goal_that_is_missed_is_named(changes: dict[str, object], goal: str) -> None:
    assert goal in _missed(judge(_run(**changes), 60.0))


def test_a_late_result_outside_of_all_windows_misses_a_goal() -> None:
    run = _run()
    heard = run.heard.copy()
    heard["met"][50] = 0
    (missed,) = _missed(judge(_run(heard=heard), 60.0))
    assert missed.startswith("no late result of high criticality")


def test_frames_of_the_time_before_a_run_are_not_held_against_it() -> None:
    early = np.concatenate([_sent((300, -5.0)), _run().sent])
    judged = judge(_run(sent=early), 60.0)
    assert judged.tasks["eye"].without == judge(_run(), 60.0).tasks["eye"].without
    assert judged.tasks["eye"].frames == judge(_run(), 60.0).tasks["eye"].frames


def test_a_frame_that_nobody_knows_of_misses_goals() -> None:
    extra = np.concatenate([_run().sent, _sent((200, 100.0))])
    missed = _missed(judge(_run(sent=extra), 60.0))
    assert "every frame is accounted for" in missed
    assert any(each.startswith("no frame of high criticality without") for each in missed)


def test_reasons_that_a_run_was_cut_off_before_are_no_frames_that_nobody_knows() -> None:
    name = "every frame is accounted for"
    (counted,) = _run().counts
    folded = {"eye": replace(counted.tasks["eye"], told=0)}

    def goal(**changes: object) -> Goal:
        counts = [replace(counted, tasks=folded, **changes)]
        return next(each for each in judge(_run(counts=counts), 60.0).goals if each.name == name)

    assert goal(waited=True).met is False
    cut_off = goal(waited=False)
    assert cut_off.met is None
    assert cut_off.found.startswith("0 of 100 are not")
    assert "of 1 the reason was still to be told" in cut_off.found
    assert goal(waited=False, in_flight=1).met is False


def test_frames_of_lives_that_were_killed_are_explained_by_windows_or_reasons() -> None:
    life = T0 + 3599 * S + S // 2
    sent = np.concatenate([_run().sent, _sent((200, 3599.6), (201, 3599.7), (202, 3599.9))])
    heard = np.concatenate([_run().heard, _heard((202, 3599.9, True))])
    windows = [_window(71.9, 73.0), _window(3599.5, 3599.65)]
    lives = [T0 - S, life]
    unexplained = judge(_run(sent=sent, heard=heard, windows=windows, lives=lives), 60.0).killed
    assert (unexplained.sent, unexplained.heard) == (3, 1)
    assert (unexplained.inside, unexplained.unexplained) == (1, 1)
    said = Counted(1, life + S, False, {"eye": Count(2, 1, 1, 0, 0, 1, 0)}, 0)
    counts = [*_run().counts, said]
    run = _run(sent=sent, heard=heard, windows=windows, lives=lives, counts=counts)
    assert judge(run, 60.0).killed.unexplained == 0


def _lives(
    sent: npt.NDArray[np.void],
    counts: list[Counted],
    *,
    lives: tuple[float, ...] = (0.0, 100.0, 200.0),
) -> KilledLives:
    """Return the account of lives, each killed a tenth of a second before the next one began."""
    kills = [
        Window(Kind.NODE_KILL, T0 + round((at - 0.1) * S), T0 + round((at + 3) * S), T0)
        for at in lives[1:]
    ]
    run = Run(
        contracts=[EYE],
        end_ns=T0 + 300 * S,
        lives=[T0 + round(at * S) for at in lives],
        windows=kills,
        sent=sent,
        counts=[Counted(0, T0 + 90 * S, True, {}, 0), *counts],
    )
    return killed_lives(run)


def _counted(life: int, at_s: float, skipped: int, told: int = 0) -> Counted:
    count = Count(0, 0, skipped, 0, 0, told, 0)
    at_ns = T0 + round(at_s * S)
    return Counted(life, at_ns, False, {"eye": count}, 0, at_ns - 150 * MS)


def test_what_one_life_told_explains_nothing_of_another() -> None:
    sent = _sent((0, 120.0), (1, 121.0), (2, 250.0))
    found = _lives(sent, [_counted(1, 199.9, skipped=0), _counted(2, 299.0, skipped=3)])
    assert (found.sent, found.dropped, found.unexplained) == (3, 1, 2)
    assert found.gaps == (Gap(1, "eye", 2),)


def test_frames_that_were_due_at_a_kill_went_with_the_node() -> None:
    sent = _sent((0, 199.86), (1, 199.89), (2, 199.95), (3, 201.0))
    found = _lives(sent, [_counted(1, 199.9, skipped=0)])
    assert (found.with_node, found.inside, found.unexplained) == (2, 2, 0)


def test_only_what_the_last_status_cannot_hold_is_unreported() -> None:
    early, late = (0, 199.5), (1, 199.8)  # the status is of 199.75
    found = _lives(_sent(early, late), [_counted(1, 199.9, skipped=0)])
    assert (found.unreported, found.unexplained) == (1, 1)
    assert _lives(_sent(late), []).unexplained == 1  # a node that never said anything
    assert _lives(_sent((2, 299.9)), [_counted(2, 299.95, skipped=0)]).unexplained == 1  # no kill


def test_a_decision_after_the_last_status_explains_a_frame() -> None:
    found = _lives(_sent((0, 150.0)), [_counted(1, 199.9, skipped=0, told=1)])
    assert (found.dropped, found.unexplained) == (1, 0)


def test_the_end_of_the_first_life_after_its_last_exact_count_is_accounted_for() -> None:
    before = Counted(0, T0 + 90 * S, True, {"eye": Count(0, 0, 5, 0, 0, 5, 0)}, 0)
    sent = _sent((0, 80.0), (1, 95.0), (2, 96.0))
    found = _lives(sent, [before, _counted(0, 99.9, skipped=6)])
    assert (found.sent, found.dropped, found.unexplained) == (2, 1, 1)


@given(
    st.lists(st.floats(90.01, 299.9), max_size=30),
    st.sets(st.integers(0, 29)),
    st.integers(0, 9),
)
def test_every_frame_of_killed_lives_is_counted_once(
    at_s: list[float], answered: set[int], skipped: int
) -> None:
    sent = _sent(*enumerate(at_s))
    run = Run(
        contracts=[EYE],
        end_ns=T0 + 300 * S,
        lives=[T0, T0 + 100 * S, T0 + 200 * S],
        windows=[_window(99.9, 103.0), Window(Kind.NODE_KILL, T0 + 199 * S, T0 + 203 * S, T0)],
        sent=sent,
        heard=_heard(*((seq, at, True) for seq, at in enumerate(at_s) if seq in answered)),
        counts=[Counted(0, T0 + 90 * S, True, {}, 0), _counted(1, 199.0, skipped)],
    )
    found = killed_lives(run)
    parts = (found.heard, found.with_node, found.inside, found.dropped, found.unreported)
    assert found.sent == len(at_s) == sum(parts) + found.unexplained


def test_a_run_that_was_never_counted_claims_nothing() -> None:
    judged = judge(_run(counts=[]), 60.0)
    (goal,) = [each for each in judged.goals if each.name == "every frame is accounted for"]
    assert goal.met is None


def test_two_engines_with_the_same_number_are_two_lives() -> None:
    first = replace(_samples(1.0, 0.0)[0], part="engine", pid=8)
    long = [
        replace(each, part="engine", pid=9, at_ns=each.at_ns + 60 * S)
        for each in _samples(20.0, 0.5)
    ]
    again = replace(first, at_ns=T0 + 3000 * S)
    found = judge(_run(samples=[first, *long, again]), 60.0).trends["engine"]
    assert (found.pid, found.life_s) == (9, pytest.approx(1195.0))


# -- files -------------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_is_read_as_far_as_it_got(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.note("run", contracts=[asdict(EYE)], asked={"engine_kill": 5}, seed=1)
    record.note("begin", at_ns=T0)
    record.note("life", pid=5, at_ns=T0)
    window = _window(1.0, 2.0)
    record.window(window)
    counted = Counted(0, T0 + 3 * S, True, {"eye": _FAIR}, 0)
    record.counted(counted)
    record.note("status_gap", gap_ms=210.0, at_ns=T0 + 2 * S)
    record.note("status_gap", gap_ms=350.0, at_ns=T0 + 3 * S)
    record.sample(_samples(1.0, 0.0)[0])
    record.heard(_heard((0, 0.1, True)).tobytes())
    sent = tmp_path / "elsewhere.bin"
    sent.write_bytes(_sent((0, 0.1)).tobytes())
    record.keep(sent)
    with sent.open("ab") as file:
        file.write(_sent((1, 0.2)).tobytes() + b"part of a row")
    record.keep(sent)
    record.close()
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write(json.dumps({"event": "window"})[:-4])
    run = read_run(tmp_path)
    assert run.contracts == [EYE] and run.asked == {Kind.ENGINE_KILL: 5}
    assert run.status_gap_ms == 350.0
    assert run.windows == [window] and run.counts == [counted]
    assert run.facts == {"seed": 1}
    assert (run.begin_ns, run.end_ns, run.lives) == (T0, T0 + 3 * S, [T0])
    assert run.sent["seq"].tolist() == [0, 1] and run.heard["seq"].tolist() == [0]
    assert len(run.samples) == 1 and not run.ended


def test_the_ports_of_a_process_are_written_down_removed_ones_as_well() -> None:
    name = Path(f"/dev/shm/fastrtps_port_of_{os.getpid()}")
    lock = name.with_name(f"{name.name}_el")
    with name.open("w+b") as file, lock.open("wb"):
        inode = os.fstat(file.fileno()).st_ino
        file.write(bytes(4096))
        file.flush()
        with mmap.mmap(file.fileno(), 4096):
            name.unlink()
            lock.unlink()
            found = open_ports(os.getpid())
    assert f"{inode} {name} (deleted)" in found["mapped"]
    assert f"{lock} (deleted)" in found["locks"]
    assert open_ports(0) == {"mapped": [], "locks": []}


# -- threads of our own ------------------------------------------------------------------------


@pytest.fixture
def elder() -> Iterator[int]:
    """Return the number of a thread that was there before."""
    ended, began = threading.Event(), threading.Event()

    def run() -> None:
        began.set()
        ended.wait()

    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    assert thread.native_id is not None
    yield thread.native_id
    ended.set()
    thread.join()


def test_threads_that_were_there_before_leave_the_core_of_the_lane_too(
    elder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1, 2})
    monkeypatch.setattr(os, "sched_setaffinity", moved.__setitem__)
    keep_off(1)
    assert moved[elder] == moved[os.getpid()] == {0, 2}


def test_a_machine_of_one_core_keeps_its_threads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {1})
    monkeypatch.setattr(os, "sched_setaffinity", moved.__setitem__)
    keep_off(1)
    assert not moved


@pytest.mark.parametrize(("priority", "claimed"), [(70, (os.SCHED_RR, 70)), (0, None)])
def test_a_camera_claims_its_class_for_all_of_its_threads(
    elder: int, monkeypatch: pytest.MonkeyPatch, priority: int, claimed: tuple[int, int] | None
) -> None:
    given: dict[int, tuple[int, int]] = {}

    def give(thread: int, policy: int, wanted: os.sched_param) -> None:
        given[thread] = policy, wanted.sched_priority

    monkeypatch.setattr(os, "sched_setscheduler", give)
    claim_class(priority)
    assert (given.get(elder), given.get(os.getpid())) == (claimed, claimed)


def test_a_thread_that_ends_meanwhile_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(thread: int, policy: int, wanted: os.sched_param) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setscheduler", gone)
    claim_class(70)
