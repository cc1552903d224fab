"""What a plug-in or a record gets wrong costs a job, never the engine."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from aegis_ros.backends import Completion
from aegis_ros.engine.wire import OUTPUT_FREE, Kind, pack_place, pack_submit
from aegis_ros.rationale import Rule
from test.engine.bench import SHAPE, TIMEOUT_S, simulated
from test.engine.inside import Inside, takes


class Astray:
    """A plan that goes on with whatever it was made with, or raises it."""

    steps, total_ns, exit_after, branches = 2, 0, 0, True

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def first(self) -> int:
        return 0

    def after(self, step: int, outcome: object) -> int | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]

    def limit(self, step: int) -> int:
        return 1_000_000_000

    def remaining_ns(self, step: int) -> int:
        return self.limit(step)


@pytest.mark.parametrize("answer", [KeyError("lost"), 2, -1, "x", 1.0])
def test_a_plan_that_fails_costs_its_job(answer: object) -> None:
    bench = Inside()
    bench.load(1, takes(0.0))
    bench.load(2, takes(0.0), takes(0.0), steps=Astray(answer))
    with bench:
        for _ in range(2):
            bench.feed(2, 1)
            bench.settle()
    assert [task for task, _ in bench.reported.done] == [1, 1]
    assert [skip[2] for skip in bench.reported.skipped] == [Rule.RUN_FAILED] * 2
    assert all("its plan" in skip[3] for skip in bench.reported.skipped)


def test_extents_that_make_no_sense_cost_their_job() -> None:
    reported = [((1,) * 9, (2, 2)), ((-4,), (2, 2)), ((9**9,), (2, 2)), (("a",), (2, 2)), 5]
    bench = Inside()

    def start(lane, work):
        completion = Completion(1, 2, shapes=reported.pop() if reported else ((3,), (2, 2)))
        threading.Thread(target=bench.loop.ended, args=(work.token, completion)).start()

    bench.device.start = start  # type: ignore[method-assign]
    count = len(reported)
    compiled = replace(simulated(), dynamic_outputs=("values",))
    bench.load(1, takes(0.0), compiled=compiled, outputs=2)
    with bench:
        for _ in range(count + 1):
            bench.feed(1)
            bench.settle()
    assert len(bench.reported.skipped) == count and len(bench.reported.done) == 1
    assert all(skip[2] is Rule.RUN_FAILED for skip in bench.reported.skipped)


@pytest.mark.parametrize(
    "completion",
    [
        Completion(None, None),  # type: ignore[arg-type]
        Completion(1, 1 << 70),
        Completion(2, 1),
        Completion(1.5, 2.5),  # type: ignore[arg-type]
        Completion(1, 2, error=ValueError("x")),  # type: ignore[arg-type]
        Completion(1, 2, error="\udcff"),
        None,
    ],
)
def test_a_completion_that_is_none_costs_its_job(completion: Completion) -> None:
    bench = Inside()
    runs = bench.device.start
    bench.load(1, takes(0.0))
    bench.device.start = lambda lane, work: _elsewhere(  # type: ignore[method-assign]
        lambda: bench.loop.ended(work.token, completion)
    )
    with bench:
        bench.feed(1)
        bench.settle()
        bench.device.start = runs  # type: ignore[method-assign]
        bench.feed(1)
        assert bench.settle().done == [(1, 2)]
    assert [skip[2] for skip in bench.reported.skipped] == [Rule.RUN_FAILED]


def test_a_backend_that_reports_from_inside_start_costs_its_job() -> None:
    bench = Inside()
    bench.load(1, takes(0.0))
    bench.device.start = lambda lane, work: bench.loop.ended(  # type: ignore[method-assign]
        work.token, Completion(1, 2)
    )
    with bench:
        bench.feed(1)
        ((_, _, rule, text),) = bench.settle().skipped
    assert rule is Rule.RUN_FAILED and "inside `start`" in text


def test_a_backend_that_cannot_fetch_ahead_runs_all_the_same() -> None:
    bench = Inside()
    go = threading.Event()
    asked = threading.Event()
    bench.load(1, lambda: assert_in_time(go))
    bench.load(2, takes(0.0))

    def prefetch(network: object, inputs: object) -> bool:
        asked.set()
        raise KeyError("lost")

    bench.device.prefetch = prefetch  # type: ignore[method-assign]
    with bench:
        bench.feed(1, 2)
        assert_in_time(asked)
        go.set()
        assert sorted(bench.settle().done) == [(1, 1), (2, 2)]


def assert_in_time(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_S)


def _elsewhere(function: Callable[[], None]) -> None:
    threading.Thread(target=function).start()


def test_a_token_of_nothing_ends_nothing_on_an_idle_lane() -> None:
    bench = Inside(lanes=2)
    bench.load(1, takes(0.0))
    with bench:
        for token in (-2, -1, 0, 1):
            bench.loop.ended(token, Completion(1, 2))
            bench.loop.partial(token, 0, 1)
        bench.feed(1)
        assert bench.settle().done == [(1, 1)]


@pytest.mark.parametrize(
    "record",
    [
        bytes([Kind.SUBMIT, 200]) + bytes(200),
        bytes([Kind.SUBMIT]),
        pack_submit(1, 99, (0, 0, 0), pack_place(1, 1, SHAPE))[:-4],
        pack_submit(1, 99, (0, 0, 0), pack_place(1, 1, SHAPE)) + bytes(4),
        OUTPUT_FREE.pack(Kind.OUTPUT_FREE, 1, 0)[:-1],
        struct.pack("<B", 255),
    ],
)
def test_a_record_that_is_none_is_ignored(record: bytes) -> None:
    bench = Inside()
    bench.load(1, takes(0.0))
    with bench:
        bench.send(record)
        bench.feed(1)
        assert bench.settle().done == [(1, 1)]
    assert not bench.reported.skipped
