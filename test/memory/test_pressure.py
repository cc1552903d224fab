"""What gives way while memory is short, and what comes back."""

from __future__ import annotations

from dataclasses import replace

from aegis_ros.memory import MemoryState, PressureChange, PressureGovernor, Sheddable

MIB = 2**20
S = 1_000_000_000
SMALL, LARGE = Sheddable("small", 10 * MIB), Sheddable("large", 300 * MIB)
BOTH = [LARGE, SMALL]
WELL = MemoryState(1000 * MIB, 800 * MIB, 0.0)
LOW = replace(WELL, available_bytes=40 * MIB)
ALMOST_NONE = replace(WELL, available_bytes=20 * MIB)
STALLED = replace(WELL, stalled=0.3)


def governor() -> PressureGovernor:
    return PressureGovernor(least_free=0.05, most_stalled=0.1, hold_ns=30 * S)


def test_with_memory_to_spare_nothing_changes() -> None:
    for state in (WELL, MemoryState(), replace(WELL, available_bytes=50 * MIB, stalled=None)):
        assert governor().decide(state, BOTH, 0) == PressureChange()


def test_one_after_the_other_goes_while_memory_stays_short() -> None:
    made = governor()
    assert made.decide(LOW, BOTH, 0) == PressureChange(shed=(LARGE,))
    assert made.decide(LOW, BOTH, 1 * S) == PressureChange()  # it may be enough
    assert made.decide(LOW, BOTH, 2 * S) == PressureChange(shed=(SMALL,))
    assert made.decide(LOW, BOTH, 4 * S) == PressureChange()
    assert made.shed == (LARGE, SMALL)


def test_all_go_at_once_where_half_of_what_must_stay_is_gone() -> None:
    assert governor().decide(ALMOST_NONE, BOTH, 0) == PressureChange(shed=(LARGE, SMALL))


def test_time_that_is_lost_counts_as_well_and_its_average_is_waited_for() -> None:
    made = governor()
    assert made.decide(STALLED, BOTH, 0) == PressureChange(shed=(LARGE,))
    assert made.decide(STALLED, BOTH, 9 * S) == PressureChange()
    assert made.decide(STALLED, BOTH, 10 * S) == PressureChange(shed=(SMALL,))


def test_they_come_back_one_by_one_the_last_one_first() -> None:
    made = governor()
    made.decide(ALMOST_NONE, BOTH, 0)
    assert made.decide(WELL, BOTH, 1 * S) == PressureChange()
    assert made.decide(WELL, BOTH, 30 * S) == PressureChange()
    assert made.decide(WELL, BOTH, 31 * S) == PressureChange(restored=(SMALL,))
    assert made.decide(WELL, BOTH, 60 * S) == PressureChange()
    assert made.decide(WELL, BOTH, 61 * S) == PressureChange(restored=(LARGE,))
    assert made.shed == ()


def test_what_would_be_short_again_at_once_stays_away() -> None:
    made = governor()
    made.decide(LOW, [LARGE], 0)
    tight = replace(WELL, available_bytes=370 * MIB)  # 70 MiB would be left, and 75 must
    for second in range(100):
        assert made.decide(tight, [LARGE], second * S) == PressureChange()
    enough = replace(WELL, available_bytes=375 * MIB)
    made.decide(enough, [LARGE], 100 * S)
    assert made.decide(enough, [LARGE], 130 * S) == PressureChange(restored=(LARGE,))


def test_what_has_no_room_in_another_group_stays_away() -> None:
    made = governor()
    made.decide(LOW, [LARGE], 0)
    full = replace(WELL, others=((LARGE.nbytes, 2 * LARGE.nbytes),))
    for second in range(100):
        assert made.decide(full, [LARGE], second * S) == PressureChange()


def test_memory_that_swings_about_a_limit_changes_nothing_after_the_first_time() -> None:
    made, changes = governor(), []
    for second in range(600):
        state = LOW if second % 20 < 2 else WELL
        changes.append(made.decide(state, [LARGE], second * S))
    assert [each for each in changes if each != PressureChange()] == [PressureChange((LARGE,))]


def test_half_of_the_time_that_may_be_lost_is_not_calm() -> None:
    made = governor()
    made.decide(STALLED, [SMALL], 0)
    for second in range(1, 100):
        assert made.decide(replace(WELL, stalled=0.06), [SMALL], second * S) == PressureChange()


def test_what_is_removed_is_forgotten_and_what_failed_waits_once_more() -> None:
    made = governor()
    made.decide(ALMOST_NONE, BOTH, 0)
    made.decide(WELL, [LARGE], 1 * S)
    assert made.shed == (LARGE,)
    assert made.decide(WELL, [LARGE], 31 * S) == PressureChange(restored=(LARGE,))
    made.failed(LARGE)
    assert made.decide(WELL, [LARGE], 32 * S) == PressureChange()
    assert made.decide(WELL, [LARGE], 62 * S) == PressureChange(restored=(LARGE,))
