"""How many rows are kept of outputs of which each run decides how many there are."""

from __future__ import annotations

import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network.rows import SeenOutput, bound_rows
from aegis_ros.network.tensor import TensorInfo


def output(
    name: str,
    fixed: tuple[int | None, ...],
    *shapes: tuple[int, ...],
    most: tuple[int | None, ...] = (),
) -> tuple[TensorInfo, SeenOutput]:
    """An output as it is before its rows are bounded."""
    extents = tuple(max(each) for each in zip(*shapes, strict=True))
    return TensorInfo(name, "float32", extents), SeenOutput(fixed, most, shapes)


def bounded(*outputs: tuple[TensorInfo, SeenOutput], max_results: int = 0) -> list[TensorInfo]:
    infos, seen = zip(*outputs, strict=True)
    return list(bound_rows(infos, seen, max_results))


BOXES = output("boxes", (None, 4), (0, 4), (2, 4))
MASKS = output("masks", (None, 1, 480, 640), (0, 1, 480, 640), (2, 1, 480, 640))


def test_all_outputs_keep_as_many_rows_and_the_usual_number_where_rows_are_large() -> None:
    boxes, masks = bounded(BOXES, MASKS)
    assert (boxes.shape, boxes.rows_axis) == ((100, 4), 0)
    assert (masks.shape, masks.rows_axis) == ((100, 1, 480, 640), 0)


def test_small_rows_have_more_room_and_what_was_seen_has_twice() -> None:
    assert bounded(BOXES)[0].shape == (4096, 4)
    seen = output("boxes", (1, None, 6), (1, 0, 6), (1, 5000, 6))
    assert (bounded(seen)[0].shape, bounded(seen)[0].rows_axis) == ((1, 10000, 6), 1)


def test_a_pattern_full_of_objects_does_not_take_memory_without_bound() -> None:
    flood = output("masks", (None, 256, 256), (0, 256, 256), (90_000, 256, 256))
    assert bounded(flood)[0].shape[0] == 100
    small = output("boxes", (None, 4), (0, 4), (2_000_000, 4))
    assert bounded(small)[0].nbytes == 16 * 1024**2


def test_what_the_graph_allows_is_kept() -> None:
    few = output("boxes", (None, 4), (0, 4), (2, 4), most=(30, 4))
    many = output("scores", (None,), (0,), (2,), most=(5000,))
    assert [each.shape for each in bounded(few)] == [(30, 4)]
    assert [each.shape for each in bounded(few, many)] == [(30, 4), (5000,)]
    assert [each.shape for each in bounded(few, many, max_results=40)] == [(30, 4), (40,)]


def test_rows_that_belong_together_are_as_many_where_those_of_one_output_are_large() -> None:
    boxes = output("boxes", (None, 4), (0, 4), (2, 4), most=(5000, 4))
    masks = output("masks", (None, 480, 640), (0, 480, 640), (2, 480, 640), most=(5000, 480, 640))
    assert [each.shape[0] for each in bounded(boxes, masks)] == [100, 100]
    assert [each.shape[0] for each in bounded(boxes, MASKS)] == [100, 100]


def test_a_limit_below_what_was_seen_is_none() -> None:
    """As of an output that has a row for each place in which nothing is found."""
    fewer = output("background", (None,), (576,), (300,), most=(0,))
    assert bounded(fewer)[0].shape[0] > 576


def test_a_declared_number_makes_room_where_an_extent_was_not_seen_to_vary() -> None:
    same = output("boxes", (None, 4), (3, 4), (3, 4))
    assert bounded(same) == [same[0]]
    assert bounded(same, max_results=50)[0].shape == (50, 4)


def test_a_declared_number_is_what_is_kept() -> None:
    assert [each.shape[0] for each in bounded(BOXES, MASKS, max_results=7)] == [7, 7]


def test_what_nothing_depends_on_stays_as_it_is() -> None:
    fixed = output("scores", (1, 80), (1, 80), (1, 80))
    stated = output("boxes", (300, 4), (300, 4), (300, 4))
    infos = bounded(fixed, stated)
    assert infos == [fixed[0], stated[0]]
    assert bounded(fixed, BOXES, max_results=3)[0] == fixed[0]


def test_an_output_with_two_such_extents_has_no_rows() -> None:
    ragged = output("ragged", (None, None), (0, 0), (3, 5))
    assert bounded(ragged) == [ragged[0]]


def test_a_bound_on_what_does_not_vary_is_refused() -> None:
    with pytest.raises(ModelError, match=r"output\.max_results: .*Leave it out"):
        bounded(output("scores", (1, 80), (1, 80), (1, 80)), max_results=5)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ((0, 4), (0, 4)),
        ((99, 4), (99, 4)),
        ((143, 4), (100, 4)),
        ((143,), (143,)),
    ],
)
def test_the_first_rows_are_kept(found: tuple[int, ...], kept: tuple[int, ...]) -> None:
    assert TensorInfo("boxes", "float32", (100, 4), 0).kept(found) == kept
