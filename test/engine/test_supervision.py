"""Engines that are killed, stopped, stuck or that cannot start: all comes back, all is reported."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from aegis_ros.engine import EngineClient
from aegis_ros.engine.client import supervisor, watch
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import SegmentPlan
from aegis_ros.spec import DeviceSpec, LaneSpec
from test.engine.bench import CRASH, HANG, MS, Bench
from test.waiting import until


@pytest.fixture
def bench():
    with Bench() as made:
        yield made


@pytest.fixture
def standby_at_once(monkeypatch):
    """Have a process stand by from the start, where a robot's own loading would come first."""
    monkeypatch.setattr(supervisor, "_STANDBY_AFTER_NS", 0)


def recovered(times: int = 1):
    return lambda heard: sum(event.recovered for event in heard.events) >= times


def test_after_sigkill_while_busy_each_frame_is_accounted_for_once_and_results_resume(bench):
    channel = bench.channel()
    bench.load(1, 5 * MS, queue=4)
    for index in range(100):
        bench.feed(channel, 1)
        if index == 50:
            bench.kill(signal.SIGKILL)
    bench.wait(recovered(), "recovery")
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "every job")
    bench.feed(channel, 1)
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "a job after it")
    assert bench.heard.results[-1].seq == max(seq for _, seq in bench.sent)
    lost, back = bench.heard.events
    assert lost.rule is back.rule is Rule.ENGINE_RESTART
    assert "SIGKILL" in lost.sentence
    assert back.duration_ns > 0
    assert bench.client.status().restarts == 1


def test_budgets_that_were_changed_hold_in_the_engine_that_comes_next(bench):
    channel = bench.channel()
    bench.load(1, MS, wcet_ns=(1000,))
    bench.load(2, MS)
    bench.client.change_budgets(1, SegmentPlan(1, (1000 * MS,)))
    bench.client.change_budgets(2, SegmentPlan(1, (1000,)))
    bench.kill(signal.SIGKILL)
    bench.wait(recovered(), "recovery")
    bench.feed(channel, 1, 2)
    bench.wait(lambda heard: len(heard.results) == 2 and heard.overruns, "both, and an overrun")
    assert {event.task_id for event in bench.heard.overruns} == {2}


def test_an_engine_that_stands_still_is_replaced(bench):
    channel = bench.channel()
    bench.load(1)
    first = bench.client.status().pid
    bench.kill(signal.SIGSTOP)
    bench.feed(channel, 1)
    bench.wait(recovered(), "recovery")
    assert "has not moved" in bench.heard.events[0].sentence
    assert bench.client.status().pid != first
    assert not os.path.exists(f"/proc/{first}")
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "the lost job")


def test_a_lane_that_is_stuck_beyond_any_budget_costs_a_restart(bench):
    channel = bench.channel()
    bench.load(1, MS, wcet_ns=(MS,))
    bench.load(2, MS)
    bench.feed(channel, 1, value=HANG)
    bench.wait(recovered(), "recovery")
    assert "task1 has been running" in bench.heard.events[0].sentence
    bench.feed(channel, 2)
    bench.wait(lambda heard: heard.results, "a result of the other task")


def test_a_task_that_keeps_crashing_the_engine_is_quarantined_and_the_others_go_on(bench):
    channel = bench.channel()
    bench.load(1)
    bench.load(2)
    for crash in range(3):
        bench.feed(channel, 1, value=CRASH)
        bench.wait(recovered(crash + 1), "recovery")
    assert [event.quarantined for event in bench.heard.events if event.lost][-1] == (1,)
    bench.feed(channel, 1)
    assert bench.heard.skips[-1][2] is Rule.RUN_FAILED
    assert "quarantined" in bench.heard.skips[-1][3]
    bench.feed(channel, 2)
    bench.wait(lambda heard: heard.results and heard.results[-1].task_id == 2, "the other's result")
    # A new registration under the same id is a new chance.
    bench.client.unload(1)
    bench.load(1)
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results[-1].task_id == 1, "its result")


def test_a_task_that_hangs_again_and_again_is_blamed_although_the_supervisor_kills(
    bench, monkeypatch
):
    # For how long a segment may run at least is what the test before waits for.
    monkeypatch.setattr(watch, "_STUCK_LEAST_NS", 200 * MS)
    channel = bench.channel()
    bench.load(1, MS, wcet_ns=(MS,))
    for hang in range(3):
        bench.feed(channel, 1, value=HANG)
        bench.wait(recovered(hang + 1), "recovery")
    assert [event.quarantined for event in bench.heard.events if event.lost][-1] == (1,)


