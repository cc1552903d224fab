"""A generator's next bucket: chunks of prompts, in turn with decodes for all who run."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.memory import KvCache, KvShape, Reserved
from aegis_ros.rationale.generators import PromptTooLong, RequestWaits
from aegis_ros.scheduling.generation import Generated, Generation, Shape

SHAPES = (Shape(2, True), Shape(8, True), Shape(1, False), Shape(4, False))


def made(slots: int = 4, max_len: int = 100, shapes: tuple[Shape, ...] = SHAPES) -> Generation:
    return Generation(shapes, KvCache("assistant", KvShape(slots, max_len, 1), 4))


def run(generation: Generation, most: int = 1_000) -> tuple[list[int], list[Generated]]:
    """Run until nothing is left; return the buckets and the tokens."""
    buckets, tokens = [0], []
    generation.first()
    while len(buckets) < most:
        tokens += generation.ended()
        following = generation.following()
        if following is None:
            return buckets, tokens
        buckets.append(following)
    return buckets, tokens


def test_a_prompt_is_taken_in_the_largest_chunks_and_its_last_token_in_a_decode() -> None:
    generation = made()
    generation.ask(7, prompt=21, answer=3)
    buckets, tokens = run(generation)
    assert buckets == [0, 1, 1, 0, 2, 2, 2], "2 + 8 + 8 + 2 tokens, and the last one"
    assert tokens == [Generated(7, 1, False), Generated(7, 2, False), Generated(7, 3, True)]


def test_what_is_left_of_a_prompt_is_decoded_together_with_the_answers_of_others() -> None:
    generation = made()
    generation.ask(0, prompt=2, answer=4)
    generation.ask(1, prompt=4, answer=1)
    buckets, tokens = run(generation)
    # Of the second prompt a chunk of 2, and two more tokens, each beside one of the first answer,
    # which did not wait for the chunk either.
    assert buckets == [0, 2, 0, 3, 3, 2, 2]
    assert [token.request for token in tokens] == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("prompt", [1, 2])
def test_a_job_begins_with_a_chunk_for_nobody_where_no_prompt_fills_it(prompt: int) -> None:
    """A chunk computes no logits, so that the last token of a prompt goes through a decode."""
    generation = made()
    generation.ask(0, prompt=prompt, answer=1)
    generation.first()
    assert generation.turn == ()
    assert run(generation) == ([0] + [2] * prompt, [Generated(0, 1, True)])


def at(generation: Generation, *slots: int) -> None:
    """Have requests that are ready to be decoded in these slots; each is named by its slot."""
    for slot in slots:
        generation.take(Reserved(slot, slot, 1, 9))
    generation.first()
    assert generation.ended() == ()


@pytest.mark.parametrize(
    ("slots", "turn", "bucket"),
    [
        ((0,), {0}, 1),
        ((3,), {3}, 1),
        ((0, 1), {0, 1}, 2),
        ((2, 1), {1, 2}, 2),
        ((0, 2), {0, 2}, 3),
        ((0, 3), {0, 3}, 3),
        ((0, 1, 2, 3), {0, 1, 2, 3}, 3),
        ((0, 5), {0}, 3),
        ((5, 0, 4, 6), {4, 5, 6}, 3),
    ],
)
def test_a_decode_runs_over_slots_that_follow_each_other(
    slots: tuple[int, ...], turn: set[int], bucket: int
) -> None:
    generation = Generation((Shape(2, True), Shape(1, False), Shape(2, False), Shape(4, False)))
    at(generation, *slots)
    assert generation.following() == bucket
    assert set(generation.turn) == turn


def test_requests_far_apart_take_turns() -> None:
    generation = Generation((Shape(2, True), Shape(2, False)))
    at(generation, 0, 4, 9)
    spoken: list[int] = []
    while generation.following() is not None:
        spoken += [token.request for token in generation.ended()]
    assert spoken == [0, 4, 9] * 9


def test_all_answers_are_decoded_at_once_in_the_smallest_bucket_with_room() -> None:
    generation = made()
    for number, answer in enumerate((2, 2, 4)):
        generation.ask(number, prompt=3, answer=answer)
    buckets, tokens = run(generation)
    assert buckets == [0, 2, 0, 3, 0, 3, 2, 2, 2]
    assert [token.request for token in tokens] == [0, 0, 1, 1, 2, 2, 2, 2]


def test_where_no_bucket_has_room_for_all_answers_take_turns() -> None:
    generation = made(shapes=(Shape(2, True), Shape(1, False), Shape(2, False)))
    for number in range(3):
        generation.ask(number, prompt=3, answer=20)
    _, tokens = run(generation, most=20)
    decoded = Counter(token.request for token in tokens[-6:])
    assert sorted(decoded.values()) == [2, 2, 2]


def test_who_waits_gets_the_slot_of_who_has_ended() -> None:
    generation = made(slots=1)
    generation.ask(0, prompt=2, answer=2)
    assert isinstance(generation.ask(1, prompt=2, answer=1), RequestWaits)
    buckets, tokens = run(generation)
    assert buckets == [0, 2, 2, 2, 2, 2]
    assert [(token.request, token.last) for token in tokens] == [(0, False), (0, True), (1, True)]


def test_under_limits_only_smaller_chunks_and_decodes_are_taken() -> None:
    generation = made()
    generation.limit(chunk=4, batch=3)
    for number in range(2):
        generation.ask(number, prompt=9, answer=2)
    buckets, _ = run(generation)
    assert set(buckets) == {0, 2}
    generation.limit(chunk=1, batch=0)
    generation.ask(7, prompt=9, answer=1)
    assert set(run(generation)[0]) == {0, 2}, "the smallest stay"
    generation.limit(chunk=8, batch=4)
    for number in range(2):
        generation.ask(number, prompt=9, answer=2)
    assert set(run(generation)[0]) == {0, 1, 2, 3}


def test_who_waits_for_a_limit_runs_when_it_is_raised() -> None:
    generation = made()
    generation.run_at_most(1)
    generation.ask(0, prompt=1, answer=9)
    assert isinstance(generation.ask(1, prompt=1, answer=9), RequestWaits)
    generation.first()
    assert generation.ended() == () and generation.following() == 2
    assert {token.request for token in generation.ended()} == {0}
    generation.run_at_most(4)
    _, tokens = run(generation)
    assert {token.request for token in tokens[:4]} == {0, 1}


@pytest.mark.parametrize("after", range(6))
def test_a_request_that_is_cancelled_gets_no_more_tokens(after: int) -> None:
    generation = made()
    generation.ask(0, prompt=6, answer=4)
    generation.ask(1, prompt=2, answer=2)
    generation.first()
    later: list[Generated] = []
    for number in range(20):
        if number == after:
            generation.end(0)
        later += generation.ended()
        if number < after:
            later.clear()
        if generation.following() is None:
            break
    assert all(token.request == 1 for token in later)
    assert isinstance(generation.ask(0, prompt=1, answer=1), Reserved)


def test_a_request_that_cannot_be_taken_is_told_so() -> None:
    generation = made(max_len=10)
    assert isinstance(generation.ask(0, prompt=10, answer=1), PromptTooLong)
    assert generation.following() is None
    with pytest.raises(KeyError):
        generation.end(0)


@pytest.mark.parametrize(
    "shapes",
    [(), SHAPES[:2], SHAPES[2:], (SHAPES[1], SHAPES[0], SHAPES[2]), (SHAPES[2], *SHAPES[:2])],
)
def test_buckets_that_do_not_begin_with_the_smallest_chunk_are_refused(
    shapes: tuple[Shape, ...],
) -> None:
    with pytest.raises(ValueError, match="smallest chunk"):
        made(shapes=shapes)


def test_no_answer_stands_still_while_a_long_prompt_is_read() -> None:
    generation = made(max_len=10_000)
    generation.ask(0, prompt=2, answer=50)
    generation.ask(1, prompt=5_000, answer=1)
    buckets, tokens = run(generation, most=110)
    assert [token.number for token in tokens] == list(range(1, 51))
    assert buckets[:6] == [0, 2, 1, 2, 1, 2] and set(buckets[103:]) == {1}


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=9),
    st.sets(st.integers(1, 9), min_size=1, max_size=3),
    st.sets(st.integers(1, 5), min_size=1, max_size=3),
)
def test_every_request_is_answered_with_all_its_tokens_in_order(
    slots: int, requests: list[tuple[int, int]], chunks: set[int], decodes: set[int]
) -> None:
    shapes = (
        *(Shape(tokens, True) for tokens in sorted(chunks)),
        *(Shape(tokens, False) for tokens in sorted(decodes)),
    )
    cache = KvCache("assistant", KvShape(slots, 64, 1), 100)
    generation = Generation(shapes, cache)
    expected = {}
    for number, (prompt, answer) in enumerate(requests):
        generation.ask(number, prompt, answer)
        expected[number] = min(answer, 64 - prompt)
    _, tokens = run(generation)
    for number, count in expected.items():
        own = [token for token in tokens if token.request == number]
        assert [token.number for token in own] == list(range(1, count + 1))
        assert [token.last for token in own] == [False] * (count - 1) + [True]
    assert cache.used_bytes == 0 and not cache.waiting


SEEING = (Shape(2, True), Shape(8, True), Shape(4, True, image=True), *SHAPES[2:])


def test_an_image_comes_before_its_prompt_and_in_turn_with_the_answers_of_others() -> None:
    generation = made(shapes=SEEING)
    generation.ask(7, prompt=5, answer=3)
    generation.first()
    assert generation.turn == ()  # its first chunk would see nothing
    buckets = [0]
    generation.ended()
    while (bucket := generation.following()) is not None:
        buckets.append(bucket)
        if bucket == 3 and buckets.count(3) == 1:
            generation.ask(8, prompt=1, answer=1)
        generation.ended()
    assert buckets == [0, 2, 0, 0, 3, 2, 4, 3], "the image of the second beside the first answer"


def test_an_image_that_was_not_there_is_chosen_again() -> None:
    generation = Generation(SEEING)
    generation.take(Reserved(0, 0, 3, 1), image=True)
    generation.first()
    assert generation.ended() == () and generation.following() == 2
    generation.leave()
    assert generation.turn == () and generation.ended() == ()
    assert generation.following() == 2 and generation.turn == (0,)
    assert generation.ended() == () and generation.following() == 0


def test_a_prompt_about_nothing_needs_no_image_and_none_is_taken_without_its_bucket() -> None:
    generation = Generation(SEEING)
    generation.take(Reserved(0, 0, 3, 1))
    generation.first()
    assert generation.turn == (0,)
    with pytest.raises(ValueError, match="no bucket"):
        Generation(SHAPES).take(Reserved(0, 0, 3, 1), image=True)
