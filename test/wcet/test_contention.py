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
