"""What a network was measured beside counts where somebody may run, loads among it."""

from __future__ import annotations

import numpy as np

from aegis_ros.wcet import (
    Batch,
    Condition,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    Stress,
    at_once,
    contended,
)


def other(lane: str) -> Neighbour:
    return Neighbour("n2", Place.BESIDE, lane, "other")


def load(lane: str) -> Neighbour:
    return Neighbour("heavy", Place.BESIDE, lane, "memory load")


def profile(*batches: tuple[Condition, int], runs: int = 20) -> Profile:
    """Return a network that takes so much under each condition."""
    return Profile(
        ProfileKey("n", "b", "d"),
        "0" * 64,
        tuple(Batch(np.full((runs, 1), taken), 0, condition) for condition, taken in batches),
    )


BOTH = (
    (Condition(), 1000),
    (Condition(neighbour=other("b")), 1500),
    (Condition(Stress.MEMORY, neighbour=load("b")), 3000),
)


def test_a_load_counts_on_a_lane_that_is_busy() -> None:
    found = contended(profile(*BOTH), [[other("b")]])
    assert found.neighbour == load("b")
    assert 3 * found.alone_ns <= found.total_ns <= 3 * found.alone_ns + 10


def test_without_anybody_on_the_other_lane_it_does_not() -> None:
    found = contended(profile(*BOTH), [[]])
    assert found.neighbour is None and found.total_ns == found.alone_ns
    apart = profile(*BOTH).apart()
    assert apart is not None and apart.total_ns() == found.alone_ns


def test_a_load_on_another_lane_than_the_busy_one_does_not_count() -> None:
    elsewhere = (*BOTH[:2], (Condition(Stress.MEMORY, neighbour=load("c")), 3000))
    found = contended(profile(*elsewhere), [[other("b")], []])
    assert found.neighbour == other("b")
    assert found.total_ns < 2 * found.alone_ns


def test_a_load_with_a_few_runs_does_not_count() -> None:
    known = profile(*BOTH[:2])
    short = profile(BOTH[2], runs=3)
    both = Profile(known.key, known.model_digest, (*known.batches, *short.batches))
    assert contended(both, [[other("b")]]).neighbour == other("b")


def test_a_load_on_the_host_counts_wherever_the_network_runs() -> None:
    found = contended(profile(BOTH[0], (Condition(Stress.MEMORY), 2000)), [[]])
    assert found.total_ns > 1500


def three(*more: tuple[Condition, int]) -> Profile:
    """Return a network that takes half longer beside one on either of two other lanes."""
    return profile(
        (Condition(), 1000),
        (Condition(neighbour=other("b")), 1500),
        (Condition(neighbour=other("c")), 1500),
        *more,
    )


LANES = [[other("b")], [other("c")]]


def test_what_several_lanes_do_at_once_counts_where_it_is_more_than_slowdowns_multiplied() -> None:
    alone = contended(three(), LANES)
    assert alone.at_once_ns == 0
    less = contended(three((Condition(neighbour=at_once(LANES)), 2000)), LANES)
    assert less.total_ns == alone.total_ns and 0 < less.at_once_ns < less.total_ns
    assert less.neighbour is not None and less.neighbour.place is Place.BESIDE
    more = contended(three((Condition(neighbour=at_once(LANES)), 4000)), LANES)
    assert more.budgets_ns == (more.total_ns,) and more.total_ns == more.at_once_ns
    assert 4 * more.alone_ns <= more.total_ns <= 4 * more.alone_ns + 10
    assert more.neighbour == at_once(LANES) and more.neighbour.name == "other"


def test_what_cannot_happen_at_once_does_not_count() -> None:
    known = three((Condition(neighbour=at_once(LANES, "lane 1 of 3")), 4000))
    assert contended(known, LANES).at_once_ns == 0, "another lane"
    assert contended(known, LANES, None, "lane 1 of 3").at_once_ns > 0
    assert contended(known, LANES[:1], None, "lane 1 of 3").at_once_ns == 0, "one lane is idle"
    # On cores nothing is noted of a lane: two networks on one lane never run at once.
    first, second = (Neighbour(key, Place.BESIDE, "", key) for key in ("n2", "n3"))
    both = at_once([[first], [second]])
    alike = profile(
        (Condition(), 1000),
        (Condition(neighbour=first), 1500),
        (Condition(neighbour=second), 1500),
        (Condition(neighbour=both), 4000),
    )
    assert contended(alike, [[first, second]]).at_once_ns == 0
    assert contended(alike, [[first, second], []]).at_once_ns == 0
    assert contended(alike, [[second], [first]]).at_once_ns > 0
    assert contended(alike, [[first, second], [second]]).at_once_ns > 0


def test_loads_of_several_lanes_count_where_as_many_are_busy() -> None:
    heavy = Condition(Stress.MEMORY, neighbour=at_once([[load("b")], [load("c")]]))
    known = three((heavy, 9000))
    assert contended(known, LANES).at_once_ns >= 9000
    assert contended(known, LANES[:1]).at_once_ns == 0


def test_a_crowd_is_the_same_in_whatever_order_it_comes_and_is_kept() -> None:
    first, second = other("b"), Neighbour("n3", Place.BESIDE, "b", "third")
    crowd = at_once([[first, second], [other("c")]])
    assert crowd == at_once([[other("c")], [second, first, first]])
    assert crowd.name == "other and third"
    condition = Condition(Stress.NONE, neighbour=crowd)
    assert Condition.from_json(condition.to_json()) == condition
    assert condition.label == "beside other and third at once"