def test_kills_from_outside_are_blamed_on_nobody_and_never_end_it(bench):
    channel = bench.channel()
    bench.load(1)
    for kill in range(7):  # a crash of its own would quarantine after 3, and give up after 5
        bench.feed(channel, 1)
        bench.kill(signal.SIGKILL)
        bench.wait(recovered(kill + 1), "recovery")
    assert not any(event.quarantined for event in bench.heard.events)
    assert "ended from outside (SIGKILL" in bench.heard.events[0].sentence
    bench.feed(channel, 1)
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "every job")


@pytest.mark.usefixtures("standby_at_once")
def test_a_process_stands_by_and_takes_over(bench):
    channel = bench.channel()
    bench.load(1)
    bench.wait(lambda _: bench.client.status().standby_pid, "a process that stands by")
    standby = bench.client.status().standby_pid
    bench.kill(signal.SIGKILL)
    bench.wait(recovered(), "recovery")
    assert bench.client.status().pid == standby
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")
    bench.wait(lambda _: bench.client.status().standby_pid not in (0, standby), "the next one")
    last = bench.client.status().standby_pid
    bench.client.stop()
    assert not os.path.exists(f"/proc/{last}")


@pytest.mark.usefixtures("standby_at_once")
def test_a_standby_gives_way_to_others_until_it_takes_over():
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        pytest.skip("what runs in the idle class may not leave it here")
    try:
        with Bench() as bench:  # whose thread inherits the class of this one
            bench.wait(lambda _: bench.client.status().standby_pid, "a process that stands by")
            standby = bench.client.status().standby_pid
            bench.wait(
                lambda _: os.sched_getscheduler(standby) == os.SCHED_BATCH, "it runs after others"
            )
            assert os.sched_getscheduler(bench.client.status().pid) == os.SCHED_OTHER
            bench.kill(signal.SIGKILL)
            bench.wait(recovered(), "recovery")
            assert bench.client.status().pid == standby
            assert os.sched_getscheduler(standby) == os.SCHED_OTHER
    finally:
        os.sched_setscheduler(0, policy, parameters)


@pytest.mark.usefixtures("standby_at_once")
@pytest.mark.parametrize(
    ("policy", "given", "below"), [(os.SCHED_RR, 50, 49), (os.SCHED_FIFO, 1, 1)]
)
def test_an_engine_runs_one_below_a_real_time_node_that_starts_it(
    monkeypatch, policy, given, below
):
    """Else its loading takes turns of 100 ms with a thread that holds the node's lock."""
    classes: dict[int, tuple[int, int]] = {}

    def give(pid: int, policy: int, parameters: os.sched_param) -> None:
        classes[pid] = policy, parameters.sched_priority

    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: policy)
    monkeypatch.setattr(os, "sched_getparam", lambda pid: os.sched_param(given))
    monkeypatch.setattr(os, "sched_setscheduler", give)
    with Bench() as bench:
        assert classes[bench.client.status().pid] == (policy, below)
        bench.wait(lambda _: bench.client.status().standby_pid, "a process that stands by")
        standby = bench.client.status().standby_pid
        bench.wait(lambda _: classes.get(standby) == (os.SCHED_BATCH, 0), "it runs after others")
        bench.kill(signal.SIGKILL)
        bench.wait(recovered(), "recovery")
        assert bench.client.status().pid == standby
        assert classes[standby] == (policy, below)


@pytest.mark.usefixtures("standby_at_once")
def test_a_standby_that_died_is_not_taken(bench):
    bench.channel()
    bench.load(1)
    bench.wait(lambda _: bench.client.status().standby_pid, "a process that stands by")
    standby = bench.client.status().standby_pid
    os.kill(standby, signal.SIGKILL)
    bench.kill(signal.SIGKILL)
    bench.wait(recovered(), "recovery")
    assert bench.client.status().pid not in (0, standby)


def crash_until_given_up(bench: Bench) -> None:
    for crash in range(5):
        bench.kill(signal.SIGSEGV)
        bench.wait(
            lambda heard, least=crash + 1: (
                recovered(least)(heard) or any(event.rule is Rule.LIMIT for event in heard.events)
            ),
            "recovery or the end",
        )


def test_an_engine_that_dies_again_and_again_is_given_up_and_can_be_started_anew(bench):
    channel = bench.channel()
    bench.load(1)
    crash_until_given_up(bench)
    assert bench.heard.events[-1].rule is Rule.LIMIT
    bench.feed(channel, 1)
    assert bench.heard.skips[-1][2] is Rule.ENGINE_RESTART
    with pytest.raises(EngineError, match="not running"):
        bench.load(2)
    bench.client.unload(1)
    bench.client.close_channel("camera")
    bench.client.stop()
    bench.client.start()
    channel = bench.channel()
    bench.load(1)
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")


def test_an_engine_that_was_given_up_takes_up_its_work_again_when_asked_to(bench):
    channel = bench.channel()
    bench.load(1)
    crash_until_given_up(bench)
    status = bench.client.status()
    assert (status.pid, status.given_up) == (0, True)
    with pytest.raises(EngineError, match="deactivate and activate"):
        bench.load(2)
    bench.client.try_again()
    bench.wait(recovered(5), "recovery")
    assert not bench.client.status().given_up
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")
    # The next crash is a first one again, and does not end it.
    bench.kill(signal.SIGSEGV)
    bench.wait(recovered(6), "recovery")


