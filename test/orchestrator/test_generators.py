"""Generators beside tasks: admitted, narrowed, paused and resumed as tasks come and go."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.analysis import AnalysisTask
from aegis_ros.engine import Cycle, EngineEvent, OverrunEvent
from aegis_ros.engine.speech import Ending, LoadGenerator
from aegis_ros.memory import MemoryState
from aegis_ros.network.generator.preparing import prepare_generator
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.network.model_file import ModelFile
from aegis_ros.orchestrator import generators as module
from aegis_ros.orchestrator.adapting import AdaptedSummary
from aegis_ros.orchestrator.conversation import Conversation
from aegis_ros.orchestrator.cycle_record import CycleRecord
from aegis_ros.orchestrator.pressure import MemoryPressure
from aegis_ros.orchestrator.request import Answer, Conclusion, Question
from aegis_ros.orchestrator.types import GeneratorState, GeneratorSummary
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.adaptation import (
    AllocationFailed,
    FewerAreFaster,
    LimitChanged,
    OutOfMemory,
)
from aegis_ros.rationale.engine import (
    EngineBack,
    EngineEnded,
    EngineGivenUp,
    EngineLost,
    Quarantined,
    TaskNotReloaded,
)
from aegis_ros.rationale.generators import (
    BucketsChanged,
    CacheTooLarge,
    GeneratorAdmitted,
    GeneratorRefused,
    PromiseRefused,
    StepOverran,
    UnknownGenerator,
)
from aegis_ros.rationale.memory import ShedForMemory
from aegis_ros.rationale.rejection import Cancelled, NotConfigured
from aegis_ros.rationale.requests import CyclesNotKept, Measuring
from aegis_ros.spec import Criticality, GeneratorSpec
from test.network.generator.models import write_gguf
from test.orchestrator.house import MS, House
from test.waiting import until

Houses = Callable[..., House]

DECODE_1, DECODE_2 = 5, 6  # buckets, after five chunks


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and the cache in which it is prepared."""
    folder = tmp_path_factory.mktemp("generator")
    write_gguf(folder / "tiny.gguf")
    with ModelFile(folder / "tiny.gguf") as file:
        prepare_generator(file, cache_dir=folder / "state" / "cache", context=64)
    return folder


@pytest.fixture
def houses(prepared: Path, tmp_path: Path) -> Houses:
    def make(*tasks: Any, arena_mib: int = 64, **changes: Any) -> House:
        shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
        generator = GeneratorSpec("llm", str(tmp_path / "tiny.gguf"), max_len=64, slots=2)
        return House(
            tmp_path, *tasks, arena_mib=arena_mib, generators=[replace(generator, **changes)]
        )

    return make


def summary(house: House) -> GeneratorSummary:
    (found,) = house.orchestrator.status().generators
    return found


def fares(house: House) -> AdaptedSummary:
    found = summary(house).adapted
    assert found is not None
    return found


def reasons(house: House, kind: type[Reason]) -> list[Any]:
    return [each.reason for each in house.reported if isinstance(each.reason, kind)]


def conversation(house: House) -> Conversation:
    found = house.orchestrator.generators.find("llm")
    assert not isinstance(found, Reason)
    return found[1]


def test_a_generator_is_measured_admitted_and_loaded_once(houses: Houses) -> None:
    house = houses()
    house.start()
    assert len(reasons(house, Measuring)) == 1
    (admitted,) = reasons(house, GeneratorAdmitted)
    assert admitted.borne is None
    (loaded,) = house.engine.generators.values()
    assert [(each.prefill, each.tokens) for each in loaded.shapes] == [
        (True, 2), (True, 4), (True, 8), (True, 16), (True, 32), (False, 1), (False, 2),
    ]  # fmt: skip
    assert loaded.plan.prefills == 5
    assert house.engine.limits[loaded.task_id] == (32, 2)
    assert summary(house).problem is None
    house.restart()
    assert house.engine.generators_measured == 0
    assert summary(house).steps[0] == "prefill 2"


