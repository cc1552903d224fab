"""The growth of a counter over a window that does not depend on who asks, and how often."""

from __future__ import annotations

import pytest

from aegis_ros.orchestrator.window import WINDOW_NS, Growth, Window, window_ns

MS = 1_000_000
S = 1000 * MS


@pytest.mark.parametrize("asked_every_ms", [(500,), (500, 1), (1000, 1, 1), (37,), (20_000,)])
def test_every_reader_sees_the_same_share_however_often_it_asks(
    asked_every_ms: tuple[int, ...],
) -> None:
    window, now, seen = Window(), 0, []
    while now < 100 * S:
        for pause_ms in asked_every_ms:
            now += pause_ms * MS
            seen.append((now, window.growth(now, now // 5)))
    # A window that has just begun knows nothing, which is not the same as everything.
    first = seen[0][0]
    assert {each.share for at, each in seen if at - first < WINDOW_NS // 5} == {0.0}
    known = [each for at, each in seen if at - first >= WINDOW_NS // 5]
    assert all(each.share == pytest.approx(0.2) for each in known)
    long = [each.within_ns for at, each in seen if at - first >= 2 * WINDOW_NS]
    step = max(asked_every_ms) * MS + WINDOW_NS // 32
    assert all(WINDOW_NS <= each <= WINDOW_NS + step or each == max(long) for each in long)


def test_a_counter_that_began_anew_has_no_past() -> None:
    window = Window(5 * S)
    window.growth(0, 1000)
    assert window.growth(5 * S, 6000) == Growth(5000, 5 * S)
    assert window.growth(6 * S, 10) == Growth(0, 0)
    assert window.growth(8 * S, 30) == Growth(20, 2 * S)


def test_a_reader_that_was_overtaken_ends_no_window() -> None:
    window = Window(5 * S)
    for now in range(0, 10 * S, 100 * MS):
        window.growth(now, now // 2)
    late = window.growth(9 * S, 9 * S // 2 - 10 * MS)
    assert late.share == pytest.approx(0.5, abs=0.01)


def test_nothing_is_kept_of_what_is_older_than_the_window() -> None:
    window = Window(5 * S)
    for now in range(0, 1000 * S, 10 * MS):
        window.growth(now, now)
    assert len(window._samples) <= 34


def test_a_window_holds_several_periods_of_a_slow_task() -> None:
    assert window_ns(50 * MS) == WINDOW_NS
    assert window_ns(4 * S) == 40 * S
    assert Growth(0, 0).hz == 0.0 and Growth(10, 5 * S).hz == 2.0
