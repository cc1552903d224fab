"""Layouts of prepared networks: cut as at registration, slowed as measured, hopes never too low."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import create_backends
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.planning.lane_options import OptionsLayout
from aegis_ros.planning.lane_search import best_placement
from aegis_ros.planning.lane_trial import Trial
from aegis_ros.planning.layouts import layouts_of, with_most_lanes
from aegis_ros.planning.preparation import Preparation
from aegis_ros.spec import DeviceSpec, LaneSpec, TaskSpec
from aegis_ros.wcet import (
    Batch,
    Condition,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    ProfileStore,
    RememberedProfiles,
)
from test.network.builders import identity_network
from test.orchestrator.house import MS, House


class Bench:
    """Tasks with networks of their own, and the store that they were measured into."""

    def __init__(self, folder: Path, lanes: Sequence[LaneSpec], arena_mib: float = 64) -> None:
        self.house = House(folder)
        device = replace(
            self.house.spec.device,
            lanes=tuple(lanes),
            arena_bytes=round(arena_mib * 1024 * 1024),
        )
        self.backends = create_backends(device)
        self.profiles = ProfileStore(folder / "profiles.sqlite")
        self.known = RememberedProfiles(self.profiles)
        self.preparation = Preparation(
            replace(self.house.spec, device=device), self.backends, self.known, folder / "cache"
        )
        self.tasks: list[TaskSpec] = []
        self._networks: dict[str, tuple[ProfileKey, str, str]] = {}

    def task(self, name: str, alone_ms: float, **changes: object) -> None:
        index = len(self.tasks)
        path = self.house.folder / f"{name}.onnx"
        identity_network(path, (1, 3, 8, 8 + index))
        spec = self.house.task(
            name, model=str(path), wcet_ms=0, preprocess={"size": [8, 8 + index]}, **changes
        )

        def measure(_: object, compiled: object, key: ProfileKey, digest: str) -> None:
            self._networks[name] = key, digest, compiled.key  # type: ignore[attr-defined]
            self._put(name, alone_ms, Condition())

        self.preparation.prepare(spec, measure)
        self.known.forget()
        self.tasks.append(spec)

    def beside(self, name: str, other: str, taken_ms: float, lane: str = "") -> None:
        neighbour = Neighbour(self._networks[other][2], Place.BESIDE, lane, other)
        self._put(name, taken_ms, Condition(neighbour=neighbour))
        self.known.forget()

    def _put(self, name: str, taken_ms: float, condition: Condition) -> None:
        key, digest, _ = self._networks[name]
        samples = np.full((50, 1), round(taken_ms * MS), np.int64)
        self.profiles.add(Profile(key, digest, (Batch(samples, 1, condition),)))
        self.known.forget()

    def layout(self, assumed: str = "1") -> OptionsLayout:
        options = [self.preparation.prepare(each, None) for each in self.tasks]
        return OptionsLayout(options, self.preparation, Fraction(assumed))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes that slow each other."""
    meeting = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", meeting)


def two() -> list[LaneSpec]:
    return [LaneSpec("a"), LaneSpec("b")]


def placements(layout: OptionsLayout, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    for lanes in product(layout.lanes, repeat=len(names)):
        yield dict(zip(names, lanes, strict=True))


def budgets_ms(layout: OptionsLayout, lane_of: Mapping[str, str]) -> dict[str, float]:
    return {name: task.work_ns / MS for name, (task, _) in layout.running(lane_of).items()}


def test_budgets_are_those_beside_the_tasks_of_other_lanes(shared: None, tmp_path: Path) -> None:
    bench = Bench(tmp_path, two())
    bench.task("near", 10)
    bench.task("far", 10)
    bench.beside("near", "far", 20)
    bench.beside("far", "near", 14)
    layout = bench.layout()
    alone = budgets_ms(layout, {"near": "a", "far": "a"})
    apart = budgets_ms(layout, {"near": "a", "far": "b"})
    assert alone["near"] == alone["far"]
    assert apart["near"] == 2 * alone["near"]
    assert apart["far"] == pytest.approx(1.4 * alone["far"])
    assert layout.assumptions({"near": "a", "far": "b"}) == ()


def test_what_was_never_measured_is_assumed_and_listed(shared: None, tmp_path: Path) -> None:
    bench = Bench(tmp_path, two())
    bench.task("near", 10)
    bench.task("far", 10)
    bench.beside("near", "far", 15)
    layout = bench.layout("3")
    alone = budgets_ms(layout, {"near": "a", "far": "a"})
    apart = budgets_ms(layout, {"near": "a", "far": "b"})
    assert apart["near"] == pytest.approx(1.5 * alone["near"])
    assert apart["far"] == pytest.approx(3 * alone["far"])
    assert layout.assumptions({"near": "a", "far": "b"}) == (("far", "near"),)
    assert layout.assumptions({"near": "a", "far": "a"}) == ()


def test_a_network_is_cut_only_where_its_lane_needs_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, two())
    bench.task("urgent", 2, deadline_ms=10)
    bench.task("long", 30)
    layout = bench.layout()
    segments = {
        lane: [
            len(task.segments_ns)
            for task, _ in layout.running({"urgent": "a", "long": lane}).values()
        ]
        for lane in ("a", "b")
    }
    assert segments["b"] == [1, 1]
    assert segments["a"][0] == 1 and segments["a"][1] > 1
    assert Trial(layout).slack({"urgent": "a", "long": "a"}) >= 0.0


