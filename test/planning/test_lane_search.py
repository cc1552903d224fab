"""The search for a placement, on values that follow no schedule: greedy steps seldom find them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.planning.lane_search import best_placement

Placement = tuple[tuple[str, str], ...]


class Values:
    """Placements of a few tasks with a value each; hopes are as good as what can still come."""

    def __init__(self, tasks: int, lanes: int, values: Sequence[float], extra: float) -> None:
        self.tasks = tuple(f"t{index}" for index in range(tasks))
        self._lanes = tuple(f"lane{index}" for index in range(lanes))
        self._extra = extra
        placements = list(product(self._lanes, repeat=tasks))
        self.worth = {
            placement: values[(13 * index) % len(values)]
            for index, placement in enumerate(placements)
        }

    def lanes_for(self, task: str) -> Sequence[str]:
        return self._lanes

    def alike(self, lane: str) -> Hashable:
        return lane

    def slack(self, lane_of: Mapping[str, str]) -> float:
        if len(lane_of) < len(self.tasks):
            return 0.0  # a greedy step learns nothing
        return self.worth[tuple(lane_of[task] for task in self.tasks)]

    def hope(self, lane_of: Mapping[str, str]) -> float:
        best = max(
            value
            for placement, value in self.worth.items()
            if all(
                lane_of.get(task, lane) == lane
                for task, lane in zip(self.tasks, placement, strict=True)
            )
        )
        return best + (self._extra if best >= 0.0 else 0.0)

    @property
    def best(self) -> float:
        return max(self.worth.values())


_VALUES = st.builds(
    Values,
    st.integers(1, 5),
    st.integers(1, 3),
    st.lists(st.floats(-1.0, 1.0), min_size=17, max_size=17),
    st.sampled_from([0.0, 0.1, 0.5]),
)


@given(_VALUES)
def test_it_finds_the_best_of_all_placements(values: Values) -> None:
    found = best_placement(values)
    if values.best >= 0.0:
        assert found.slack == values.best and found.gap == 0.0
    else:
        assert found.most < 0.0
    assert found.slack == values.slack(found.lane_of)


@given(_VALUES, st.integers(0, 40))
def test_one_that_is_stopped_claims_no_more_than_it_has_seen(values: Values, steps: int) -> None:
    found = best_placement(values, steps=steps)
    assert found.slack <= values.best
    if values.best >= 0.0:
        assert found.most >= values.best


@given(_VALUES, st.integers(0, 4))
def test_the_gap_of_the_heuristic_covers_the_best(values: Values, exact_tasks: int) -> None:
    found = best_placement(values, exact_tasks=exact_tasks)
    assert found.slack <= values.best
    if values.best >= 0.0:
        assert found.most >= values.best
