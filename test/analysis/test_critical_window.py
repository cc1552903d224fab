"""Idling is for a job that would be late for certain, and for no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis.critical_window import Coming, idle_until


def test_a_long_job_waits_for_a_short_one_that_it_would_make_late() -> None:
    assert idle_until(9, need_ns=17, rest_ns=17, deadline_ns=60, coming=[(20, 10, 1)]) == 10
    assert (
        idle_until(9, need_ns=10, rest_ns=10, deadline_ns=60, coming=[(20, 10, 1)]) == 0
    )  # it ends in time


def test_two_jobs_that_fit_alone_but_not_together_are_waited_for() -> None:
    assert (
        idle_until(0, need_ns=10, rest_ns=10, deadline_ns=60, coming=[(16, 5, 4), (17, 6, 4)]) == 5
    )
    assert idle_until(0, need_ns=10, rest_ns=10, deadline_ns=60, coming=[(16, 5, 4)]) == 0
    assert idle_until(0, need_ns=10, rest_ns=10, deadline_ns=60, coming=[(17, 6, 4)]) == 0


def test_nobody_waits_for_what_comes_after_the_end() -> None:
    assert idle_until(0, need_ns=10, rest_ns=10, deadline_ns=60, coming=[(13, 10, 4)]) == 0


def test_nobody_waits_where_that_would_only_make_another_late() -> None:
    assert idle_until(9, need_ns=17, rest_ns=17, deadline_ns=27, coming=[(20, 10, 1)]) == 0


def test_an_empty_window_needs_no_idling() -> None:
    assert idle_until(0, need_ns=10, rest_ns=10, deadline_ns=10, coming=[]) == 0


@given(
    st.integers(0, 20),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(1, 10)), max_size=5),
)
def test_the_lane_idles_only_where_starting_makes_a_job_late(
    now: int, need: int, window: list[Coming]
) -> None:
    coming = [(now + due, now + at, wcet) for due, at, wcet in window]
    wake = idle_until(now, need_ns=need, rest_ns=need, deadline_ns=1_000, coming=coming)
    if wake:
        assert any(wake == at for _, at, _ in coming)
        assert now < wake < now + need
        end = now + need
        assert any(
            end + sum(other for by, _, other in coming if by <= due) > due for due, _, _ in coming
        )