def test_it_gives_up_steps_for_a_critical_task_before_that_is_loaded(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    house.engine.calls.clear()
    answer = orchestrator.register(house.task(period_ms=25, wcet_ms=10))
    assert answer.accepted, answer.rationale.sentence
    verbs = [verb for verb, _ in house.engine.calls]
    (task_id,) = house.engine.generators
    assert house.engine.limits[task_id] == (8, 2)
    assert verbs.index("limit") > verbs.index("load")  # no job is released before it is admitted
    (changed,) = reasons(house, BucketsChanged)
    assert set(changed.before) - set(changed.after) == {"prefill 16", "prefill 32"}
    # What is left of them blocks the task, and its bound says so.
    longest_ns = 8 * MS
    assert answer.response_bound_ns >= 10 * MS + longest_ns
    orchestrator.unregister("detector")
    orchestrator.settle()
    assert house.engine.limits[task_id] == (32, 2)
    assert set(reasons(house, BucketsChanged)[-1].after) > set(changed.after)


def test_it_pauses_where_no_step_is_short_enough_and_goes_on_when_the_task_is_gone(
    houses: Houses,
) -> None:
    house = houses()
    orchestrator = house.start()
    heard: list[Answer] = []
    request = conversation(house).ask(Question([1, 2], 9), heard.append)
    assert isinstance(request, int)
    assert orchestrator.register(house.task(period_ms=10.5, wcet_ms=8)).accepted
    (task_id,) = house.engine.generators
    assert (task_id, request) in house.engine.cancelled
    (refused,) = reasons(house, GeneratorRefused)
    assert isinstance(summary(house).problem, GeneratorRefused)
    assert [each.name for each in orchestrator.status().rejected] == ["llm"]
    assert conversation(house).ask(Question([1], 9), heard.append) == refused
    house.engine.say(task_id, request, ended=Ending.CANCELLED)
    until(lambda: heard)
    assert heard[-1].ended is Conclusion.REFUSED
    orchestrator.unregister("detector")
    orchestrator.settle()
    assert summary(house).problem is None
    assert orchestrator.status().rejected == ()
    assert isinstance(conversation(house).ask(Question([1], 9), heard.append), int)


def test_what_is_asked_does_not_change_what_it_may_do(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    before = dict(house.engine.limits)
    answer = orchestrator.evaluate(house.task(period_ms=25, wcet_ms=10))
    assert answer.accepted
    assert answer.response_bound_ns >= 18 * MS
    assert house.engine.limits == before
    assert reasons(house, BucketsChanged) == []


def test_a_task_that_cannot_be_loaded_leaves_all_steps(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    (task_id,) = house.engine.generators
    house.engine.refuses_load = True
    assert not orchestrator.register(house.task(period_ms=25, wcet_ms=10)).accepted
    assert house.engine.limits[task_id] == (32, 2)
    assert summary(house).problem is None


def test_a_promise_counts_as_a_task_and_tasks_are_refused_for_it(houses: Houses) -> None:
    house = houses(tokens_per_s=20.0, max_batch=2)
    orchestrator = house.start()
    (admitted,) = reasons(house, GeneratorAdmitted)
    assert admitted.promised_per_s == 20.0
    (lane,) = orchestrator.status().lanes
    assert lane.utilization_admitted == pytest.approx(0.08, abs=0.01)  # two parts of 2 ms in 50
    refused = orchestrator.register(house.task(wcet_ms=95))
    assert not refused.accepted
    assert summary(house).problem is None


def test_a_promise_that_a_lane_cannot_keep_is_refused_with_one_it_can(houses: Houses) -> None:
    house = _with_task(houses(tokens_per_s=200.0, max_batch=2), wcet_ms=60)
    house.start()
    (refused,) = reasons(house, PromiseRefused)
    assert 0 < refused.most_per_s < 200.0
    (rejected,) = house.orchestrator.status().rejected
    assert rejected.name == "llm"
    assert "tokens a second would pass" in rejected.rationale.sentence


def _with_task(house: House, **changes: Any) -> House:
    house.spec = replace(house.spec, tasks=(house.task(**changes),))
    house.orchestrator = house._open()
    return house


def test_a_cache_beyond_the_arena_is_refused_unmeasured_with_what_would_fit(
    houses: Houses,
) -> None:
    house = houses(arena_mib=1, slots=64)
    house.start()
    (refused,) = reasons(house, CacheTooLarge)
    assert 0 < refused.slots_that_fit < 64
    assert house.engine.generators == {}
    assert house.engine.generators_measured == 0
    assert reasons(house, Measuring) == []
    (rejected,) = house.orchestrator.status().rejected
    assert f"{refused.slots_that_fit} slots of that length" in rejected.rationale.sentence


def test_its_memory_counts_for_the_tasks_that_come(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    (held,) = orchestrator.generators.holdings()
    assert orchestrator.status().arena_used_bytes == held.footprint.total > 0


def test_its_memory_is_known_when_what_was_made_of_its_model_is_gone(houses: Houses) -> None:
    house = houses()
    house.start()
    before = house.orchestrator.status().arena_used_bytes
    shutil.rmtree(house.folder / "state" / "cache")
    assert house.orchestrator.status().arena_used_bytes == before > 0


def test_one_that_is_cancelled_while_it_loads_is_not_left_in_the_engine(houses: Houses) -> None:
    house = houses()
    load = house.engine.load_generator

    def cancelled_meanwhile(spec: LoadGenerator) -> str:
        note = load(spec)
        house.orchestrator.unregister("llm")
        return note

    house.engine.load_generator = cancelled_meanwhile  # type: ignore[method-assign]
    house.start()
    assert house.engine.generators == {}
    assert [verb for verb, _ in house.engine.calls] == ["load", "limit", "unload"]
    assert house.orchestrator.status().arena_used_bytes == 0
    (rejected,) = house.orchestrator.status().rejected
    assert isinstance(rejected.rationale.reason, Cancelled)


def test_its_name_is_taken(houses: Houses) -> None:
    house = houses()
    answer = house.start().register(house.task("llm"))
    assert answer.rationale.rule is Rule.DUPLICATE_NAME
    house.orchestrator.cleanup()


def test_a_generator_is_found_by_its_name_or_as_the_only_one(houses: Houses) -> None:
    generators = houses().start().generators
    assert not isinstance(generators.find(""), Reason)
    unknown = generators.find("lml")
    assert unknown == UnknownGenerator("lml", ("llm",))


def test_one_that_an_engine_does_not_bring_back_is_paused_until_it_does(houses: Houses) -> None:
    house = houses()
    house.start()
    (task_id,) = house.engine.generators
    lost = EngineLost(EngineEnded(-9), 0)
    house.engine.on_event(EngineEvent(lost))
    back = EngineBack(1, 0, (), (("llm", "no memory"),))
    house.engine.on_event(EngineEvent(back, recovered=True, failed=((task_id, "no memory"),)))
    assert summary(house).problem is not None
    house.engine.on_event(EngineEvent(EngineBack(1, 0, (), ()), recovered=True))
    assert summary(house).problem is None
    assert isinstance(conversation(house).ask(Question([1], 5), lambda answer: None), int)


def test_one_that_failed_stays_so_whatever_tasks_come_and_go(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    (task_id,) = house.engine.generators
    assert orchestrator.register(house.task(period_ms=10.5, wcet_ms=8)).accepted
    assert isinstance(summary(house).problem, GeneratorRefused)
    back = EngineBack(1, 0, (), (("llm", "no memory"),))
    house.engine.on_event(EngineEvent(back, recovered=True, failed=((task_id, "no memory"),)))
    orchestrator.unregister("detector")
    orchestrator.settle()
    assert isinstance(conversation(house).enter(), TaskNotReloaded)
    (rejected,) = orchestrator.status().rejected
    assert isinstance(rejected.rationale.reason, TaskNotReloaded)
    house.engine.on_event(EngineEvent(EngineBack(1, 1, (), ()), recovered=True))
    assert orchestrator.status().rejected == ()
    assert conversation(house).enter() is None


def test_one_that_failed_and_is_back_gives_the_reason_for_which_it_is_still_paused(
    houses: Houses,
) -> None:
    house = houses()
    orchestrator = house.start()
    (task_id,) = house.engine.generators
    assert orchestrator.register(house.task(period_ms=10.5, wcet_ms=8)).accepted
    back = EngineBack(1, 0, (), (("llm", "no memory"),))
    house.engine.on_event(EngineEvent(back, recovered=True, failed=((task_id, "no memory"),)))
    house.engine.on_event(EngineEvent(EngineBack(1, 1, (), ()), recovered=True))
    assert isinstance(conversation(house).enter(), GeneratorRefused)
    (rejected,) = orchestrator.status().rejected
    assert isinstance(rejected.rationale.reason, GeneratorRefused)


def test_a_quarantine_is_reported_once_and_outlasts_an_engine_that_is_given_up(
    houses: Houses,
) -> None:
    house = houses()
    house.start()
    (task_id,) = house.engine.generators
    lost = EngineLost(EngineEnded(-9), 0, ("llm",))
    house.engine.on_event(EngineEvent(lost, quarantined=(task_id,), cause=EngineEnded(-9)))
    for _ in range(2):
        back = EngineBack(1, 0, ("llm",), ())
        house.engine.on_event(EngineEvent(back, recovered=True, quarantined=(task_id,)))
    house.engine.on_event(EngineEvent(EngineGivenUp(5, 60_000_000_000)))
    assert len(reasons(house, Quarantined)) == 1
    assert isinstance(conversation(house).enter(), Quarantined)


def test_a_part_that_exceeds_its_budget_is_reported_by_its_name(houses: Houses) -> None:
    house = houses()
    house.start()
    (task_id,) = house.engine.generators
    house.engine.on_overrun(OverrunEvent(task_id, 1, 0, 6, 9 * MS, 2 * MS, 9 * MS))
    (found,) = reasons(house, StepOverran)
    assert (found.bucket, found.part, found.taken_ns) == ("decode 1", 1, 9 * MS)


def test_requests_end_when_the_node_is_cleaned_up(houses: Houses) -> None:
    house = houses()
    house.start()
    heard: list[Answer] = []
    talk = conversation(house)
    for _ in range(3):
        assert isinstance(talk.ask(Question([1], 5, Sampling()), heard.append), int)
    house.orchestrator.cleanup()
    assert [each.ended for each in heard] == [Conclusion.REFUSED] * 3
    assert [each.reason for each in heard] == [NotConfigured("llm")] * 3
    assert house.orchestrator.status().generators == ()


class Runner:
    """Has the one generator of a house run cycles, as an engine would."""

    def __init__(self, house: House) -> None:
        self.house = house
        (self.task_id,) = house.engine.generators
        self.cycles = house.engine.ran.setdefault(self.task_id, [])
        self.talk = conversation(house)
        self.heard: list[Answer] = []
        request = self.talk.ask(Question([1, 2], 40), self.heard.append)
        assert isinstance(request, int)
        self.request = request

    def run(self, bucket: int, taken_ns: int, tokens: int = 1, *, ended_ns: int = 0) -> None:
        number = len(self.cycles) + 1
        now_ns = ended_ns or time.monotonic_ns()
        self.cycles.append(Cycle(number, bucket, tokens, 10, tokens, taken_ns, now_ns))

    def say(self) -> None:
        """Say a token, and return when it has been heard and what was run has been seen."""
        heard = len(self.heard)
        self.house.engine.say(self.task_id, self.request, 65)
        until(lambda: len(self.heard) > heard)
        known = sum(0 <= each.bucket < 7 for each in self.cycles)
        until(lambda: fares(self.house).cycles == known)


def fewer_are_faster(runner: Runner) -> None:
    ran_faster_with_fewer(runner)
    limits = runner.house.engine.limits
    until(lambda: limits[runner.task_id][1] == 1)


def ran_faster_with_fewer(runner: Runner) -> None:
    for _ in range(4):
        runner.run(DECODE_1, MS)
    for _ in range(4):
        runner.run(DECODE_2, 10 * MS, 2)
    runner.say()


def test_it_adapts_by_the_policy_that_is_named_and_is_refused_without_it(houses: Houses) -> None:
    house = houses(adaptation="static")
    house.start()
    runner = Runner(house)
    ran_faster_with_fewer(runner)
    runner.say()  # what was run before has been followed by now
    assert house.engine.limits[runner.task_id] == (32, 2)
    assert reasons(house, LimitChanged) == []
    (spec,) = house.spec.generators
    house.spec = replace(house.spec, generators=(replace(spec, adaptation="clever"),))
    house.restart()
    (rejected,) = house.orchestrator.status().rejected
    assert "no such adaptation policy" in rejected.rationale.sentence
    assert house.engine.generators == {}


def test_it_adapts_to_what_it_ran_and_all_of_that_is_on_record(houses: Houses) -> None:
    house = houses()
    house.start()
    runner = Runner(house)
    assert house.engine.limits[runner.task_id] == (32, 2)
    fewer_are_faster(runner)
    assert house.engine.limits[runner.task_id] == (32, 1)
    (changed,) = reasons(house, LimitChanged)
    assert (changed.limit, changed.before, changed.after) == ("batch", 2, 1)
    assert isinstance(changed.cause, FewerAreFaster)
    adapted = fares(house)
    assert (adapted.tokens, adapted.cycles, adapted.changes) == (4 * 1 + 4 * 2, 8, 1)
    assert (adapted.latency_ns, adapted.context) == (10 * MS, 10)
    assert adapted.arena_used_bytes == house.orchestrator.status().arena_used_bytes
    # Another request waits now, although there is a slot.
    assert isinstance(runner.talk.ask(Question([3], 5), runner.heard.append), int)
    assert (runner.talk.running, runner.talk.waiting) == (1, 1)
    house.orchestrator.cleanup()
    record = CycleRecord(house.journal.with_name("cycles.sqlite"))
    rows = record.latest(100)
    record.close()
    assert [(row.task, row.prefill, row.batch, row.tokens) for row in rows] == [
        *[("llm", 0, 1, 1)] * 4,
        *[("llm", 0, 2, 2)] * 4,
    ]
    assert [bool(row.decision) for row in rows] == [False] * 7 + [True]


def test_a_step_that_had_no_memory_halves_the_batch_and_is_on_record(houses: Houses) -> None:
    house = houses()
    house.start()
    runner = Runner(house)
    runner.cycles.append(Cycle(1, DECODE_2, 2, 10, 0, MS, time.monotonic_ns(), runner.request, 1))
    runner.house.engine.say(runner.task_id, runner.request, 65)
    until(lambda: house.engine.limits[runner.task_id] == (32, 1))
    (changed,) = reasons(house, LimitChanged)
    assert isinstance(changed.cause, AllocationFailed) and changed.cause.request == runner.request
    runner.cycles.append(Cycle(2, DECODE_1, 1, 10, 0, MS, time.monotonic_ns(), runner.request, 2))
    runner.house.engine.say(runner.task_id, runner.request, 65)
    until(lambda: fares(house).out_of_memory == 2)
    (refused,) = reasons(house, OutOfMemory)
    assert (refused.tried, refused.batch) == (2, 1)
    assert (fares(house).cycles, fares(house).changes) == (0, 1), "nothing ran"


def test_an_arena_that_is_nearly_full_shortens_no_batch_as_that_would_free_nothing(
    houses: Houses,
) -> None:
    house = houses()
    house.start()
    used_bytes = house.orchestrator.status().arena_used_bytes
    house.orchestrator.cleanup()
    full = replace(house.spec.device, arena_bytes=used_bytes * 100 // 99)
    house.spec = replace(house.spec, device=full)
    house.orchestrator = house._open()
    house.start()
    runner = Runner(house)
    for _ in range(3):
        runner.run(DECODE_1, 2 * MS)
        runner.say()
    assert house.engine.limits[runner.task_id] == (32, 2)
    assert reasons(house, LimitChanged) == []


def test_what_it_chose_holds_within_what_a_task_leaves_and_begins_anew_after_it(
    houses: Houses,
) -> None:
    house = houses()
    orchestrator = house.start()
    runner = Runner(house)
    fewer_are_faster(runner)
    assert orchestrator.register(house.task(period_ms=25, wcet_ms=10)).accepted
    assert house.engine.limits[runner.task_id][0] == 8
    assert fares(house).limits.chunk == 8, "it chooses among what is left"
    orchestrator.unregister("detector")
    orchestrator.settle()
    assert house.engine.limits[runner.task_id] == (32, 2)


def test_no_choice_undoes_what_is_narrowed_for_a_task_that_comes(houses: Houses) -> None:
    house = houses()
    orchestrator = house.start()
    lane = summary(house).lane
    task = AnalysisTask("detector", (10 * MS,), 25 * MS, 25 * MS, 0, Criticality.HIGH, lane)
    generators = orchestrator.generators
    assert generators.narrow(generators.beside({"detector": (task, lane)})) == ()
    runner = Runner(house)
    chunk, _ = house.engine.limits[runner.task_id]
    assert chunk < 32
    fewer_are_faster(runner)
    assert house.engine.limits[runner.task_id] == (chunk, 1)
    generators.settle()  # somebody else went
    assert house.engine.limits[runner.task_id] == (chunk, 1)
    generators.widen()
    assert house.engine.limits[runner.task_id] == (chunk, 1)
    generators.settle()
    assert house.engine.limits[runner.task_id] == (32, 1)


def test_a_task_that_goes_does_not_resume_what_is_paused_for_one_that_comes(
    houses: Houses,
) -> None:
    house = houses()
    orchestrator = house.start()
    lane = summary(house).lane
    short = AnalysisTask("short", (MS,), MS, MS, 0, Criticality.HIGH, lane)
    generators = orchestrator.generators
    generators.narrow(generators.beside({"short": (short, lane)}))
    assert isinstance(conversation(house).enter(), GeneratorRefused)
    generators.settle()
    assert isinstance(conversation(house).enter(), GeneratorRefused)
    assert reasons(house, GeneratorRefused) == [], "nothing was decided yet"
    generators.widen()
    generators.settle()
    assert conversation(house).enter() is None


def test_a_task_is_refused_while_a_step_that_it_cannot_wait_for_does_not_end(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_PART_S", 0.0)
    house = houses()
    orchestrator = house.start()
    (task_id,) = house.engine.generators
    assert isinstance(conversation(house).ask(Question([1, 2], 9), lambda answer: None), int)
    house.engine.running[0] = task_id
    answer = orchestrator.register(house.task(period_ms=25, wcet_ms=10))
    assert not answer.accepted
    assert "has not ended yet; try again" in answer.rationale.sentence
    assert house.engine.limits[task_id] == (32, 2)
    assert house.engine.loaded == {}
    house.engine.running.clear()  # others have the lane, and leave it no time
    assert orchestrator.register(house.task(period_ms=25, wcet_ms=10)).accepted
    assert house.engine.limits[task_id] == (8, 2)


def test_whatever_an_engine_counts_answers_go_on(houses: Houses) -> None:
    house = houses()
    house.start()
    runner = Runner(house)
    runner.run(99, -5, -7)
    runner.run(-1, 2**62, 2**62)
    runner.run(DECODE_2, -(2**62), -(2**62), ended_ns=2**62)
    runner.say()
    fewer_are_faster(runner)
    assert runner.heard[-1].tokens == 2
    assert fares(house).tokens == 12


def test_cycles_that_cannot_be_kept_are_reported_and_answers_go_on(houses: Houses) -> None:
    house = houses()
    house.journal.with_name("cycles.sqlite").mkdir(parents=True)
    house.start()
    runner = Runner(house)
    runner.run(DECODE_1, MS)
    runner.say()
    until(lambda: reasons(house, CyclesNotKept))
    assert fares(house).tokens == 1
    runner.run(DECODE_1, MS)
    runner.say()
    house.orchestrator.cleanup()
    assert len(reasons(house, CyclesNotKept)) == 1


def test_one_that_is_shed_for_memory_ends_its_answers_and_comes_back(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0]
    real = MemoryPressure.changed
    monkeypatch.setattr(MemoryPressure, "changed", lambda self, state, _: real(self, state, now[0]))
    house = houses()
    orchestrator = house.start()
    (task_id,) = house.engine.generators
    heard: list[Answer] = []
    conversation(house).ask(Question((1, 2), 8, Sampling()), heard.append)
    well = MemoryState(1000, 900)
    orchestrator.memory_changed(replace(well, available_bytes=10))
    orchestrator.settle()
    assert house.engine.generators == {}
    assert summary(house).state is GeneratorState.PAUSED
    (shed,) = reasons(house, ShedForMemory)
    assert (shed.task, summary(house).problem) == ("llm", shed)
    assert conversation(house).ask(Question((1, 2), 8, Sampling()), heard.append) == shed
    now[0] = 1
    orchestrator.memory_changed(well)
    now[0] += house.spec.memory.hold_ns
    big = replace(well, total_bytes=1 << 40, available_bytes=1 << 39)
    orchestrator.memory_changed(big)
    orchestrator.settle()
    now[0] += house.spec.memory.hold_ns
    orchestrator.memory_changed(big)
    orchestrator.settle()
    assert list(house.engine.generators) == [task_id]
    assert house.engine.limits[task_id] == (32, 2)
    assert summary(house).state is GeneratorState.RUNNING
    assert isinstance(conversation(house).ask(Question((1, 2), 8, Sampling()), heard.append), int)
