"""Who holds what of a full arena, and advice that is enough whenever it is followed."""

from __future__ import annotations

from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.memory import Footprint, Holding, arena_plan, without
from aegis_ros.planning.arena_witness import arena_full
from aegis_ros.rationale.arena import Holder, SharedPiece

MIB = 1024 * 1024
SIZES = st.integers(0, 9).map(lambda count: count * MIB)
FOOTPRINTS = st.builds(Footprint, SIZES, SIZES, SIZES, SIZES)
TASKS = st.tuples(st.sampled_from(["new", *"abcd"]))
NETWORKS = st.builds(Holding, TASKS, FOOTPRINTS, st.sampled_from(["gpu0", "gpu1"]), st.booleans())
FRAMES = st.builds(
    Holding,
    st.sets(st.sampled_from(["new", *"abcd"]), min_size=1).map(lambda names: tuple(sorted(names))),
    st.builds(Footprint, staging=SIZES),
)


@given(st.lists(st.one_of(NETWORKS, FRAMES), min_size=1, max_size=7), st.integers(1, 60))
def test_each_advice_makes_room_and_no_task_of_several_is_dropped_in_vain(
    holdings: list[Holding], arena_mib: int
) -> None:
    arena = arena_mib * MIB
    whole = arena_plan(holdings).nbytes
    assume(whole > arena)
    reason = arena_full("new", [holdings], arena)
    assert reason.used_bytes + reason.need_bytes == whole
    larger, *drops = reason.counterfactuals
    assert larger.value * MIB >= whole > (larger.value - 1) * MIB
    for each in drops:
        tasks = each.task.split(", ")
        event(f"{len(tasks)} dropped")
        assert arena_plan(without(holdings, tasks)).nbytes <= arena
        if len(tasks) > 1:
            for kept in tasks:
                fewer = [name for name in tasks if name != kept]
                assert arena_plan(without(holdings, fewer)).nbytes > arena
    if not drops:
        assert arena_plan(without(holdings, "abcd")).nbytes > arena


def test_the_witness_is_what_each_holds_for_itself_and_what_they_hold_together() -> None:
    holdings = [
        Holding(("map",), Footprint(30, 9), "gpu0", shares=True),
        Holding(("text",), Footprint(20, 4), "gpu0", shares=True),
        Holding(("map", "new"), Footprint(staging=7)),
        Holding(("new",), Footprint(10, 5), "gpu0", shares=True),
    ]
    reason = arena_full("new", [holdings], 70)
    assert [(each.task, each.freed_bytes) for each in reason.holders] == [("map", 30), ("text", 20)]
    assert isinstance(reason.holders[0], Holder) and reason.holders[0].shares.weights == 30
    assert reason.shared == (
        SharedPiece(("map", "text", "new"), "activations", 9, "gpu0"),
        SharedPiece(("map", "new"), "staging", 7),
    )
    assert (reason.needs.weights, reason.needs.activations, reason.need_bytes) == (10, 0, 10)


def test_of_several_moments_the_worst_is_told_and_advice_holds_for_all() -> None:
    here = [Holding(("a",), Footprint(5 * MIB)), Holding(("new",), Footprint(4 * MIB))]
    moments = [[*here, Holding(("b",), Footprint(3 * MIB))], [*here, Holding(("c",), Footprint())]]
    larger, drop = arena_full("new", moments, 8 * MIB).counterfactuals
    assert (larger.value, drop.task) == (12, "a"), "without b, the second moment still needs 9 MiB"
