"""When a crash is bad luck, when a task is to blame, and when to give up."""

from __future__ import annotations

from aegis_ros.engine.client.history import CrashHistory

S = 1_000_000_000


def test_after_a_first_crash_it_starts_again_at_once():
    history = CrashHistory()
    history.note(0, [])
    assert history.delay_ns(0) == 0
    assert not history.hopeless(0)


def test_each_further_crash_waits_longer_but_never_beyond_two_seconds():
    history = CrashHistory()
    delays = []
    for crash in range(12):
        history.note(crash, [])
        delays.append(history.delay_ns(crash))
    assert delays == sorted(delays)
    assert delays[-1] == 2 * S


def test_five_crashes_within_a_minute_are_hopeless():
    history = CrashHistory()
    for crash in range(5):
        assert not history.hopeless(crash * S)
        history.note(crash * S, [])
    assert history.hopeless(4 * S)


def test_crashes_spread_over_a_long_time_are_not():
    history = CrashHistory()
    for crash in range(50):
        history.note(crash * 30 * S, [])
        assert not history.hopeless(crash * 30 * S)


def test_the_task_that_ran_at_three_crashes_is_quarantined():
    history = CrashHistory()
    assert history.note(0, [7]) == ()
    assert history.note(1, [7, 8]) == ()
    assert history.note(2, [7]) == (7,)
    assert history.quarantined == {7}


def test_crashes_of_a_quarantined_task_no_longer_count():
    history = CrashHistory()
    for crash in range(3):
        history.note(crash, [7])
    for crash in range(3, 7):
        history.note(crash, [])
    assert not history.hopeless(6)
    assert history.delay_ns(2) <= history.delay_ns(6)


def test_crashes_long_ago_are_not_held_against_a_task():
    history = CrashHistory()
    for crash in range(5):
        assert history.note(crash * 400 * S, [7]) == ()


def test_a_task_loaded_anew_has_a_new_chance():
    history = CrashHistory()
    for crash in range(3):
        history.note(crash, [7])
    history.forget(7)
    assert history.quarantined == frozenset()
    assert history.note(4, [7]) == ()


def test_starting_over_forgets_crashes_and_keeps_who_is_quarantined():
    history = CrashHistory()
    for crash in range(5):
        history.note(crash * S, [7] if crash < 3 else [])
    history.note(5 * S, [])
    history.start_over()
    assert history.quarantined == {7}
    history.note(6 * S, [])
    assert history.delay_ns(6 * S) == 0 and not history.hopeless(6 * S)
