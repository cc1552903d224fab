"""What every engine keeps: the real client and the fake that tests run an orchestrator on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import (
    Asked,
    Channel,
    ChannelSpec,
    EngineClient,
    JobSkip,
    LoadGenerator,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.errors import EngineError, InputError
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import GeneratorPlan, SegmentPlan
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import FrameFormat
from test.engine.bench import HANG, MS, RAISE, SHAPE, Bench, simulated
from test.engine.fake import FakeEngine
from test.engine.test_speeches import FACTS
from test.waiting import until


def _fake(*arguments: Any, **callbacks: Any) -> FakeEngine:
    engine = FakeEngine(*arguments, **callbacks)
    engine.runs = True
    return engine


@pytest.fixture(params=[EngineClient, _fake], ids=["client", "fake"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Bench(lanes=2, engine=request.param) as bench:
        yield bench


def _free(channel: Channel) -> int:
    """Return how many slots are free, and leave them so."""
    taken = []
    while (slot := channel.acquire()) is not None:
        taken.append(slot)
    for slot in taken:
        channel.cancel(slot)
    return len(taken)


def test_it_starts_once_and_says_what_it_is(bench: Bench) -> None:
    info = bench.client.info()
    assert info.pid == bench.client.status().pid > 0 and info.backend == "simulated"
    assert len(bench.client.status().lanes) == 2
    with pytest.raises(EngineError, match="already"):
        bench.client.start()
    bench.client.stop()
    bench.client.stop()
    assert bench.client.status().pid == 0 and bench.client.status().lanes == ()
    with pytest.raises(EngineError, match="not running") as error:
        bench.client.info()
    assert error.value.rule is Rule.ENGINE_RESTART
    assert bench.client.start().backend == "simulated"


def test_a_frame_becomes_a_result_with_what_was_handed_in(bench: Bench) -> None:
    channel, origin = bench.channel(), object()
    bench.load(1)
    free = _free(channel)
    before = time.monotonic_ns()
    seq = bench.feed(channel, 1, deadline_ms=500, origin=origin)
    bench.wait(lambda heard: heard.results, "a result")
    (result,) = bench.heard.results
    assert (result.task_id, result.seq, result.early_exit) == (1, seq, False)
    assert result.origin is origin
    assert before <= result.arrival_ns == result.received_ns == result.deadline_ns - 500 * MS
    assert before <= result.released_ns <= result.started_ns <= result.finished_ns
    assert result.finished_ns <= result.handed_ns and result.execution_ns > 0
    for item in simulated().outputs:
        assert result.outputs[item.name].shape == item.shape
        assert result.outputs[item.name].dtype == item.dtype
    result.release()  # a second time
    until(lambda: _free(channel) == free)


def test_a_frame_can_have_jobs_of_several_tasks(bench: Bench) -> None:
    channel, origin = bench.channel(), object()
    bench.load(1)
    bench.load(2, lane=1)
    free = _free(channel)
    bench.feed(channel, 1, 2, origin=origin)
    bench.wait(lambda heard: len(heard.results) == 2, "two results")
    assert {(result.task_id, result.origin) for result in bench.heard.results} == {
        (1, origin),
        (2, origin),
    }
    until(lambda: _free(channel) == free)


def test_a_job_that_cannot_be_handed_over_is_skipped_before_submit_returns(bench: Bench) -> None:
    skips: list[JobSkip] = []
    bench._on_skip = skips.append  # type: ignore[method-assign]
    channel, origin = bench.channel(), object()
    free = _free(channel)
    first = bench.feed(channel, 9, origin=origin)
    assert [(each.task_id, each.seq, each.rule) for each in skips] == [(9, first, Rule.STATE)]
    assert skips[0].origin is origin and skips[0].text
    assert _free(channel) == free
    bench.load(1)
    skips.clear()
    slot = channel.acquire()
    assert slot is not None
    bench.client.stop()
    bench.client.submit((SlotFrame(channel, slot, SHAPE),), 0, [(1, 5, 0, 0)], origin=origin)
    assert [(each.task_id, each.seq, each.rule) for each in skips] == [(1, 5, Rule.ENGINE_RESTART)]
    assert skips[0].origin is origin


def test_a_frame_of_too_many_extents_leaves_its_slot_with_the_caller(bench: Bench) -> None:
    channel = bench.channel()
    bench.load(1)
    free = _free(channel)
    slot = channel.acquire()
    assert slot is not None
    with pytest.raises(InputError, match="extents"):
        bench.client.submit((SlotFrame(channel, slot, (1,) * 9),), 0, [(1, 1, 0, 0)])
    assert _free(channel) == free - 1
    channel.cancel(slot)
    assert bench.accounted() == []


def test_a_job_that_fails_is_skipped(bench: Bench) -> None:
    channel = bench.channel()
    bench.load(1)
    seq = bench.feed(channel, 1, value=RAISE)
    bench.wait(lambda heard: heard.skips, "a skip")
    assert bench.heard.skips[0][:3] == (1, seq, Rule.RUN_FAILED) and bench.heard.skips[0][3]


def test_stopping_skips_every_job_in_flight_once(bench: Bench) -> None:
    skips: list[JobSkip] = []
    bench._on_skip = skips.append  # type: ignore[method-assign]
    channel, origin = bench.channel(), object()
    bench.load(1)
    bench.load(2, lane=1)
    bench.feed(channel, 1, 2, value=HANG, origin=origin)
    bench.client.stop()
    assert sorted((each.task_id, each.rule, each.origin is origin) for each in skips) == [
        (1, Rule.OPERATOR, True),
        (2, Rule.OPERATOR, True),
    ]
    assert bench.heard.results == []


def test_it_begins_anew_after_a_stop(bench: Bench) -> None:
    bench.channel()
    bench.load(1)
    bench.client.stop()
    bench.client.start()
    channel = bench.channel()
    bench.load(1)
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")


def test_a_task_is_loaded_once_and_again_when_it_was_unloaded(bench: Bench) -> None:
    bench.load(1)
    with pytest.raises(EngineError, match="already loaded"):
        bench.load(1)
    bench.client.unload(1)
    bench.client.unload(1)
    bench.load(1)
    with pytest.raises(EngineError, match="no such lane"):
        bench.load(2, lane=2)


def test_a_channel_is_opened_once_and_again_when_it_was_closed(bench: Bench) -> None:
    bench.channel("camera")
    with pytest.raises(EngineError, match="already open"):
        bench.channel("camera")
    bench.client.close_channel("camera")
    bench.client.close_channel("camera")
    bench.channel("camera")


def test_without_an_engine_nothing_is_opened_or_loaded(bench: Bench) -> None:
    bench.client.stop()
    spec = LoadSpec(1, "task", simulated(), 0, "camera")
    for request in (
        lambda: bench.client.open_channel(ChannelSpec("camera", FrameFormat.RGB8, SHAPE, 4)),
        lambda: bench.client.load(spec),
        lambda: bench.client.profile(simulated(), 0, 1, lambda done, worst: True),
    ):
        with pytest.raises(EngineError, match="not running") as error:
            request()
        assert error.value.rule is Rule.ENGINE_RESTART


def test_measuring_gives_a_row_for_each_run_and_reports_progress(bench: Bench) -> None:
    reported: list[tuple[int, int]] = []

    def on_progress(done: int, worst: int) -> bool:
        reported.append((done, worst))
        return True

    samples = bench.client.profile(simulated(MS, 2 * MS), 1, 3, on_progress, cold=False)
    assert samples.shape == (3, 2) and samples.dtype == np.int64 and samples.min() > 0
    assert reported[-1][0] == 3 and reported[-1][1] > 0


def test_speed_and_scaling_can_be_set_at_any_time(bench: Bench) -> None:
    for _ in range(2):
        bench.client.set_speed(0.5)
        bench.client.set_critical_scaling(1, 1.5)
        bench.client.stop()


def test_a_loaded_task_can_be_held_to_other_budgets(bench: Bench) -> None:
    bench.client.change_budgets(9, SegmentPlan(1, (MS,)))  # nobody's
    channel = bench.channel()
    bench.load(1, MS, wcet_ns=(1000,))
    bench.client.change_budgets(1, SegmentPlan(1, (1000 * MS,)))
    bench.feed(channel, 1, deadline_ms=500)
    bench.wait(lambda heard: heard.results, "a result")
    assert not bench.heard.overruns


def test_a_language_model_is_asked_and_lets_nobody_without_an_end(bench: Bench) -> None:
    """On an engine of the fake, and on a client whose backend runs none, which says so."""
    model = CompiledGenerator("key", ("a", "b"), ("", ""), FACTS)
    plan = GeneratorPlan((MS, MS, MS), (0, 1), 1)
    shapes = (Shape(2, True), Shape(1, False))
    spec = LoadGenerator(5, "assistant", model, 0, plan, shapes, KvShape(2, 20, 8))
    asked = Asked(1, 0, [1, 2], 5, Sampling())
    with pytest.raises(EngineError, match="no such language model"):
        bench.client.ask(5, asked)
    bench.client.cancel(5, 1)
    bench.client.limit(5, chunk=2, batch=1)
    assert bench.client.cycle(5) is None and bench.client.cycles(5, 0) == ()
    with pytest.raises(InputError, match="negative"):
        bench.client.limit(5, batch=-1)
    if isinstance(bench.client, EngineClient):
        with pytest.raises(EngineError, match="runs no language models"):
            bench.client.load_generator(spec)
        return
    bench.client.load_generator(spec)
    with pytest.raises(EngineError, match="already loaded"):
        bench.client.load_generator(spec)
    bench.client.ask(5, asked)
    with pytest.raises(InputError, match="cannot be taken"):
        bench.client.ask(5, asked)
    bench.client.unload(5)
    assert [each.ended for each in bench.heard.spoken] == [Ending.REMOVED]
