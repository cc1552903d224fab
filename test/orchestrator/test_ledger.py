"""Every frame that is received ends once: as a result, left out, or dropped for a reason."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.device import DeviceState
from aegis_ros.engine import EngineEvent, JobSkip
from aegis_ros.errors import InputError
from aegis_ros.orchestrator import FrameTimes
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.rationale.engine import EngineEnded, EngineLost
from aegis_ros.rationale.frames import NewerFrame
from aegis_ros.rationale.results import NotPublished
from aegis_ros.trace.balance import Balance
from test.orchestrator.house import MS, House

SHAPE = (16, 24, 3)
_RULES = (Rule.NEWER_FRAME, Rule.RUN_FAILED, Rule.OVERRUN, Rule.CRITICALITY, Rule.LIMIT)
_GIVE_NO_RESULT = (Decision.SKIPPED, Decision.LOST)


class _Run:
    """A day on which everything happens, on an engine that a test speaks for."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.house = House(folder)
        self.house.start()
        self.chance = random.Random(seed)
        self.now_ns = 10**15
        self.kills = 0
        self.names = [f"task{number}" for number in range(4)]
        for name in self.names:
            self.register(name)

    def register(self, name: str) -> None:
        task = self.house.task(name, wcet_ms=5, criticality="low", jitter_ms=5)
        assert self.house.orchestrator.register(task).accepted

    def step(self) -> None:
        chance = self.chance.random()
        name = self.chance.choice(self.names)
        orchestrator = self.house.orchestrator
        if chance < 0.55:
            self.frame(name)
        elif chance < 0.8:
            self.end()
        elif chance < 0.83:
            self.kill()
        elif chance < 0.85:
            orchestrator.unregister(name)
            self.register(name)
        elif chance < 0.88:
            orchestrator.set_enabled(name, self.chance.random() < 0.7)
        elif chance < 0.9:
            speed = self.chance.choice((1.0, 1.0, 0.15))
            orchestrator.device_changed(DeviceState(speed))

    def frame(self, name: str) -> None:
        intake = self.house.orchestrator.intake
        self.now_ns += self.chance.choice((1, 20, 100, 100, 200)) * MS
        key = next(each.key for each in intake.streams() if each.topic == f"/{name}/image")
        taken = intake.take(key, self.now_ns)
        if taken is None:
            return
        if self.chance.random() < 0.1:
            intake.refuse(taken, InputError("rgb16 cannot be used"))
            return
        intake.commit(taken, SHAPE, FrameTimes(0, self.now_ns, self.now_ns, self.now_ns))

    def end(self) -> None:
        engine, orchestrator = self.house.engine, self.house.orchestrator
        if not engine.in_flight:
            return
        task_id, seq = key = self.chance.choice(sorted(engine.in_flight))
        origin = engine.in_flight.pop(key)
        if self.chance.random() < 0.4:
            rule = self.chance.choice(_RULES)
            engine.on_skip(JobSkip(task_id, seq, rule, "a reason", origin))
        elif self.chance.random() < 0.1:
            orchestrator.unpublished(task_id, NotPublished("task", seq, "no publisher"))
        else:
            orchestrator.published(task_id, 5 * MS, 5 * MS, met=True, seq=seq)

    def kill(self) -> None:
        engine = self.house.engine
        lost = tuple(sorted(engine.in_flight))
        engine.in_flight.clear()
        cause = EngineEnded(-9)
        engine.on_event(EngineEvent(EngineLost(cause, len(lost)), lost, cause=cause))
        self.kills += 1

    def dropped(self) -> int:
        """How many frames are reported to have given no result."""
        ends = [each for each in self.house.reported if each.decision in _GIVE_NO_RESULT]
        return sum(each.count for each in ends)


