"""Frames of several inputs brought together: within tolerance, newest first, nothing lost."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.orchestrator.synchroniser import Synchroniser, Unmatched

INPUTS = st.integers(1, 4)
TOLERANCE = st.integers(0, 20)
QUEUE = st.integers(1, 5)
ARRIVALS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), max_size=40)


def arrivals(inputs: int, drawn: list[tuple[int, int]]) -> list[tuple[int, int, tuple[int, int]]]:
    """Index, stamp and frame of each arrival; a frame is its stamp and its number."""
    return [(index % inputs, stamp, (stamp, n)) for n, (index, stamp) in enumerate(drawn)]


@given(INPUTS, TOLERANCE, QUEUE, ARRIVALS)
def test_every_set_has_one_frame_an_input_within_the_tolerance(inputs, tolerance, queue, drawn):
    made = Synchroniser(inputs, tolerance, queue)
    of_input = {frame: index for index, _, frame in arrivals(inputs, drawn)}
    for index, stamp, frame in arrivals(inputs, drawn):
        frames = made.add(index, stamp, frame).frames
        if frames is None:
            continue
        assert [of_input[each] for each in frames] == list(range(inputs))
        assert frame in frames  # released when the last is there
        stamps = [stamp for stamp, _ in frames]
        assert max(stamps) - min(stamps) <= tolerance


@given(INPUTS, TOLERANCE, QUEUE, ARRIVALS)
def test_every_frame_is_given_out_once_or_dropped_once_or_waits(inputs, tolerance, queue, drawn):
    made = Synchroniser(inputs, tolerance, queue)
    seen: list[tuple[int, int]] = []
    for index, stamp, frame in arrivals(inputs, drawn):
        reported = made.add(index, stamp, frame)
        seen += [*(reported.frames or ()), *(each.frame for each in reported.dropped)]
        assert len(reported.dropped) <= inputs * queue
    waiting = list(made)
    assert len(waiting) <= inputs * queue
    assert sorted(seen + waiting) == sorted(frame for *_, frame in arrivals(inputs, drawn))


@given(INPUTS, TOLERANCE, QUEUE, ARRIVALS)
def test_no_complete_set_waits(inputs, tolerance, queue, drawn):
    made = Synchroniser(inputs, tolerance, queue)
    of_input = {frame: index for index, _, frame in arrivals(inputs, drawn)}
    for index, stamp, frame in arrivals(inputs, drawn):
        made.add(index, stamp, frame)
        waiting = [[each for each in made if of_input[each] == n] for n in range(inputs)]
        for chosen in product(*waiting):
            stamps = [stamp for stamp, _ in chosen]
            assert max(stamps) - min(stamps) > tolerance


@given(INPUTS, TOLERANCE, QUEUE, ARRIVALS)
def test_the_newest_set_wins_and_no_later_one_is_older(inputs, tolerance, queue, drawn):
    made = Synchroniser(inputs, tolerance, queue)
    of_input = {frame: index for index, _, frame in arrivals(inputs, drawn)}
    last: dict[int, tuple[int, int]] = {}
    for index, stamp, frame in arrivals(inputs, drawn):
        before = [*made, frame]
        frames = made.add(index, stamp, frame).frames
        if frames is None:
            continue
        each_input = [[one for one in before if of_input[one] == n] for n in range(inputs)]
        possible = [
            min(stamp for stamp, _ in chosen)
            for chosen in product(*each_input)
            if frame in chosen
            and max(s for s, _ in chosen) - min(s for s, _ in chosen) <= tolerance
        ]
        assert min(stamp for stamp, _ in frames) == max(possible)
        given_out = dict(enumerate(frames))
        assert all(one[0] >= given_out[of_input[one]][0] for one in made)
        assert all(one[0] >= last[of_input[one]][0] for one in frames if last)
        last = given_out


def test_no_frame_older_than_the_last_set_is_given_out_until_stamps_begin_anew():
    made: Synchroniser[str] = Synchroniser(2, 5, 4)
    made.add(0, 3_000_000_000, "a")
    assert made.add(1, 3_000_000_001, "x").frames == ("a", "x")
    late = made.add(0, 2_999_999_999, "late")
    assert [(each.frame, each.why) for each in late.dropped] == [("late", Unmatched.SUPERSEDED)]
    assert made.add(1, 3_000_000_002, "y").frames is None
    assert [each.frame for each in made.add(0, 7, "b").dropped] == ["y"]
    assert made.add(1, 8, "z").frames == ("b", "z")


def test_an_old_frame_without_a_partner_makes_way_when_its_queue_is_full():
    made: Synchroniser[str] = Synchroniser(2, 5, 2)
    for stamp, name in ((0, "a"), (10, "b")):
        assert made.add(0, stamp, name).dropped == ()
    reported = made.add(0, 20, "c")
    assert [(each.frame, each.why) for each in reported.dropped] == [("a", Unmatched.OVERFLOWED)]
    reported = made.add(1, 21, "x")
    assert reported.frames == ("c", "x")
    assert [(each.frame, each.why) for each in reported.dropped] == [("b", Unmatched.SUPERSEDED)]


def test_a_stamp_far_ahead_stands_in_the_way_of_none_that_follow():
    made: Synchroniser[str] = Synchroniser(2, 5, 1)
    made.add(0, 9_000_000_000, "ahead")  # before the clock was set
    reported = made.add(0, 10, "a")
    assert [(each.frame, each.why) for each in reported.dropped] == [
        ("ahead", Unmatched.SUPERSEDED)
    ]
    assert made.add(1, 11, "x").frames == ("a", "x")


def test_who_had_no_frame_for_one_that_makes_way_is_known():
    made: Synchroniser[str] = Synchroniser(3, 5, 1)
    made.add(0, 0, "camera")
    made.add(1, 4, "lidar")  # fits, and the radar is silent
    dropped = made.add(0, 10, "camera again").dropped
    assert [(each.frame, each.missing) for each in dropped] == [("camera", (2,))]
    dropped = made.add(0, 20, "camera once more").dropped
    assert [(each.frame, each.missing) for each in dropped] == [("camera again", (1, 2))]
