"""Slots of a key-value cache: never beyond the arena, nobody evicted, nothing leaked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from aegis_ros.memory import Footprint, KvCache, KvShape, Reserved
from aegis_ros.rationale.generators import (
    AnswerTooLong,
    PromptTooLong,
    RequestWaits,
    TooManyRequests,
)

SHAPES = st.builds(KvShape, st.integers(1, 5), st.integers(2, 40), st.integers(1, 10**6))


def cache(slots: int = 2, max_len: int = 100, most_waiting: int = 3) -> KvCache:
    return KvCache("assistant", KvShape(slots, max_len, 1000), most_waiting)


def test_the_whole_cache_is_state_in_the_footprint_whether_requests_run_or_not() -> None:
    shape = KvShape(slots=4, max_len=1024, token_bytes=46_080)
    assert shape.footprint == Footprint(state=4 * 1024 * 46_080)
    made = KvCache("assistant", shape, 0)
    assert made.used_bytes == 0
    made.ask(0, 1, 1)
    assert made.used_bytes == 1024 * 46_080, "however short it is"


@given(SHAPES, st.integers(0, 10**9))
def test_what_is_said_to_fit_fits_and_one_more_does_not(shape: KvShape, room: int) -> None:
    slots, longest = shape.most_slots(room), shape.longest(room)
    assert slots * shape.slot_bytes <= room < (slots + 1) * shape.slot_bytes
    each = shape.slots * shape.token_bytes
    assert longest * each <= room < (longest + 1) * each


def test_a_request_gets_a_slot_or_waits_for_one_in_its_turn() -> None:
    made = cache()
    first, second = made.ask(1, 10, 20), made.ask(2, 10, 20)
    assert isinstance(first, Reserved) and isinstance(second, Reserved)
    assert first.slot != second.slot
    waits = [made.ask(number, 10, 20) for number in (3, 4, 5)]
    assert [each.place for each in waits if isinstance(each, RequestWaits)] == [1, 2, 3]
    assert made.waiting == (3, 4, 5)
    third = made.end(2)
    assert third is not None and (third.request, third.slot) == (3, second.slot)
    assert [each.request for each in made.running] == [1, 3]


def test_a_place_of_its_own_is_neither_taken_from_others_nor_lost_to_them() -> None:
    made = cache(slots=1, most_waiting=1)
    made.ask(0, 1, 1)
    assert isinstance(made.ask(1, 1, 1), RequestWaits)
    assert isinstance(made.ask(2, 1, 1, own_place=True), RequestWaits)
    assert isinstance(made.ask(3, 1, 1), TooManyRequests)
    assert made.waiting == (1, 2), "it waits in its turn"
    made.end(2)
    assert isinstance(made.ask(4, 1, 1, own_place=True), RequestWaits)
    following = made.end(0)
    assert following is not None and following.request == 1
    assert isinstance(made.ask(5, 1, 1), RequestWaits), "4 takes no place of the others"
    following = made.end(1)
    assert following is not None and following.request == 4
    assert isinstance(made.ask(6, 1, 1), TooManyRequests), "5 waits"


def test_a_request_beyond_those_that_may_wait_is_refused_with_the_numbers() -> None:
    made = cache(slots=1, most_waiting=1)
    for number in range(2):
        made.ask(number, 1, 1)
    assert made.ask(2, 1, 1) == TooManyRequests("assistant", 2, 1, 1)
    made.end(1)
    assert isinstance(made.ask(2, 1, 1), RequestWaits)


def test_a_prompt_that_leaves_no_room_is_refused_with_the_number_that_would_pass() -> None:
    refused = cache().ask(0, 100, 1)
    assert refused == PromptTooLong("assistant", 0, 100, 99)
    assert isinstance(cache().ask(0, 99, 1), Reserved)


def test_an_answer_is_capped_to_the_room_or_refused_where_that_will_not_do() -> None:
    capped = cache().ask(0, 60, 50)
    assert isinstance(capped, Reserved) and capped.answer == 40 and capped.capped is not None
    assert (capped.capped.asked, capped.capped.room) == (50, 40)
    refused = cache().ask(0, 60, 50, cap=False)
    assert refused == AnswerTooLong("assistant", 0, 60, 50, 40)
    whole = cache().ask(0, 60, 40, cap=False)
    assert isinstance(whole, Reserved) and whole.capped is None


def test_one_that_was_capped_while_it_waited_is_capped_when_it_runs() -> None:
    made = cache(slots=1)
    made.ask(0, 1, 1)
    made.ask(1, 60, 50)
    found = made.end(0)
    assert found is not None and found.answer == 40 and found.capped is not None


def test_a_request_that_waits_may_be_cancelled() -> None:
    made = cache(slots=1)
    for number in range(3):
        made.ask(number, 1, 1)
    assert made.end(1) is None and made.waiting == (2,)
    found = made.end(0)
    assert found is not None and found.request == 2


def test_of_free_slots_only_as_many_are_given_as_may_run() -> None:
    made = cache(slots=4, most_waiting=9)
    assert made.limit(2) == ()
    found = [made.ask(number, 1, 1) for number in range(5)]
    assert [type(each) for each in found] == [Reserved] * 2 + [RequestWaits] * 3
    assert isinstance(found[2], RequestWaits) and found[2].slots == 2
    assert [each.request for each in made.limit(3)] == [2]
    assert made.limit(1) == () and len(made.running) == 3, "nobody is evicted"
    assert made.end(0) is None and made.end(1) is None, "more run than may"
    assert made.end(2) is not None and [each.request for each in made.running] == [3]
    assert [each.request for each in made.limit(99)] == [4]
    with pytest.raises(ValueError, match="at least 1"):
        made.limit(0)


@pytest.mark.parametrize(("prompt", "answer"), [(0, 1), (1, 0), (-1, 5), (5, -1)])
def test_no_tokens_are_no_request(prompt: int, answer: int) -> None:
    with pytest.raises(ValueError, match="request 0"):
        cache().ask(0, prompt, answer)


def test_a_number_that_runs_or_waits_is_taken() -> None:
    made = cache(slots=1)
    made.ask(0, 1, 1)
    made.ask(1, 1, 1)
    for number in (0, 1):
        with pytest.raises(ValueError, match="known already"):
            made.ask(number, 1, 1)
    with pytest.raises(KeyError):
        made.end(7)


@given(
    SHAPES,
    st.integers(0, 4),
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(1, 50),
            st.integers(1, 50),
            st.booleans(),
            st.one_of(st.none(), st.integers(1, 6)),
        ),
        max_size=80,
    ),
    st.randoms(use_true_random=False),
)
def test_no_interleaving_of_requests_takes_more_than_the_arena_or_evicts_one(
    shape: KvShape, most_waiting: int, events: list[tuple[bool, int, int, bool]], chance: object
) -> None:
    made = KvCache("assistant", shape, most_waiting)
    known: list[int] = []
    ran: dict[int, int] = {}
    most_running = shape.slots
    for number, (asks, prompt, answer, cap, limit) in enumerate(events):
        if limit is not None:
            made.limit(limit)
            most_running = min(limit, shape.slots)
        before = {each.request for each in made.running}
        gone = -1
        if asks:
            found = made.ask(number, prompt, answer, cap=cap)
            if isinstance(found, (Reserved, RequestWaits)):
                known.append(number)
            else:
                event(type(found).__name__)
        elif known:
            gone = known.pop(chance.randrange(len(known)))  # type: ignore[attr-defined]
            made.end(gone)
        running = made.running
        slots = [each.slot for each in running]
        assert len(slots) == len(set(slots)) and set(slots) <= set(range(shape.slots))
        assert made.used_bytes == len(slots) * shape.slot_bytes <= shape.footprint.total
        assert all(each.prompt + each.answer <= shape.max_len for each in running)
        assert before - {gone} <= {each.request for each in running}, "nobody is evicted"
        assert not made.waiting or len(slots) >= most_running, "nobody waits for a free slot"
        assert len(made.waiting) <= most_waiting
        assert {each.request for each in running} | set(made.waiting) == set(known)
        for each in running:
            assert ran.setdefault(each.request, each.slot) == each.slot, "a slot never moves"
    made.limit(shape.slots)
    for number in known:
        made.end(number)
    assert made.used_bytes == 0 and not made.running and not made.waiting
    everyone = [made.ask(-1 - number, 1, 1) for number in range(shape.slots)]
    assert all(isinstance(each, Reserved) for each in everyone), "all slots are free again"


def test_nothing_is_leaked_after_many_random_requests() -> None:
    chance = np.random.default_rng(17)
    shape = KvShape(slots=4, max_len=64, token_bytes=46_080)
    made = KvCache("assistant", shape, most_waiting=6)
    answered = refused = 0
    for number in range(20_000):
        found = made.ask(
            number,
            int(chance.integers(1, 100)),
            int(chance.integers(1, 100)),
            cap=bool(chance.integers(0, 2)),
        )
        if not isinstance(found, (Reserved, RequestWaits)):
            refused += 1
        while made.running and chance.random() < 0.6:
            running = [each.request for each in made.running]
            made.end(running[int(chance.integers(0, len(running)))])
            answered += 1
        assert made.used_bytes <= shape.footprint.total
    while made.running:
        made.end(made.running[0].request)
        answered += 1
    assert answered + refused == 20_000 and made.used_bytes == 0 and not made.waiting