@pytest.mark.parametrize("seed", range(3))
def test_frames_balance_after_a_hundred_random_kills(tmp_path: Path, seed: int) -> None:
    run = _Run(tmp_path / "house", seed)
    ledger = run.house.orchestrator._ledger
    while run.kills < 100:
        run.step()
        assert ledger.balance().in_flight == len(run.house.engine.in_flight)
    assert run.house.orchestrator.status().frames == ledger.balance()
    frames: list[Balance] = []
    run.house.orchestrator.cleanup(lambda: frames.append(ledger.balance()))
    (balance,) = frames
    assert balance.in_flight == 0
    assert min(balance.received, balance.results, balance.lost, balance.skipped) > 20
    # What was folded has been reported by the end, too.
    assert run.dropped() == balance.skipped + balance.lost


def test_the_accounts_of_tasks_that_go_are_summed_up_in_the_end() -> None:
    reported: list[Rationale] = []
    ledger = Ledger(RationaleLog(reported.append))
    for number in range(200):
        statistics = TaskStatistics()
        ledger.open(number, f"task{number}", statistics)
        statistics.receive(1)
        ledger.close(number)
    assert len(ledger._accounts) == 16 == len(ledger._names)
    assert ledger.balance() == Balance(received=200)
    ledger.ended(199, NewerFrame("task199", 1))
    assert ledger.balance() == Balance(received=200, skipped=1)
    ledger.clear()
    assert ledger.balance() == Balance()


def test_a_task_that_goes_leaves_its_counts_and_no_times() -> None:
    ledger = Ledger(RationaleLog(lambda rationale: None))
    for number in range(10):
        gc.collect()
        tracemalloc.start()
        statistics = TaskStatistics()
        ledger.open(number, f"task{number}", statistics)
        statistics.receive(1)
        statistics.drop(NewerFrame("task", 0))
        statistics.published(2, 1, 1, met=True)
        ledger.close(number)
        del statistics
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 3 * 512 * 8, "its times are kept"
    account = ledger.account(9)
    assert account is not None
    account.receive(3)
    account.published(4, 1, 1, met=True)  # was on its way
    assert ledger.balance() == Balance(received=11, results=11, skipped=10)


def test_a_task_that_moves_keeps_its_times_until_it_goes() -> None:
    ledger = Ledger(RationaleLog(lambda rationale: None))
    statistics = TaskStatistics()
    ledger.open(1, "eye", statistics)
    statistics.published(10, 7, 5, met=True)
    ledger.open(2, "eye", statistics)
    ledger.close(1)
    assert statistics.figures(11)[1] == 7
    ledger.close(2)
    assert statistics._times.size == 3 and statistics.completed == 1


def test_a_task_that_moved_is_counted_once() -> None:
    ledger = Ledger(RationaleLog(lambda rationale: None))
    statistics = TaskStatistics()
    ledger.open(1, "eye", statistics)
    ledger.open(2, "eye", statistics)
    statistics.receive(1)
    assert ledger.balance() == Balance(received=1)
    assert ledger.balances() == {"eye": Balance(received=1)}
    ledger.close(1)
    ledger.ended(1, NewerFrame("eye", 0))
    assert ledger.balances() == {"eye": Balance(received=1, skipped=1)}


def test_what_gave_no_result_since_the_last_one_is_known_by_its_rules() -> None:
    statistics = TaskStatistics()
    statistics.receive(1)
    statistics.published(2, 1, 1, met=True)
    for number in range(5):
        statistics.receive(10 + number)
        statistics.drop(NewerFrame("eye", number))
    statistics.receive(20)
    statistics.decimate()
    statistics.receive(30)
    found = statistics.unanswered(40)
    assert (found.frames, found.for_ns) == (6, 30)
    ((reason, frames),) = [(each.reason, each.frames) for each in found.dropped]
    assert (reason, frames) == (NewerFrame("eye", 4), 5)
    statistics.published(50, 1, 1, met=True)
    assert statistics.unanswered(60).frames == 0 and not statistics.unanswered(60).dropped


def test_counts_from_several_threads_are_exact() -> None:
    import threading

    statistics = TaskStatistics()

    def work() -> None:
        for number in range(2000):
            statistics.receive(number)
            statistics.drop(NewerFrame("eye", number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.balance == Balance(received=8000, skipped=8000)
    assert np.all(statistics._times == 0) and Counter({Rule.NEWER_FRAME: 8000}) == Counter(
        {each.reason.rule: each.frames for each in statistics.unanswered(1).dropped}
    )
