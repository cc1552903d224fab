"""What the gaps of a table give, counted tick by tick."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, Place
from aegis_ros.analysis.supply import Supply, fits_in_gaps

CYCLE = 20


@st.composite
def tables(draw: st.DrawFn) -> list[Place]:
    """Places that do not overlap; the last may reach into the next cycle."""
    places: list[Place] = []
    at = draw(st.integers(0, 6))
    first = at
    while at < CYCLE and len(places) < 4:
        end = min(at + draw(st.integers(1, 6)), first + CYCLE)
        places.append(Place("task", len(places), 0, at, end))
        at = end + draw(st.integers(0, 8))
    return places


@given(
    tables(),
    st.lists(st.integers(1, 6), min_size=1, max_size=2),
    st.integers(1, 3),
    st.integers(0, 50),
)
def test_the_least_supply_is_that_of_the_worst_interval(
    places: list[Place], parts: list[int], grain: int, length: int
) -> None:
    longest = max(parts) * grain
    taken = sorted((place.start_ns, place.end_ns) for place in places)
    gaps = [
        (end + cycle * CYCLE, after + cycle * CYCLE)
        for cycle in range(-1, 6)
        for (_, end), (after, _) in zip(taken, [*taken[1:], (taken[0][0] + CYCLE, 0)], strict=True)
    ]

    def given_from(start: int) -> int:
        total = 0
        for begin, end in gaps:
            at = max(start, begin)
            if end - at >= longest:
                whole = -(-(end - at - longest + 1) // grain) * grain
                total += max(0, min(start + length - at, whole))
        return total

    worst = min(given_from(start) for start in range(2 * CYCLE))
    supply = Supply(places, CYCLE, longest, grain)
    assert supply.least_ns(np.array([length], np.int64)).tolist() == [worst]


def test_a_segment_that_fills_the_only_gap_fits_once_a_cycle() -> None:
    places = [Place("a", 0, 0, 0, 14)]
    task = AnalysisTask("b", (6,), 40, 40)
    assert fits_in_gaps([task], places, CYCLE)
    assert not fits_in_gaps([AnalysisTask("b", (7,), 40, 40)], places, CYCLE)
    assert fits_in_gaps([AnalysisTask("b", (6,), 40, 25)], places, CYCLE)
    assert not fits_in_gaps([AnalysisTask("b", (6,), 40, 24)], places, CYCLE)


def test_a_switch_counts_against_the_gap() -> None:
    places = [Place("a", 0, 0, 0, 14)]
    assert not fits_in_gaps([AnalysisTask("b", (6,), 40, 40)], places, CYCLE, switch_ns=1)


def test_nothing_always_fits_and_a_full_table_has_no_room() -> None:
    full = [Place("a", 0, 0, 0, CYCLE)]
    assert fits_in_gaps([], full, CYCLE)
    assert fits_in_gaps([AnalysisTask("b", (1,), 1_000, 1_000)], full, CYCLE) is False
