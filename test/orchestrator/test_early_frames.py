"""Early frames are summed up, with the contract that would have taken them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.config import parse_task
from aegis_ros.orchestrator.early_frames import EarlyFrames
from aegis_ros.rationale.frames import FrameTooEarly
from aegis_ros.scheduling import RateGate
from aegis_ros.spec import TaskSpec

MS = 1_000_000
S = 1000 * MS
BEGIN = 7 * S


def a_task(period_ms: float = 200, jitter_ms: float = 5, **more: object) -> TaskSpec:
    fields: dict[str, object] = {
        "name": "face_detector",
        "model": "net.onnx",
        "input": {"topic": "/camera/image"},
        "output": {"topic": "/faces"},
        "period_ms": period_ms,
        "jitter_ms": jitter_ms,
    }
    return parse_task(fields | more)


def _fed(spec: TaskSpec, times_ns: list[int]) -> EarlyFrames:
    """Bring frames to the gate and to the sum."""
    gate, early = RateGate(spec.period_ns, spec.release_jitter_ns), EarlyFrames(spec)
    for at_ns in times_ns:
        early.note(at_ns, early=not gate.accept(at_ns))
    return early


def _reason(early: EarlyFrames) -> FrameTooEarly:
    found = early.take(BEGIN + 600 * S, 9, "/camera/image")
    assert found is not None
    assert found[0].frames == found[1]
    return found[0]


def test_a_camera_that_is_early_now_and_then_gets_the_jitter_that_fits() -> None:
    times = [BEGIN + number * 200 * MS for number in range(300)]
    for number in range(20, 300, 20):
        times[number] -= 49 * MS
    reason = _reason(_fed(a_task(), times))
    assert (reason.frames, reason.least_gap_ns) == (14, 151 * MS)
    assert round(reason.within_ns / S) == 60
    (jitter,) = reason.counterfactuals
    assert (jitter.change, jitter.value) == ("jitter_ms", 49.0)
    assert _accepts_all(a_task(jitter_ms=49), times)
    assert not _accepts_all(a_task(jitter_ms=48), times)


def test_a_camera_that_is_faster_than_declared_is_not_helped_by_jitter() -> None:
    times = [BEGIN + number * 100 * MS // 3 for number in range(300)]
    (only,) = _reason(_fed(a_task(period_ms=100), times)).counterfactuals
    assert (only.change, only.value) == ("period_ms", 33.3)


def test_jitter_that_the_deadline_has_no_room_for_is_not_offered() -> None:
    times = [BEGIN + number * 200 * MS for number in range(12)]
    times[5] -= 140 * MS
    assert _reason(_fed(a_task(deadline_ms=100), times)).counterfactuals == ()
    assert _reason(_fed(a_task(), times)).counterfactuals[0].value == 140.0


@pytest.mark.parametrize("gaps_ms", [(0,) * 12, (1, 99) * 6, (60,)])
def test_bunches_and_single_frames_have_no_contract_that_fits(gaps_ms: tuple[int, ...]) -> None:
    times = (BEGIN + np.cumsum([0, *gaps_ms]) * MS).tolist()
    reason = _reason(_fed(a_task(), times))
    assert reason.frames > 0 and reason.counterfactuals == ()


def test_it_is_reported_at_once_and_then_once_a_minute() -> None:
    early, reports = EarlyFrames(a_task()), []
    assert not early.due(BEGIN)
    early.note(BEGIN, early=False)
    for number in range(1, 1500):
        now = BEGIN + number * 100 * MS
        early.note(now, early=number % 2 == 1)
        if early.due(now):
            found = early.take(now, number, "/camera/image")
            assert found is not None
            reports.append((now - BEGIN, found[1]))
    assert reports == [(100 * MS, 1), (60_100 * MS, 300), (120_100 * MS, 300)]
    left = early.take(BEGIN + 150 * S, 1500, "/camera/image")
    assert left is not None and left[1] == 149
    assert early.take(BEGIN + 151 * S, 1500, "/camera/image") is None


@st.composite
def _streams(draw: st.DrawFn) -> list[int]:
    gaps = draw(st.lists(st.integers(1, 400), min_size=10, max_size=60))
    return (BEGIN + np.cumsum([0, *gaps]) * MS).tolist()


@given(_streams(), st.integers(0, 60))
def test_whatever_is_offered_lets_every_frame_through(times: list[int], jitter_ms: int) -> None:
    spec = a_task(period_ms=100, jitter_ms=jitter_ms, deadline_ms=1000)
    early = _fed(spec, times)
    found = early.take(times[-1], 0, "/camera/image")
    for change in () if found is None else found[0].counterfactuals:
        period = change.value if change.change == "period_ms" else 100
        jitter = change.value if change.change == "jitter_ms" else jitter_ms
        fitting = a_task(period_ms=period, jitter_ms=jitter, deadline_ms=1000)
        assert _accepts_all(fitting, times)


def _accepts_all(spec: TaskSpec, times_ns: list[int]) -> bool:
    gate = RateGate(spec.period_ns, spec.release_jitter_ns)
    return all(gate.accept(at_ns) for at_ns in times_ns)
