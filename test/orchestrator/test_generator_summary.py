"""What the status says of generators: admitted, narrowed, paused, lost, refused, and at work."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.engine import Cycle, EngineEvent
from aegis_ros.engine.speech import Ending
from aegis_ros.orchestrator import GeneratorState
from aegis_ros.orchestrator.request import Answer, Question
from aegis_ros.rationale.engine import EngineBack, TaskNotReloaded
from aegis_ros.rationale.generators import CacheTooLarge, GeneratorRefused
from test.orchestrator.house import MS
from test.orchestrator.test_generators import (  # noqa: F401
    DECODE_1,
    Houses,
    Runner,
    conversation,
    houses,
    prepared,
    summary,
)
from test.waiting import until

S = 1_000_000_000


def test_one_that_nobody_asks_is_ready_and_has_its_cache(houses: Houses) -> None:  # noqa: F811
    house = houses()
    house.start()
    found = summary(house)
    (loaded,) = house.engine.generators.values()
    assert (found.state, found.problem) == (GeneratorState.RUNNING, None)
    assert found.steps[-2:] == ("decode 1", "decode 2") and found.given_up == ()
    assert (found.running, found.waiting, found.stalled_ns) == (0, 0, 0)
    assert found.cache_bytes == 2 * loaded.cache.slot_bytes > 0 and found.cache_used_bytes == 0
    assert found.expected_tokens_per_s > 0
    assert (found.slots, found.max_len) == (2, loaded.cache.max_len)


def test_what_it_gave_up_is_named_until_it_is_back(houses: Houses) -> None:  # noqa: F811
    house = houses()
    orchestrator = house.start()
    assert orchestrator.register(house.task(period_ms=25, wcet_ms=10)).accepted
    found = summary(house)
    assert found.state is GeneratorState.RUNNING
    assert found.given_up == ("prefill 16", "prefill 32")
    assert not set(found.steps) & set(found.given_up)
    orchestrator.unregister("detector")
    orchestrator.settle()
    assert summary(house).given_up == ()


def test_what_it_was_never_admitted_with_is_not_given_up(houses: Houses) -> None:  # noqa: F811
    house = houses()
    house.spec = replace(house.spec, tasks=(house.task(period_ms=25, wcet_ms=10),))
    house.orchestrator = house._open()
    house.start()
    found = summary(house)
    assert found.given_up == () and "prefill 32" not in found.steps


def test_a_paused_one_has_given_up_everything(houses: Houses) -> None:  # noqa: F811
    house = houses()
    orchestrator = house.start()
    assert orchestrator.register(house.task(period_ms=10.5, wcet_ms=8)).accepted
    found = summary(house)
    assert found.state is GeneratorState.PAUSED and isinstance(found.problem, GeneratorRefused)
    assert found.steps == () and "decode 1" in found.given_up
    assert found.expected_tokens_per_s == 0.0


def test_a_lost_one_says_why(houses: Houses) -> None:  # noqa: F811
    house = houses()
    house.start()
    (task_id,) = house.engine.generators
    back = EngineBack(1, 0, (), (("llm", "no memory"),))
    house.engine.on_event(EngineEvent(back, recovered=True, failed=((task_id, "no memory"),)))
    found = summary(house)
    assert (found.state, found.problem) == (
        GeneratorState.FAILED,
        TaskNotReloaded("llm", "no memory"),
    )


def test_a_refused_one_stays_in_the_status_with_its_reason(houses: Houses) -> None:  # noqa: F811
    house = houses(arena_mib=1, slots=64)
    house.start()
    found = summary(house)
    assert found.state is GeneratorState.REFUSED and isinstance(found.problem, CacheTooLarge)
    assert (found.slots, found.steps, found.adapted) == (64, (), None)
    house.orchestrator.cleanup()
    assert house.orchestrator.status().generators == ()


def test_requests_are_counted_as_they_are_now_not_as_they_were_at_the_last_step(
    houses: Houses,  # noqa: F811
) -> None:
    house = houses()
    house.start()
    runner = Runner(house)
    for _ in range(2):
        assert isinstance(runner.talk.ask(Question([3], 5), runner.heard.append), int)
    runner.run(DECODE_1, MS)
    runner.say()
    slot_bytes = house.engine.generators[runner.task_id].cache.slot_bytes
    found = summary(house)
    assert (found.running, found.waiting) == (2, 1)
    assert found.cache_used_bytes == 2 * slot_bytes == found.cache_bytes
    for task_id, request in tuple(house.engine.asked):
        house.engine.say(task_id, request, ended=Ending.END)
    until(lambda: summary(house).running == 1)
    found = summary(house)
    assert (found.running, found.waiting, found.cache_used_bytes) == (1, 0, slot_bytes)


def test_it_stalls_from_its_last_step_or_from_the_first_request_whichever_is_later(
    houses: Houses,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = houses()
    house.start()
    begin = now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    heard: list[Answer] = []
    request = conversation(house).ask(Question([1, 2], 40), heard.append)
    assert isinstance(request, int)
    now = begin + 7 * S
    assert summary(house).stalled_ns == 7 * S
    (task_id,) = house.engine.generators
    house.engine.ran[task_id] = [Cycle(1, DECODE_1, 1, 10, 1, MS, begin + 6 * S)]
    assert summary(house).stalled_ns == 1 * S
    house.engine.say(task_id, request, 65, ended=Ending.END)
    until(lambda: summary(house).running == 0)
    assert summary(house).stalled_ns == 0, "nobody asks"
    now = begin + 90 * S
    assert isinstance(conversation(house).ask(Question([1], 5), heard.append), int)
    now = begin + 91 * S
    assert summary(house).stalled_ns == 1 * S


def test_a_lane_names_the_generator_that_runs_on_it(houses: Houses) -> None:  # noqa: F811
    house = houses()
    house.start()
    (task_id,) = house.engine.generators
    house.engine.running[0] = task_id
    (lane,) = house.orchestrator.status().lanes
    assert lane.running == "llm"