def test_a_network_that_is_not_to_be_cut_stays_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path, two())
    bench.task("urgent", 2, deadline_ms=10)
    bench.task("long", 30, segments=1)
    assert Trial(bench.layout()).slack({"urgent": "a", "long": "a"}) < 0.0
    assert best_placement(Trial(bench.layout())).slack > 0.0


def test_hope_is_nowhere_below_what_becomes_of_it(shared: None, tmp_path: Path) -> None:
    """Whole, cut, slowed, estimated: what the search leaves out could not have been better."""
    bench = Bench(tmp_path, two())
    for name, alone_ms, deadline_ms in (("urgent", 2, 12), ("long", 24, 60), ("wide", 20, 45)):
        bench.task(name, alone_ms, deadline_ms=deadline_ms)
    for name in ("urgent", "long", "wide"):
        for other in ("urgent", "long", "wide"):
            if name != other:
                bench.beside(name, other, {"urgent": 2.6, "long": 30, "wide": 25}[name])
    layout = bench.layout()
    trial = Trial(layout)
    names = ("urgent", "long", "wide")
    seen = set()
    for full in placements(layout, names):
        value = trial.slack(full)
        seen.add(value >= 0.0)
        for count in range(1, 4):
            part = {name: full[name] for name in trial.tasks[:count]}
            assert trial.hope(part) >= value
    assert seen == {True, False}
    best = best_placement(trial)
    assert best.slack == max(trial.slack(each) for each in placements(layout, names))
    assert best.gap == 0.0


def test_networks_that_do_not_fit_into_memory_are_no_choice(tmp_path: Path) -> None:
    small = Bench(tmp_path, two(), arena_mib=0.001)
    for name in ("a", "b"):
        small.task(name, 1)
    assert best_placement(Trial(small.layout())).slack == -float("inf")


def test_cores_are_alike_and_streams_of_a_gpu_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "cores", two())
    bench.task("one", 1)
    assert bench.layout().alike("a") == bench.layout().alike("b")
    ranked = replace(SimulatedBackend.capabilities, contends="the device", on_cores=False)
    monkeypatch.setattr(SimulatedBackend, "capabilities", ranked)
    bench = Bench(tmp_path / "streams", two())
    bench.task("one", 1)
    assert bench.layout().alike("a") != bench.layout().alike("b")


def test_each_core_makes_one_lane_more_up_to_four() -> None:
    backend = SimulatedBackend()
    found = layouts_of(DeviceSpec(), backend, {0, 1, 2, 3, 4, 5})
    assert [each.label for each in found] == ["1 lane", "2 lanes", "3 lanes", "4 lanes"]
    assert [[lane.cpu for lane in each.device.lanes] for each in found] == [
        [5],
        [4, 5],
        [3, 4, 5],
        [2, 3, 4, 5],
    ]
    assert [lane.name for lane in found[0].device.lanes] == ["main"]
    assert [lane.name for lane in found[1].device.lanes] == ["lane1", "lane2"]
    assert len(layouts_of(DeviceSpec(), backend, {3})) == 1


class Divisible(SimulatedBackend):
    """A GPU that can be divided."""

    capabilities = replace(SimulatedBackend.capabilities, on_cores=False, partitions=True)

    def multiprocessors(self) -> int:
        return 66


def test_a_gpu_is_shared_by_streams_or_divided_into_equal_parts_or_a_small_one_and_the_rest() -> (
    None
):
    found = layouts_of(DeviceSpec(), Divisible(), ())
    assert [(each.label, [lane.sms for lane in each.device.lanes]) for each in found] == [
        ("1 lane", [None]),
        ("2 lanes", [None, None]),
        ("3 lanes", [None, None, None]),
        ("4 lanes", [None, None, None, None]),
        ("2 lanes of 33 and 33 multiprocessors", [33, None]),
        ("2 lanes of 16 and 50 multiprocessors", [16, None]),
        ("3 lanes of 22, 22 and 22 multiprocessors", [22, 22, None]),
        ("4 lanes of 16, 16, 16 and 18 multiprocessors", [16, 16, 16, None]),
    ]
    whole = SimulatedBackend()
    streams = replace(SimulatedBackend.capabilities, on_cores=False)
    whole.capabilities = streams  # type: ignore[misc]
    assert len(layouts_of(DeviceSpec(), whole, ())) == 4


def test_whoever_asks_what_networks_may_run_on_gets_as_many_lanes_as_there_may_be() -> None:
    auto = DeviceSpec(backend="simulated", lanes=())
    assert [lane.cpu for lane in with_most_lanes(auto, {0, 1}).lanes] == [0, 1]
    declared = DeviceSpec()
    assert with_most_lanes(declared, {0, 1}) is declared
