"""The engine as its node sees it: order, queues, slots, loading; with a real engine process."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref

import numpy as np
import pytest

from aegis_ros.backends.testing.networks import make_network
from aegis_ros.engine import SlotFrame
from aegis_ros.errors import EngineError, InputError
from aegis_ros.rationale import Rule
from test.engine.bench import HANG, MS, RAISE, Bench, simulated
from test.waiting import until


@pytest.fixture
def bench():
    with Bench() as made:
        yield made


def test_a_frame_becomes_a_result_with_its_timing(bench):
    channel = bench.channel()
    bench.load(1, 2 * MS)
    seq = bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")
    result = bench.heard.results[0]
    assert (result.task_id, result.seq) == (1, seq)
    assert result.arrival_ns <= result.released_ns <= result.started_ns < result.finished_ns
    assert 2 * MS <= result.execution_ns <= result.finished_ns - result.started_ns
    assert set(bench.heard.outputs[0]) == {"values", "more"}
    np.testing.assert_array_equal(bench.heard.outputs[0]["more"], np.ones((2, 2)))


def test_nothing_of_the_folder_it_starts_in_is_imported(tmp_path, monkeypatch):
    """Robots are started from /tmp, too, where every user may put a module."""
    for name in ("json", "numpy", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    with Bench() as bench:
        channel = bench.channel()
        bench.load(1)
        bench.feed(channel, 1)
        bench.wait(lambda heard: heard.results, "a result")


def test_several_tasks_read_one_copy_of_a_frame(bench):
    channel = bench.channel(slots=1)
    bench.load(1)
    bench.load(2)
    for _ in range(3):
        bench.feed(channel, 1, 2)
        bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "both results")
    assert channel.acquire() is not None


def test_the_earliest_deadline_runs_first_whatever_came_first(bench):
    channel = bench.channel()
    for task in (1, 2, 3, 4):
        bench.load(task, 50 * MS if task == 1 else MS)
    bench.feed(channel, 1)
    bench.running(1)
    for task, deadline in ((2, 900), (3, 300), (4, 600)):
        bench.feed(channel, task, deadline_ms=deadline)
    bench.wait(lambda heard: len(heard.results) == 4, "all results")
    assert [result.task_id for result in bench.heard.results] == [1, 3, 4, 2]


def test_a_more_urgent_job_takes_over_between_segments(bench):
    channel = bench.channel()
    bench.load(1, 50 * MS, 50 * MS)
    bench.load(2, MS)
    bench.feed(channel, 1, deadline_ms=2000)
    bench.running(1)
    bench.feed(channel, 2, deadline_ms=100)
    bench.wait(lambda heard: len(heard.results) == 2, "both results")
    assert [result.task_id for result in bench.heard.results] == [2, 1]
    assert bench.heard.results[1].execution_ns >= 100 * MS


def test_the_newest_frame_replaces_the_oldest_that_waits(bench):
    channel = bench.channel()
    bench.load(1, 100 * MS)
    first = bench.feed(channel, 1)
    bench.running(1)
    old, new = bench.feed(channel, 1), bench.feed(channel, 1)
    bench.wait(lambda heard: len(heard.results) == 2, "two results")
    assert [result.seq for result in bench.heard.results] == [first, new]
    assert [skip[:3] for skip in bench.heard.skips] == [(1, old, Rule.NEWER_FRAME)]


def test_two_lanes_run_side_by_side():
    with Bench(lanes=2) as bench:
        channel = bench.channel()
        bench.load(1, 300 * MS, lane=0)
        bench.load(2, 300 * MS, lane=1)
        bench.feed(channel, 1, 2)
        bench.wait(lambda heard: len(heard.results) == 2, "both results")
        one, two = bench.heard.results
        assert max(one.started_ns, two.started_ns) < min(one.finished_ns, two.finished_ns)


def test_a_node_that_keeps_every_result_gets_skips_with_a_reason_and_no_hang():
    with Bench(release=False) as bench:
        channel = bench.channel()
        bench.load(1)
        while not bench.heard.skips:
            bench.feed(channel, 1)
            bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "an answer")
        assert bench.heard.skips[0][2] is Rule.LIMIT
        assert "output slots" in bench.heard.skips[0][3]
        bench.heard.results[0].release()
        bench.heard.results[0].release()  # twice does no harm
        count = len(bench.heard.results)
        bench.feed(channel, 1)
        bench.wait(lambda heard: len(heard.results) == count + 1, "a result again")


def test_a_network_that_raises_costs_its_job_alone(bench):
    channel = bench.channel()
    bench.load(1)
    bench.feed(channel, 1, value=RAISE)
    bench.wait(lambda heard: heard.skips, "a skip")
    assert bench.heard.skips[0][2] is Rule.RUN_FAILED
    assert "set to fail" in bench.heard.skips[0][3]
    for _ in range(10):  # its output slots are all there
        bench.feed(channel, 1)
        bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "a result")
    assert len(bench.heard.results) == 10


def test_a_frame_for_a_task_nobody_loaded_is_skipped(bench):
    channel = bench.channel(slots=1)
    bench.feed(channel, 7)
    assert bench.heard.skips[0][2] is Rule.STATE
    assert channel.acquire() is not None


def test_a_frame_larger_than_its_slot_is_refused(bench):
    channel = bench.channel()
    slot = channel.acquire()
    with pytest.raises(InputError, match="larger than its slot"):
        channel.array(slot, (400, 400, 3))
    channel.cancel(slot)


def test_a_slot_or_shape_that_cannot_be_is_a_skip_and_no_crash(bench):
    channel = bench.channel()
    bench.load(1)
    slot = channel.acquire()
    bench.client.submit((SlotFrame(channel, slot, (60_000, 60_000, 3)),), 0, [(1, 1, 0, 0)])
    bench.wait(lambda heard: heard.skips, "a skip")
    assert bench.heard.skips[0][2] is Rule.RUN_FAILED
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")


def test_a_frame_of_too_many_extents_is_refused(bench):
    channel = bench.channel()
    slot = channel.acquire()
    with pytest.raises(InputError, match="too many extents"):
        bench.client.submit((SlotFrame(channel, slot, (1,) * 8),), 0, [(1, 1, 0, 0)])


def test_a_network_that_cannot_be_loaded_leaves_nothing(bench):
    channel = bench.channel()
    before = _fds(bench)
    for _ in range(20):
        with pytest.raises(EngineError, match="cannot load"):
            bench.load(1, compiled=simulated(path="unloadable.onnx"))
    assert _fds(bench) <= before
    bench.load(1)
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")


def test_loading_twice_or_on_no_lane_is_refused(bench):
    bench.channel()
    bench.load(1)
    with pytest.raises(EngineError, match="already"):
        bench.load(1)
    with pytest.raises(EngineError, match="no such lane"):
        bench.load(2, lane=5)


def test_opening_a_channel_twice_is_refused(bench):
    bench.channel()
    with pytest.raises(EngineError, match="already open"):
        bench.channel()


def test_removing_a_task_while_it_runs_is_safe(bench):
    channel = bench.channel()
    bench.load(1, 200 * MS)
    bench.load(2)
    bench.feed(channel, 1)
    bench.running(1)
    bench.feed(channel, 1)
    bench.client.unload(1)
    bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "both jobs")
    assert {skip[2] for skip in bench.heard.skips} == {Rule.OPERATOR}
    bench.feed(channel, 2)
    bench.wait(lambda heard: heard.results, "the other task's result")


def test_unloading_what_is_not_loaded_and_closing_what_is_not_open_pass(bench):
    bench.client.unload(99)
    bench.client.close_channel("nothing")


def test_a_thousand_loads_and_unloads_leak_neither_descriptors_nor_memory(bench):
    bench.channel()

    def cycle(times: int) -> None:
        for _ in range(times):
            bench.load(1)
            bench.client.unload(1)

    cycle(200)
    bench.wait(lambda _: bench.client.status().standby_pid, "a process that stands by")
    fds, memory = _fds(bench), _memory(bench)
    cycle(800)
    assert _fds(bench) <= fds
    assert _memory(bench) - memory < 8 * 1024**2


def test_loading_does_not_hold_up_tasks_that_run(bench, tmp_path):
    """While one thread loads and unloads, every frame of another task is answered."""
    channel = bench.channel()
    bench.load(1)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            bench.load(2)
            bench.client.unload(2)

    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(50):
        bench.feed(channel, 1)
        bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "a result")
    stop.set()
    thread.join()
    assert len(bench.heard.results) == 50


def test_measuring_gives_one_row_a_run_and_one_column_a_segment(bench):
    reported = []
    samples = bench.client.profile(
        simulated(MS, 2 * MS), 0, 20, lambda done, worst: reported.append((done, worst)) or True
    )
    assert samples.shape == (20, 2)
    assert (samples >= [MS, 2 * MS]).all()
    assert reported[-1] == (20, samples.sum(1).max())


def test_measuring_can_be_stopped_and_other_requests_get_a_turn(bench):
    bench.channel()
    begun = threading.Event()
    go_on = threading.Event()
    results = []

    def progress(done: int, worst: int) -> bool:
        begun.set()
        return not go_on.is_set()

    thread = threading.Thread(
        target=lambda: results.append(bench.client.profile(simulated(MS), 0, 10**6, progress))
    )
    thread.start()
    assert begun.wait(100.0)
    bench.load(1)
    bench.client.unload(1)
    go_on.set()
    thread.join(100.0)
    assert 0 < len(results[0]) < 10**6


def test_measuring_a_network_that_cannot_be_loaded_is_refused(bench):
    with pytest.raises(EngineError, match="cannot load"):
        bench.client.profile(simulated(path="unloadable.onnx"), 0, 5, lambda done, worst: True)


def test_real_networks_run_in_the_engine(tmp_path):
    from aegis_ros.backends import create_backend

    backend = create_backend("onnxruntime")
    means = backend.compile(make_network(tmp_path, "means", "a"), tmp_path)
    bright = backend.compile(make_network(tmp_path, "bright", "b"), tmp_path)
    with Bench(backend="onnxruntime") as bench:
        channel = bench.channel()
        bench.load(1, compiled=means)
        bench.load(2, compiled=bright)
        bench.feed(channel, 1, value=3)
        bench.wait(lambda heard: len(heard.results) == 1, "means")
        np.testing.assert_allclose(bench.heard.outputs[0]["means"], [3, 3, 3])
        bench.feed(channel, 2, shape=(2, 2, 3))
        bench.wait(lambda heard: len(heard.results) == 2, "places")
        assert bench.heard.outputs[1]["bright"].shape == (3, 12)


def test_an_output_too_large_for_its_slot_is_a_skip_of_that_job(tmp_path):
    from aegis_ros.backends import create_backend

    backend = create_backend("onnxruntime")
    shape = (256, 256, 3)
    compiled = backend.compile(make_network(tmp_path, "bright", shape=shape), tmp_path)
    with Bench(backend="onnxruntime") as bench:
        from aegis_ros.engine import ChannelSpec
        from aegis_ros.spec import FrameFormat

        channel = bench.client.open_channel(ChannelSpec("camera", FrameFormat.RGB8, shape, 4))
        bench.load(1, compiled=compiled)
        bench.feed(channel, 1, shape=shape)
        bench.wait(lambda heard: heard.skips, "a skip")
        assert bench.heard.skips[0][2] is Rule.RUN_FAILED
        assert "larger than its slot" in bench.heard.skips[0][3]
        bench.feed(channel, 1, value=0, shape=shape)
        bench.wait(lambda heard: heard.results, "a result")
        assert bench.heard.outputs[0]["bright"].shape == (3, 0)


def test_a_callback_that_raises_does_not_stop_the_results():
    with Bench() as bench:
        channel = bench.channel()
        bench.load(1)
        seen = []

        def fails_first(result):
            seen.append(result.seq)
            if len(seen) == 1:
                raise RuntimeError("a decoder of poor quality")
            result.release()

        bench._on_result = fails_first  # type: ignore[method-assign]
        bench.feed(channel, 1)
        bench.feed(channel, 1, deadline_ms=2000)
        until(lambda: len(seen) == 2)


class _Origin:
    """Something a node wants back with its job."""


def test_what_is_handed_in_with_a_job_comes_out_with_its_end_and_is_then_let_go():
    given, skips = _Origin(), []
    alive = weakref.ref(given)
    with Bench() as bench:
        channel = bench.channel()
        bench.load(1)
        bench._on_skip = skips.append
        bench.feed(channel, 1, 2, origin=given)  # there is no task 2
        bench.wait(lambda heard: heard.results, "a result")
        assert bench.heard.results[0].origin is given
        assert bench.heard.results[0].handed_ns >= bench.heard.results[0].finished_ns
        assert [(skip.task_id, skip.origin) for skip in skips] == [(2, given)]
        bench.heard.results.clear()
        skips.clear()
        bench.feed(channel, 1, value=HANG, origin=given)
        bench.feed(channel, 1, origin=given)  # waits
        bench.feed(channel, 1, origin=given)  # replaces it
        until(lambda: skips)
        assert [(skip.rule, skip.origin) for skip in skips] == [(Rule.NEWER_FRAME, given)]
        bench.kill(signal.SIGKILL)
        bench.wait(lambda heard: heard.events, "a loss")
        skips.clear()
        del given
        gc.collect()
        assert alive() is None


def test_says_what_it_was_permitted(bench):
    info = bench.client.info()
    assert info.pid == bench.client.status().pid
    assert info.backend == "simulated"
    assert info.determinism.startswith("given: ")


def _fds(bench: Bench) -> tuple[int, int]:
    gc.collect()  # what earlier tests left
    return tuple(  # type: ignore[return-value]
        len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), bench.client.status().pid)
    )


def _memory(bench: Bench) -> int:
    with open(f"/proc/{bench.client.status().pid}/statm") as pages:
        return int(pages.read().split()[1]) * 4096
