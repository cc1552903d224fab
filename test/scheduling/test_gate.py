"""The rate gate lets through exactly what period and jitter allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.scheduling import RateGate


@given(
    st.integers(1, 50),
    st.integers(0, 80),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 80), st.integers(0, 80)), max_size=40),
)
def test_a_stream_that_keeps_its_contract_passes_whole(
    period: int, jitter: int, frames: list[tuple[int, int, int]]
) -> None:
    gate = RateGate(period, jitter)
    arrival, ready = 0, 0
    settled: list[int] = []
    for gap, way, work in frames:
        received = max(ready, arrival + min(way, jitter))
        ready = max(received, min(received + work, arrival + jitter))
        assert gate.accept(received)
        settled.append(gate.settle(received, ready))
        assert ready - jitter <= settled[-1] <= arrival
        arrival += period + gap
    assert all(later - sooner >= period for sooner, later in pairwise(settled))


@given(st.integers(1, 50), st.integers(0, 80), st.lists(st.integers(0, 40), max_size=60))
def test_what_passes_keeps_the_contract(period: int, jitter: int, gaps: list[int]) -> None:
    gate = RateGate(period, jitter)
    now = 0
    arrivals = []
    for gap in gaps:
        now += gap
        if gate.accept(now):
            arrivals.append(gate.settle(now, now))
            assert 0 <= now - arrivals[-1] <= jitter
    assert all(later - sooner >= period for sooner, later in pairwise(arrivals))


@given(
    st.integers(1, 50),
    st.integers(0, 80),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200)), max_size=60),
)
def test_a_frame_that_is_held_up_neither_turns_others_away_nor_puts_them_off(
    period: int, jitter: int, frames: list[tuple[int, int]]
) -> None:
    gate, plain = RateGate(period, jitter), RateGate(period, jitter)
    now = 0
    for gap, work in frames:
        now += gap
        accepted = gate.accept(now)
        assert accepted == plain.accept(now), "what passes depends on reception alone"
        if accepted:
            ready = now + work
            assert min(now, ready - jitter) <= gate.settle(now, ready) <= now


def test_a_camera_at_its_period_passes_though_frames_take_a_while_to_be_ready() -> None:
    gate = RateGate(33_000, 0)
    for at in range(0, 333_330, 33_333):
        assert gate.accept(at)
        assert gate.settle(at, at + 2_000) == at


def test_a_camera_that_is_too_fast_loses_the_frames_in_between() -> None:
    gate = RateGate(100, 10)
    assert [gate.accept(at) for at in range(0, 400, 50)] == [True, False] * 4


@pytest.mark.parametrize(("period", "jitter"), [(0, 0), (-1, 0), (10, -1)])
def test_a_contract_that_makes_no_sense_is_refused(period: int, jitter: int) -> None:
    with pytest.raises(ValueError, match="period"):
        RateGate(period, jitter)
