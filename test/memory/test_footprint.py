"""What is held together: each byte once, and what is shared as often as it is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.memory import Footprint, Holding, held, without

SIZES = st.integers(0, 2**40)
FOOTPRINTS = st.builds(Footprint, SIZES, SIZES, SIZES, SIZES)
HOLDINGS = st.lists(
    st.builds(
        Holding,
        st.tuples(st.sampled_from("abc")),
        FOOTPRINTS,
        st.sampled_from(["gpu0", "gpu1"]),
        st.booleans(),
    ),
    max_size=8,
)


def test_networks_of_a_lane_that_share_activations_need_those_of_the_largest() -> None:
    small = Holding(("a",), Footprint(10, 5), "gpu0", shares=True)
    large = Holding(("b",), Footprint(20, 8), "gpu0", shares=True)
    other = Holding(("c",), Footprint(30, 7), "gpu1", shares=True)
    assert held([small, large]) == Footprint(30, 8)
    assert held([small, large, other]) == Footprint(60, 15)


def test_where_a_backend_does_not_share_them_they_are_added() -> None:
    networks = [Holding((name,), Footprint(10, 5), "cpu0") for name in "ab"]
    assert held(networks) == Footprint(20, 10)


def test_what_several_tasks_hold_goes_with_the_last_of_them() -> None:
    frames = Holding(("a", "b"), Footprint(staging=100))
    alone = Holding(("a",), Footprint(10))
    assert without([frames, alone], "a") == [frames]
    assert without([Holding(("b",), frames.footprint)], "b") == []


@given(HOLDINGS, st.randoms())
def test_order_is_nothing_and_sharing_never_takes_more(
    holdings: list[Holding], shuffled: object
) -> None:
    mixed = list(holdings)
    shuffled.shuffle(mixed)  # type: ignore[attr-defined]
    together = held(holdings)
    assert held(mixed) == together
    assert together.total <= sum(each.footprint.total for each in holdings)
    for index in range(len(holdings)):
        assert held(holdings[:index] + holdings[index + 1 :]).total <= together.total
