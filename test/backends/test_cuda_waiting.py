"""How a GPU lane's thread waits: every way gives the same results, and keeps only its own core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from aegis_ros.backends import (
    Backend,
    Completion,
    Part,
    Work,
    create_backends,
    lane_classes,
    lanes_to_open,
)
from aegis_ros.backends.cuda import CudaError
from aegis_ros.backends.cuda.waiting import Past, waiting
from aegis_ros.config import parse_config
from aegis_ros.errors import ConfigError
from aegis_ros.spec import DeviceSpec, LaneSpec, Wait
from test.backends import fake_ort, fake_tensorrt
from test.backends.fake_cuda import FakeDriver

US, MS = 1_000, 1_000_000
TOOLKITS = {
    "onnxruntime_cuda": (fake_ort.fake_toolkit, fake_ort.fake_backend),
    "tensorrt": (fake_tensorrt.fake_toolkit, fake_tensorrt.fake_backend),
}
NAMES = {Wait.SLEEP: "synchronize", Wait.SPIN: "spin"}


class Gpu:
    """An opened backend over fakes, with one lane that waits in one way."""

    def __init__(self, backend: str, wait: Wait | None) -> None:
        toolkit_of, backend_of = TOOLKITS[backend]
        self.driver = FakeDriver()
        self.ended: SimpleQueue[Completion] = SimpleQueue()
        self.backend: Backend = backend_of(toolkit_of(self.driver))  # type: ignore[operator]
        lanes = (LaneSpec("main", wait=wait),)
        self.backend.open(lanes, lambda token, done: self.ended.put(done), 0)

    def run(self, network: object, frame: np.ndarray, outputs: Sequence[np.ndarray]) -> str:
        """Run all segments of one job; return what went wrong."""
        for step in range(network.segments):  # type: ignore[attr-defined]
            self.backend.start(0, Work([Part(network, [frame], outputs)], step=step))  # type: ignore[arg-type]
            error = self.ended.get(timeout=100.0).error
            if error:
                return error
        return ""


@pytest.fixture(params=sorted(TOOLKITS))
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[Wait | None], Gpu]]:
    """Return a function (way to wait) -> opened backend; nothing is left behind in the end."""
    made: list[Gpu] = []

    def opened(wait: Wait | None) -> Gpu:
        made.append(Gpu(request.param, wait))
        return made[-1]

    yield opened
    for gpu in made:
        gpu.backend.close()
        assert not any(gpu.driver.held.values()), gpu.driver.held


# -- results and lifetimes --------------------------------------------------------------------


@pytest.mark.parametrize("wait", [None, *Wait])
def test_every_way_gives_the_same_results_and_leaves_nothing_behind(
    opened: Callable[[Wait | None], Gpu],
    make_network: Callable[..., object],
    shared_cache: Path,
    wait: Wait | None,
) -> None:
    gpu = opened(wait)
    compiled = gpu.backend.compile(make_network("chain"), shared_cache, 3)  # type: ignore[arg-type]
    network = gpu.backend.load(compiled, 0)
    outputs = [np.zeros(item.shape, item.dtype) for item in compiled.outputs]
    seen = []
    for seed in (1, 2, 1):
        frame = np.random.default_rng(seed).integers(0, 256, compiled.max_shape, np.uint8)
        assert gpu.run(network, frame, outputs) == ""
        seen.append([each.copy() for each in outputs])
    for first, second, again in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, again)
        assert (first != second).any()
    calls = gpu.driver.names()
    assert ("spin" in calls) == (wait is Wait.SPIN)  # `auto` knows too little yet


@pytest.mark.parametrize("wait", [Wait.SLEEP, Wait.SPIN])
def test_a_wait_that_fails_costs_its_job_and_the_next_one_is_right(
    opened: Callable[[Wait | None], Gpu],
    make_network: Callable[..., object],
    shared_cache: Path,
    wait: Wait,
) -> None:
    gpu = opened(wait)
    compiled = gpu.backend.compile(make_network(), shared_cache)  # type: ignore[arg-type]
    network = gpu.backend.load(compiled, 0)
    frame, means = np.full(compiled.max_shape, 7, np.uint8), np.zeros(3, np.float32)
    gpu.driver.fail[NAMES[wait]] = [1]
    assert "CUDA_ERROR_1" in gpu.run(network, frame, [means])
    assert gpu.run(network, frame, [means]) == ""
    np.testing.assert_allclose(means, 7.0)


def test_the_log_says_which_lanes_keep_a_core_busy(
    opened: Callable[[Wait | None], Gpu],
) -> None:
    assert "busy" not in opened(Wait.SLEEP).backend.determinism()
    assert "busy" not in opened(None).backend.determinism()
    assert "keep a core busy while the GPU computes for them (wait: spin): main" in (
        opened(Wait.SPIN).backend.determinism()
    )
    assert "keep their core busy for the last part of each segment (wait: auto): main" in (
        opened(Wait.AUTO).backend.determinism()
    )


# -- one wait ---------------------------------------------------------------------------------


class Bench:
    """One stream of a fake GPU, and a way to wait on it."""

    def __init__(self, wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
        self.driver = FakeDriver()
        self.driver.attach()
        self.undo = ExitStack()
        self.stream = self.driver.create_stream(1)
        self.way = waiting(self.driver, wait, self.undo)
        self.past = Past()
        self.now_ns = 0
        self.naps: list[float] = []
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "sleep", self._slept)

    def wait(self, takes_ns: int) -> list[str]:
        """Wait for a segment that takes so long; return the calls of the driver."""
        self.driver.calls.clear()
        ends_ns = self.now_ns + takes_ns
        synchronize = self.driver.synchronize

        def synchronized(event: int) -> None:
            synchronize(event)
            self.now_ns = max(self.now_ns, ends_ns)

        self.driver.synchronize = synchronized  # type: ignore[method-assign]
        try:
            self.way.behind(self.stream, self.past)
        finally:
            self.driver.synchronize = synchronize  # type: ignore[method-assign]
        return self.driver.names()

    def _slept(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("wait", [Wait.SLEEP, Wait.SPIN])
def test_one_event_serves_all_waits_of_a_lane(wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(wait, monkeypatch)
    for _ in range(200):
        assert bench.wait(MS) == ["record", NAMES[wait]]
    assert bench.naps == []
    assert bench.driver.held["events"] == 1
    bench.undo.close()
    assert bench.driver.held["events"] == 0


def test_auto_sleeps_through_what_a_segment_always_took_and_spins_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(Wait.AUTO, monkeypatch)
    for at in range(64):
        assert bench.wait(MS + at * US) == ["record", "synchronize"]
    assert bench.naps == []
    for at in range(64):
        assert bench.wait(MS + at * US) == ["record", "spin"]
    assert set(bench.naps) == {(MS - 150 * US) / 1e9}
    bench.undo.close()
    assert bench.driver.held["events"] == 0


def test_auto_spins_all_along_where_a_timer_would_be_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(Wait.AUTO, monkeypatch)
    for _ in range(64):
        bench.wait(100 * US)
    assert bench.wait(100 * US) == ["record", "spin"]
    assert bench.naps == []


def test_auto_goes_back_to_sleep_where_segments_differ_by_more_than_spinning_is_worth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(Wait.AUTO, monkeypatch)
    for _ in range(64):
        bench.wait(MS)
    assert bench.wait(3 * MS) == ["record", "spin"]
    assert bench.wait(MS) == ["record", "synchronize"]
    for _ in range(128):  # the slow one is forgotten
        bench.wait(MS)
    assert bench.wait(MS) == ["record", "spin"]


def test_auto_follows_a_segment_that_becomes_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(Wait.AUTO, monkeypatch)
    for _ in range(64):
        bench.wait(MS)
    for _ in range(12):
        bench.wait(500 * US)
    began = bench.now_ns
    bench.wait(500 * US)
    assert bench.now_ns - began == 500 * US


def test_a_wait_that_fails_is_not_taken_for_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(Wait.AUTO, monkeypatch)
    for _ in range(64):
        bench.wait(MS)
    bench.driver.fail["spin"] = [1]
    with pytest.raises(CudaError):
        bench.wait(0)
    bench.naps.clear()
    bench.wait(MS)
    assert bench.naps == [(MS - 150 * US) / 1e9]


# -- which lane waits how ---------------------------------------------------------------------


def device(text: str) -> DeviceSpec:
    return parse_config(f"device: {{{text}}}").device


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("", ["sleep"]),
        ("wait: spin", ["spin"]),
        ("wait: auto", ["sleep"]),  # the kernel may put the thread anywhere
        ("wait: auto, lanes: [{name: a, cpu: 1}, {name: b, cpu: 2}]", ["auto", "auto"]),
        ("wait: auto, lanes: [{name: a, cpu: 1}, {name: b, cpu: 1}]", ["sleep", "sleep"]),
        ("wait: auto, shared: true, lanes: [{name: a, cpu: 1}]", ["sleep"]),
        ("wait: auto, lanes: [{name: a, cpu: 1, shared: true}]", ["sleep"]),
        ("wait: auto, shared: true, lanes: [{name: a, cpu: 1, shared: false}]", ["auto"]),
        ("wait: spin, lanes: [{name: a, cpu: 1}, {name: b, wait: sleep}]", ["spin", "sleep"]),
        ("lanes: [{name: a, wait: spin}, {name: b}]", ["spin", "sleep"]),
        (
            "wait: spin, lanes: [{name: a}, {name: b, cpu: 1, backend: simulated}]",
            ["spin", "sleep"],
        ),
        (
            "wait: auto, lanes: [{name: a, cpu: 1}, {name: b, cpu: 1, backend: simulated}]",
            ["sleep", "sleep"],
        ),
    ],
)
def test_a_lane_spins_by_itself_only_on_a_core_of_its_own(text: str, waits: list[str]) -> None:
    declared = replace(device(text), backend="onnxruntime_cuda")
    assert [lane.wait for lane in lanes_to_open(declared)] == waits


def test_lanes_that_wait_in_different_ways_have_different_budgets() -> None:
    lanes = "lanes: [{name: a, wait: spin}, {name: b}, {name: c, wait: spin}]"
    found = lane_classes(device(f"backend: onnxruntime_cuda, {lanes}"))
    assert [(each.waits, each.lanes) for each in found] == [("spin", ("a", "c")), ("sleep", ("b",))]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("backend: simulated, wait: spin", "device.wait"),
        ("wait: auto", "device.wait"),
        ("backend: simulated, lanes: [{name: a}, {name: b, wait: spin}]", "device.lanes[1].wait"),
    ],
)
def test_a_way_to_wait_is_refused_where_nothing_waits_for_a_device(text: str, where: str) -> None:
    with pytest.raises(ConfigError, match="has no effect") as caught:
        create_backends(device(text))
    assert where in str(caught.value)


def test_a_way_to_wait_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ConfigError) as caught:
        device("wait: spinning")
    for part in ("device.wait", "sleep", "spin", "auto"):
        assert part in str(caught.value)