def test_asking_to_try_again_changes_nothing_while_the_engine_runs(bench):
    channel = bench.channel()
    bench.load(1)
    pid = bench.client.status().pid
    bench.client.try_again()
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")
    assert bench.client.status().pid == pid and not bench.heard.events


def test_results_held_across_a_restart_stay_readable_and_can_be_released():
    with Bench(release=False) as bench:
        channel = bench.channel()
        bench.load(1)
        bench.feed(channel, 1)
        bench.wait(lambda heard: heard.results, "a result")
        held = bench.heard.results[0]
        bench.kill(signal.SIGKILL)
        bench.wait(recovered(), "recovery")
        bench.feed(channel, 1)
        bench.wait(lambda heard: len(heard.results) == 2, "another result")
        assert held.outputs["values"].tolist() == [1, 1, 1, 1]
        held.release()


def test_input_slots_come_back_after_a_loss(bench):
    channel = bench.channel(slots=2)
    bench.load(1, 10_000 * MS)
    bench.feed(channel, 1)
    bench.running(1)
    bench.feed(channel, 1)
    assert channel.acquire() is None
    bench.kill(signal.SIGKILL)
    bench.wait(lambda heard: heard.events, "the loss")
    assert channel.acquire() is not None
    assert channel.acquire() is not None


def test_stopping_accounts_for_the_jobs_in_flight_and_leaves_no_process(bench):
    channel = bench.channel()
    bench.load(1, 10_000 * MS)
    bench.feed(channel, 1)
    bench.running(1)
    pid = bench.client.status().pid
    bench.client.stop()
    assert not os.path.exists(f"/proc/{pid}")
    assert [skip[2] for skip in bench.heard.skips] == [Rule.OPERATOR]
    bench.client.stop()  # twice does no harm


def test_stopping_ends_an_engine_that_does_not_listen(bench):
    pid = bench.client.status().pid
    bench.kill(signal.SIGSTOP)
    bench.client.stop()
    assert not os.path.exists(f"/proc/{pid}")


def test_start_and_stop_again_and_again_leak_no_descriptors():
    bench = Bench()

    def cycle() -> int:
        with bench:
            bench.channel()
            bench.load(1)
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    first = cycle()
    assert [cycle() for _ in range(3)][-1] <= first


def test_starting_twice_is_refused(bench):
    with pytest.raises(EngineError, match="already"):
        bench.client.start()


def test_a_backend_that_does_not_exist_is_reported_at_start():
    client = EngineClient(
        DeviceSpec(backend="nonesuch", lanes=(LaneSpec("main"),)),
        on_result=lambda result: None,
        on_skip=lambda *skip: None,
        on_event=lambda event: None,
    )
    with pytest.raises(EngineError, match="did not start"):
        client.start()
    with pytest.raises(EngineError, match="not running"):
        client.info()
    client.stop()


_NODE = """
import sys, time
from test.engine.bench import Bench, MS
bench = Bench()
bench.client.start()
channel = bench.channel()
bench.load(1, 10_000 * MS)
bench.feed(channel, 1)
bench.running(1)
print(bench.client.status().pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["busy", "stopped"])
def test_no_engine_outlives_a_node_that_is_killed(stopped):
    node = subprocess.Popen(
        [sys.executable, "-c", _NODE],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    )
    assert node.stdout is not None
    engine = int(node.stdout.readline())
    if stopped:
        os.kill(engine, signal.SIGSTOP)
    node.kill()
    node.wait()
    node.stdout.close()
    until(lambda: not _alive(engine))


def test_an_engine_that_is_killed_between_requests_is_no_obstacle_to_them(bench):
    """Whatever moment the engine dies in, requests answer or say that it is gone."""
    bench.channel()
    bench.load(1)
    for _ in range(3):
        bench.kill(signal.SIGKILL)
        end = time.monotonic() + 100.0
        while True:
            assert time.monotonic() < end
            try:
                bench.load(2)
                break
            except EngineError as error:
                assert error.rule in (Rule.ENGINE_RESTART, Rule.RUN_FAILED), error
                time.sleep(0.01)
        bench.client.unload(2)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_go_on_after_one_that_its_owner_fails_on(bench, caplog):
    channel = bench.channel()
    bench.load(1)
    note, bench._on_result = bench._on_result, lambda result: 1 // 0
    seq = bench.feed(channel, 1)
    until(lambda: "ZeroDivisionError" in caplog.text)
    bench._on_result = note
    bench.sent.discard((1, seq))
    bench.feed(channel, 1)
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "a result after it")
    assert bench.client.status().restarts == 0
