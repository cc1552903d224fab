"""Completions are matched to what was started by their token; what does not match is ignored."""

from __future__ import annotations

import threading

from aegis_ros.backends import Completion
from test.engine.bench import TIMEOUT_S
from test.engine.inside import Inside, takes


def test_a_completion_reported_twice_or_for_nothing_ends_no_other_job():
    bench = Inside()
    tokens: list[int] = []
    entered, go = threading.Event(), threading.Event()

    def second() -> None:
        entered.set()
        go.wait(TIMEOUT_S)

    original = bench.device.start

    def start(lane, work):
        tokens.append(work.token)
        original(lane, work)

    bench.device.start = start  # type: ignore[method-assign]
    bench.load(1, takes(0.001))
    bench.load(2, second)
    with bench:
        bench.feed(1)
        bench.settle()
        bench.feed(2)
        assert entered.wait(TIMEOUT_S)
        for stale in (tokens[0], tokens[1] + 1, 0, -1):
            bench.loop.ended(stale, Completion(1, 2))
        assert len(tokens) == 2
        go.set()
        reported = bench.settle()
    assert [task for task, _ in reported.done] == [1, 2]
    assert len(set(tokens)) == 2


def test_a_completion_may_come_from_any_thread():
    bench = Inside()

    def start(lane, work):
        token = work.token
        threading.Thread(target=bench.loop.ended, args=(token, Completion(1, 2))).start()

    bench.device.start = start  # type: ignore[method-assign]
    bench.load(1, takes(0.0), takes(0.0))
    with bench:
        for _ in range(20):
            bench.feed(1)
            bench.settle()
    assert len(bench.reported.done) == 20
