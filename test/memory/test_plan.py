"""Who holds what: each byte once, never below what runs at once, and what a device takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

from hypothesis import event, given
from hypothesis import strategies as st

from aegis_ros.backends.cuda import Arena
from aegis_ros.memory import Footprint, Holding, Kind, Piece, arena_plan, placed, without
from test.backends.fake_cuda import FakeDriver

GRAIN = 256  # of a device's memory
SIZES = st.integers(0, 2**40)
NEEDS = st.integers(1, 40).map(lambda count: count * GRAIN)
FOOTPRINTS = st.builds(Footprint, SIZES, SIZES, SIZES, SIZES)
LANES = ("gpu0", "gpu1")


def networks(
    draw: st.DrawFn, footprints: st.SearchStrategy[Footprint], *, share: bool | None = None
) -> list[Holding]:
    """Return networks of their own names; on a lane all share, or none does."""
    shares = {lane: draw(st.booleans()) if share is None else share for lane in LANES}
    made = []
    for index, footprint in enumerate(draw(st.lists(footprints, max_size=7))):
        lane = draw(st.sampled_from(LANES))
        made.append(Holding((f"n{index}",), footprint, lane, shares[lane]))
    return made


@st.composite
def any_networks(draw: st.DrawFn) -> list[Holding]:
    return networks(draw, FOOTPRINTS)


def most_at_once(holdings: list[Holding]) -> int:
    """Every moment, one by one: on each lane one of its networks runs, or none."""
    lanes = {each.lane for each in holdings}
    running = product(
        *([None, *(each for each in holdings if each.lane == lane)] for lane in lanes)
    )
    kept = sum(
        each.footprint.total - (each.footprint.activations if each.shares else 0)
        for each in holdings
    )
    return kept + max(
        sum(each.footprint.activations for each in moment if each is not None and each.shares)
        for moment in running
    )


@given(any_networks())
def test_never_less_than_any_moment_needs_and_no_more_where_the_largest_comes_first(
    holdings: list[Holding],
) -> None:
    assert arena_plan(holdings).nbytes >= most_at_once(holdings)
    largest_first = sorted(holdings, key=lambda each: -max(1, each.footprint.activations))
    tight = arena_plan(largest_first).nbytes
    assert most_at_once(holdings) <= tight <= most_at_once(holdings) + len(LANES)  # 1 for none
    assert tight <= arena_plan(holdings).nbytes


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[str, int]], Random]:
    """Loads (a need) and unloads (an index of what is there), and a die."""
    steps = draw(
        st.lists(st.tuples(st.sampled_from(["load", "load", "unload"]), NEEDS), max_size=25)
    )
    return steps, draw(st.randoms(use_true_random=False))


@given(histories())
def test_the_device_takes_what_the_plan_says_after_any_loads_unloads_and_restarts(
    history: tuple[list[tuple[str, int]], Random],
) -> None:
    steps, die = history
    there: list[Holding] = []
    driver = FakeDriver()
    driver.attach()
    arena, blocks = Arena(driver), {}
    for number, (what, need) in enumerate(steps):
        if what == "load":
            own = placed(Holding((f"n{number}",), Footprint(0, need), "gpu0", shares=True), there)
            blocks[own.holders] = arena.take(need, own.block_bytes)
            there.append(own)
        elif there:
            gone = there.pop(need % len(there))
            arena.give_back(blocks.pop(gone.holders))
        assert arena.nbytes == arena_plan(there).nbytes
        assert all(block.nbytes >= own for block, own in _needs(blocks, there))
    event(f"{len({each.block_bytes for each in there})} blocks")
    restarted = Arena(driver)
    for each in die.sample(there, len(there)):
        restarted.take(each.footprint.activations, each.block_bytes)
    assert restarted.nbytes == arena_plan(there).nbytes


def _needs(blocks: dict, there: list[Holding]) -> list[tuple]:  # type: ignore[type-arg]
    return [(blocks[each.holders], each.footprint.activations) for each in there]


def test_a_network_that_is_larger_than_all_before_it_gets_a_block_beside_theirs() -> None:
    small = Holding(("small",), Footprint(10, 5), "gpu0", shares=True)
    large = Holding(("large",), Footprint(20, 8), "gpu0", shares=True)
    other = Holding(("other",), Footprint(30, 7), "gpu1", shares=True)
    assert arena_plan([large, small]).footprint == Footprint(30, 8)
    assert arena_plan([small, large]).footprint == Footprint(30, 13)
    assert arena_plan([large, small, other]).footprint == Footprint(60, 15)
    # What is loaded stays where it is: its graphs know the address.
    loaded = [placed(large, []), placed(small, [placed(large, [])])]
    assert arena_plan(without(loaded, ["large"])).footprint == Footprint(10, 8)


def test_where_a_backend_does_not_share_them_they_are_added() -> None:
    cpu = [Holding((name,), Footprint(10, 5), "cpu0") for name in "ab"]
    assert arena_plan(cpu).footprint == Footprint(20, 10)


def test_what_several_tasks_hold_is_there_once_and_goes_with_the_last_of_them() -> None:
    frames = Holding(("a", "b"), Footprint(staging=100))
    alone = Holding(("a",), Footprint(10, staging=1))
    plan = arena_plan([frames, alone])
    assert plan.pieces == (
        Piece(("a", "b"), Kind.STAGING, 100),
        Piece(("a",), Kind.WEIGHTS, 10),
        Piece(("a",), Kind.STAGING, 1),
    )
    assert (plan.tasks, plan.shared, plan.nbytes) == (("a", "b"), plan.pieces[:1], 111)
    assert (plan.of("a"), plan.of("b")) == (Footprint(10, staging=1), Footprint())
    assert without([frames, alone], ["a"]) == [replace(frames, holders=("b",))]
    assert without([frames, alone], ["a", "b"]) == []


@given(any_networks(), st.sets(st.sampled_from([f"n{index}" for index in range(7)])))
def test_what_a_task_holds_for_itself_is_free_once_it_is_removed(
    holdings: list[Holding], dropped: set[str]
) -> None:
    loaded: list[Holding] = []
    for each in holdings:
        loaded.append(placed(each, loaded))
    plan = arena_plan(loaded)
    assert arena_plan(loaded) == arena_plan(holdings)
    assert sum(each.nbytes for each in plan.pieces) == plan.footprint.total == plan.nbytes
    for name in plan.tasks:
        assert plan.nbytes - arena_plan(without(loaded, [name])).nbytes == plan.of(name).total
    assert arena_plan(without(loaded, dropped)).nbytes <= plan.nbytes
