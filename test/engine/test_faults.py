"""Tasks that break their promises: it costs them, the others are kept, nothing hangs."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.base import Work
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.engine import EngineEvent
from aegis_ros.errors import BackendError, EngineError
from aegis_ros.network import TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.rationale.engine import EngineBack
from aegis_ros.rationale.wording import words
from aegis_ros.scheduling import Scheduler
from aegis_ros.spec import Criticality, OverrunPolicy
from test.engine.bench import CRASH, HANG, MS, SHAPE, TIMEOUT_S, Bench, simulated
from test.engine.inside import Inside, fails, takes

_MIB = 1024 * 1024
AMPLE = 1000 * MS  # no machine is slow enough to exceed it by chance
LOW, BEST_EFFORT = Criticality.LOW, Criticality.BEST_EFFORT


@pytest.fixture
def bench():
    with Bench() as made:
        yield made


def recovered(heard):
    return any(event.recovered for event in heard.events)


def all_accounted(bench: Bench):
    return lambda _: bench.accounted() == sorted(bench.sent)


# -- overruns ----------------------------------------------------------------------------------


def test_a_network_ten_times_slower_than_its_profile_runs_at_a_tenth_of_its_rate(bench):
    channel = bench.channel()
    bench.load(1, 20 * MS, wcet_ns=(2 * MS,), criticality=LOW)
    bench.load(2, MS)
    for _ in range(40):
        bench.feed(channel, 1, 2)
        bench.wait(all_accounted(bench), "both answers")
    others = [result for result in bench.heard.results if result.task_id == 2]
    assert len(others) == 40  # each of its frames, in order
    slow = [result for result in bench.heard.results if result.task_id == 1]
    overruns = bench.heard.overruns
    assert [event.seq for event in overruns] == [result.seq for result in slow]
    assert all(event.taken_ns >= 20 * MS and event.skips >= 9 for event in overruns)
    assert len(slow) <= 4
    skips = [skip for skip in bench.heard.skips if skip[2] is Rule.OVERRUN]
    assert len(skips) == len(bench.heard.skips) == 40 - len(slow)
    assert not any(bench.heard.stopped)
    for event, following in pairwise(overruns):
        assert following.seq - event.seq == event.skips + 1


def test_a_stopped_job_gives_no_result_and_holds_nothing(bench):
    channel = bench.channel()
    bench.load(1, MS, MS, wcet_ns=(1, AMPLE), on_overrun=OverrunPolicy.STOP)
    for _ in range(10):  # more than there are output slots
        bench.feed(channel, 1)
        bench.wait(all_accounted(bench), "an answer")
    assert not bench.heard.results
    assert {skip[2] for skip in bench.heard.skips} == {Rule.OVERRUN} and all(bench.heard.stopped)
    assert {event.applied for event in bench.heard.overruns} == {OverrunPolicy.STOP}


def test_a_job_over_its_budget_ends_at_its_early_exit_and_the_next_ones_pay(bench):
    channel = bench.channel()
    compiled = replace(simulated(*(20 * MS,) * 4), complete_after=(3, 1))
    bench.load(
        1,
        compiled=compiled,
        wcet_ns=(MS, 2 * MS, 4 * MS, 8 * MS),
        criticality=LOW,
        on_overrun=OverrunPolicy.EARLY_EXIT,
        early_exit={"values": "more"},
    )
    for _ in range(4):
        bench.feed(channel, 1)
        bench.wait(all_accounted(bench), "an answer")
    ended = bench.heard.results
    assert ended and all(result.early_exit for result in ended)
    assert all(set(outputs) == {"values"} for outputs in bench.heard.outputs)
    assert bench.heard.outputs[0]["values"].tolist() == [[1, 1], [1, 1]]  # which "more" holds
    assert {event.applied for event in bench.heard.overruns} == {OverrunPolicy.EARLY_EXIT}
    assert {event.segment for event in bench.heard.overruns} == {0, 1}
    assert any(event.skips for event in bench.heard.overruns)
    assert {skip[2] for skip in bench.heard.skips} == {Rule.OVERRUN}


def test_an_early_exit_gives_the_very_numbers_of_that_output(tmp_path):
    import onnxruntime

    backend = create_backend("onnxruntime")
    prepared = make_network(tmp_path, "exits")
    compiled = backend.compile(prepared, tmp_path, 4)
    after = compiled.exit_after(["exit"])
    assert after < compiled.segments == 4
    plain = onnxruntime.InferenceSession(str(prepared.path), providers=["CPUExecutionProvider"])
    frame = np.full(SHAPE, 5, np.uint8)
    logits, early = plain.run(["logits", "exit"], {"frame": frame})
    spent = (1,) * after + (AMPLE,) * (4 - after)  # nothing runs in a nanosecond
    with Bench(backend="onnxruntime") as bench:
        channel = bench.channel()
        fields = {"on_overrun": OverrunPolicy.EARLY_EXIT, "early_exit": {"logits": "exit"}}
        bench.load(1, compiled=compiled, wcet_ns=spent, **fields)
        bench.load(2, compiled=compiled, wcet_ns=(AMPLE,) * 4, **fields)
        bench.feed(channel, 1, 2, value=5)
        bench.wait(all_accounted(bench), "both results")
        given = {
            result.task_id: (result.early_exit, outputs)
            for result, outputs in zip(bench.heard.results, bench.heard.outputs, strict=True)
        }
    assert given[1][0] and set(given[1][1]) == {"logits"}
    assert given[1][1]["logits"].tobytes() == early.tobytes()
    assert not given[2][0] and set(given[2][1]) == {"logits", "exit"}
    assert given[2][1]["logits"].tobytes() == logits.tobytes()


def test_the_rest_of_a_demoted_job_runs_behind_everything(bench):
    channel = bench.channel()
    bench.load(1, MS, MS, wcet_ns=(1, AMPLE), on_overrun=OverrunPolicy.DEMOTE)
    bench.load(2, MS)
    bench.load(3, 300 * MS)
    bench.feed(channel, 3, deadline_ms=1)
    bench.running(3)
    bench.feed(channel, 1, deadline_ms=10)
    bench.feed(channel, 2, deadline_ms=10_000)
    bench.wait(all_accounted(bench), "all results")
    assert [result.task_id for result in bench.heard.results] == [3, 2, 1]


def test_a_critical_overrun_sheds_what_is_not_critical_until_the_lane_was_idle(bench):
    channel = bench.channel()
    bench.load(1, 300 * MS, wcet_ns=(MS,))
    bench.load(2, MS, criticality=LOW)
    bench.load(3, MS, criticality=BEST_EFFORT)
    bench.load(4, MS)
    bench.feed(channel, 1, 2, 3, 4)
    bench.wait(lambda heard: heard.restored, "the end of it")
    bench.wait(all_accounted(bench), "all jobs")
    assert [result.task_id for result in bench.heard.results] == [1, 4]
    assert [(skip[0], skip[2]) for skip in bench.heard.skips] == [
        (3, Rule.CRITICALITY),
        (2, Rule.CRITICALITY),
    ]
    assert bench.heard.overruns[0].sheds
    assert bench.heard.restored[0][0] == 0
    bench.feed(channel, 2, 3)
    bench.wait(lambda heard: len(heard.results) == 4, "results of what was shed")


def test_a_job_that_had_begun_and_is_shed_gives_back_what_it_held() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def first_segment() -> None:
        begun.release()
        assert go_on.acquire(timeout=TIMEOUT_S)

    scheduler = Scheduler(1)
    engine = Inside(scheduler)
    slots = 2
    engine.load(1, takes(0.001), takes(0.0), deadline_ns=MS, wcet_ns=(1, AMPLE))
    engine.load(2, first_segment, takes(0.0), criticality=LOW, outputs=slots)
    with engine:
        for _ in range(slots + 1):
            engine.feed(2)
            assert begun.acquire(timeout=TIMEOUT_S)
            engine.feed(1)
            while scheduler.waiting(0) == 0:
                time.sleep(0.001)
            go_on.release()
            engine.settle()
    reported = engine.reported
    assert [task for task, _ in reported.done] == [1] * (slots + 1)
    assert [skip[0] for skip in reported.skipped] == [2] * (slots + 1)
    assert {skip[2] for skip in reported.skipped} == {Rule.CRITICALITY}


def test_on_a_slower_device_budgets_count_more_also_after_a_restart(bench):
    channel = bench.channel()
    bench.load(1, 20 * MS, wcet_ns=(2 * MS,))
    for restart in (False, True):
        bench.client.set_speed(0.001)
        if restart:
            bench.kill(signal.SIGKILL)
            bench.wait(recovered, "recovery")
        bench.feed(channel, 1)
        bench.wait(all_accounted(bench), "a result")
    assert len(bench.heard.results) == 2
    assert not bench.heard.overruns


def test_an_overrun_the_proof_has_room_for_is_reported_and_costs_nobody_a_frame(bench):
    channel = bench.channel()
    bench.client.set_critical_scaling(0, 1000.0)
    bench.load(1, 5 * MS, wcet_ns=(MS,))
    bench.load(2, MS, criticality=LOW)
    for _ in range(3):
        bench.feed(channel, 1, 2)
        bench.wait(all_accounted(bench), "both results")
    assert not bench.heard.skips and not bench.heard.restored
    assert [event.absorbed for event in bench.heard.overruns] == [True] * 3


# -- hangs and crashes -------------------------------------------------------------------------


def test_a_segment_that_never_returns_costs_a_restart_that_says_who_and_how_long(bench):
    channel = bench.channel()
    bench.load(1, MS, wcet_ns=(MS,), criticality=BEST_EFFORT)
    bench.load(2, MS)
    bench.feed(channel, 1, value=HANG)
    bench.running(1)
    bench.feed(channel, 2)
    bench.wait(recovered, "recovery")
    lost, back = bench.heard.events
    assert "task1 has been running" in words(lost.cause)
    assert back.cause == lost.cause
    assert (lost.lane, back.lane) == (0, 0)
    assert back.outage_ns(0) >= 2000 * MS + back.duration_ns
    assert back.outage_ns(1) == back.duration_ns  # another lane ran until the engine was replaced
    bench.wait(all_accounted(bench), "the lost jobs")
    bench.feed(channel, 1, 2)
    bench.wait(lambda heard: len(heard.results) == 2, "results of both")


def test_an_engine_that_is_stopped_for_two_seconds_is_replaced_and_says_so(bench):
    channel = bench.channel()
    bench.load(1)
    stopped = os.pidfd_open(bench.client.status().pid)
    begin = time.monotonic()
    signal.pidfd_send_signal(stopped, signal.SIGSTOP)
    bench.feed(channel, 1)
    bench.wait(recovered, "recovery")
    time.sleep(max(0.0, begin + 2.0 - time.monotonic()))
    with suppress(ProcessLookupError):  # it was replaced meanwhile
        signal.pidfd_send_signal(stopped, signal.SIGCONT)
    os.close(stopped)
    back = bench.heard.events[-1]
    assert "has not moved" in words(back.cause)
    assert back.lane == -1 and back.outage_ns(0) >= 1000 * MS
    bench.feed(channel, 1)
    bench.wait(all_accounted(bench), "every job")
    bench.wait(lambda heard: heard.results, "a result")


def test_an_engine_that_is_stopped_for_a_moment_loses_nothing_unreported(bench):
    channel = bench.channel()
    bench.load(1, MS, queue=4)
    for index in range(8):
        bench.feed(channel, 1)
        if index == 4:
            bench.kill(signal.SIGSTOP)
            time.sleep(0.2)
            bench.kill(signal.SIGCONT)
    bench.wait(all_accounted(bench), "every job")


def test_a_lane_that_dies_while_three_tasks_wait_serves_all_three_again(bench):
    channel = bench.channel()
    for task in (1, 2, 3, 4, 5):
        bench.load(task, 500 * MS if task == 5 else MS)
    bench.feed(channel, 5)
    bench.running(5)
    for task in (2, 3, 4):
        bench.feed(channel, task)
    bench.feed(channel, 1, value=CRASH, deadline_ms=1)
    bench.wait(recovered, "recovery")
    bench.wait(all_accounted(bench), "every job")
    assert [result.task_id for result in bench.heard.results] == [5]
    assert [task for task, _ in bench.heard.events[0].lost] == [1, 2, 3, 4]
    bench.feed(channel, 1, 2, 3, 4)
    bench.wait(lambda heard: len(heard.results) == 5, "results of all four")


# -- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["run", "start"])
def test_a_backend_that_runs_out_of_memory_costs_its_job_alone(where: str) -> None:
    engine = Inside()
    full = MemoryError("out of memory")
    engine.load(1, fails(full) if where == "run" else takes(0.0))
    engine.load(2, takes(0.0))
    with engine:
        if where == "start":
            engine.device.refuse = full
        engine.feed(1)
        reported = engine.settle()
        engine.device.refuse = None
        engine.feed(2)
        engine.settle()
    assert reported.done == [(2, 2)]
    assert reported.skipped == [(1, 1, Rule.RUN_FAILED, "MemoryError: out of memory")]


def test_an_engine_at_its_memory_limit_refuses_a_network_and_runs_the_others(bench):
    channel = bench.channel()
    bench.load(1)
    wide = TensorInfo("wide", "uint8", (16 * _MIB,))
    network = replace(simulated(), outputs=(wide,))
    pid = bench.client.status().pid
    with open(f"/proc/{pid}/statm") as pages:
        now = int(pages.read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (now + 16 * _MIB, resource.RLIM_INFINITY))
    with pytest.raises(EngineError, match=r"memory|OSError"):
        bench.load(2, compiled=network, wcet_ns=())
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result of the other")
    assert bench.client.status().pid == pid
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    bench.load(2, compiled=network, wcet_ns=())


def test_the_node_knows_who_runs_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What crashes at once was blamed on nobody where the page was written after the start."""
    engine, seen = Inside(), []
    start = engine.device.start

    def noting(lane: int, work: Work) -> None:
        seen.append(engine.page.lanes()[lane].task_id)
        start(lane, work)

    monkeypatch.setattr(engine.device, "start", noting)
    engine.load(3, takes(0.0))
    with engine:
        engine.feed(3)
        engine.settle()
        engine.device.refuse = BackendError("no")
        engine.feed(3)
        engine.settle()
        assert engine.page.lanes()[0].task_id == -1
    assert seen == [3, 3]


def test_an_outage_counts_what_stood_still_before_the_loss() -> None:
    event = EngineEvent(EngineBack(5, 0), recovered=True, duration_ns=5, stood_ns=7)
    assert event.outage_ns(0) == event.outage_ns(3) == 12
