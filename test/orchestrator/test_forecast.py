"""What would become of requests is what becomes of them, and asking so changes nothing."""

from __future__ import annotations

import random

import pytest

from aegis_ros.engine.speech import Ending
from aegis_ros.orchestrator.forecast import Forecast, Wanted, foresee
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import (
    AnswerCapped,
    AnswerLimited,
    PromptTooLong,
    RequestWaits,
    TooManyRequests,
)
from test.orchestrator.test_conversation import PAUSED, Talk


def foreseen(talk: Talk, *wanted: tuple[int, int]) -> tuple[Forecast, ...]:
    return foresee(talk.conversation.standing(), [Wanted(*each) for each in wanted])


def kinds(forecast: Forecast) -> list[type]:
    return [type(each) for each in forecast.reasons]


def test_requests_run_then_wait_then_are_refused() -> None:
    talk = Talk(slots=1, waiting=1)
    first, second, third = foreseen(talk, (5, 20), (5, 20), (5, 20))
    assert (first.answer, first.place, first.reasons) == (20, 0, ())
    assert (second.answer, second.place, kinds(second)) == (20, 1, [RequestWaits])
    assert (third.answer, kinds(third)) == (0, [TooManyRequests])
    assert talk.conversation.in_hand == 0 and talk.reported == []


def test_an_answer_is_capped_by_its_slot_and_by_what_is_allowed_at_present() -> None:
    talk = Talk(slots=2)
    (capped,) = foreseen(talk, (90, 20))
    assert (capped.answer, kinds(capped)) == (10, [AnswerCapped])
    (refused,) = foreseen(talk, (100, 1))
    assert (refused.answer, kinds(refused)) == (0, [PromptTooLong])
    talk.conversation.limit(2, 50)
    (limited,) = foreseen(talk, (30, 40))
    assert (limited.answer, kinds(limited)) == (20, [AnswerLimited])


def test_requests_whose_prompts_are_being_read_have_places() -> None:
    talk = Talk(slots=1, waiting=0)
    assert talk.conversation.enter() is None
    (refused,) = foreseen(talk, (5, 20))
    assert kinds(refused) == [TooManyRequests]


def test_a_generator_that_takes_no_requests_says_why_of_each() -> None:
    talk = Talk()
    talk.conversation.pause(PAUSED)
    assert [each.reasons for each in foreseen(talk, (1, 1), (2, 2))] == [(PAUSED,)] * 2


@pytest.mark.parametrize("seed", range(5))
def test_what_is_foreseen_is_what_becomes_of_them(seed: int) -> None:
    chance = random.Random(seed)
    talk = Talk(slots=3, waiting=3)
    for _ in range(100):
        wanted = [
            (chance.randint(1, 110), chance.randint(1, 60)) for _ in range(chance.randint(1, 6))
        ]
        for (prompt, most), forecast in zip(wanted, foreseen(talk, *wanted), strict=True):
            number = _asked(talk, prompt, most)
            if not isinstance(number, int):
                assert forecast.answer == 0 and kinds(forecast) == [type(number)]
            elif number in talk.speaker.asked:
                assert (forecast.answer, forecast.place) == (talk.speaker.asked[number].answer, 0)
            else:
                assert forecast.place == talk.conversation.waiting
        for _ in range(chance.randint(0, 4)):
            if talk.speaker.asked:
                talk.speaker.say(chance.choice(list(talk.speaker.asked)), "", Ending.END)
        if chance.random() < 0.3:
            talk.conversation.limit(chance.randint(1, 3), chance.choice([100, 60, 30]))


def _asked(talk: Talk, prompt: int, most: int) -> int | Reason:
    """Ask as the action does."""
    full = talk.conversation.enter()
    if full is not None:
        return full
    number = talk.ask(prompt, most)
    talk.conversation.leave()
    return number
