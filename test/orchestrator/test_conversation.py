"""Requests of a generator: each is heard of until it has ended, exactly once."""

from __future__ import annotations

import random

import pytest

from aegis_ros.engine.speech import Ending, Spoken
from aegis_ros.errors import ConfigError
from aegis_ros.memory import KvShape
from aegis_ros.orchestrator.conversation import Conversation, Vocabulary
from aegis_ros.orchestrator.request import Answer, Conclusion, Question
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import (
    AnswerCapped,
    AnswerLimited,
    AnswerLost,
    ModelFailed,
    PromptTooLong,
    RequestWaits,
    TooManyRequests,
    UnknownGenerator,
)
from test.orchestrator.speaking import FakeSpeaker

END = 256
PAUSED = UnknownGenerator("llm", ())


class Talk:
    """A conversation of two slots of 100 tokens, and what is heard of it."""

    def __init__(self, slots: int = 2, waiting: int = 2) -> None:
        self.speaker = FakeSpeaker()
        self.reported: list[Reason] = []
        self.conversation = Conversation(
            1,
            "llm",
            KvShape(slots, 100, 1),
            most_waiting=waiting,
            words=Vocabulary([bytes([byte]) for byte in range(256)], frozenset({END})),
            speaker=self.speaker,
            report=self.reported.append,
        )
        self.speaker.on_spoken = self.conversation.heard
        self.heard: dict[int, list[Answer]] = {}

    def ask(self, prompt: int = 5, most: int = 20, *stops: str) -> int | Reason:
        heard: list[Answer] = []
        number = self.conversation.ask(Question([1] * prompt, most, stops=stops), heard.append)
        if isinstance(number, int):
            self.heard[number] = heard
        return number

    def asked(self, *about: int, stops: tuple[str, ...] = ()) -> int:
        number = self.ask(*(about or (5, 20)), *stops)
        assert isinstance(number, int)
        return number


def test_fewer_may_run_from_now_on_and_who_waited_runs_when_more_may() -> None:
    talk = Talk()
    talk.conversation.limit(1, 100)
    first, second = talk.asked(), talk.asked()
    assert (talk.conversation.running, talk.conversation.waiting) == (1, 1)
    assert list(talk.speaker.asked) == [first]
    talk.conversation.limit(2, 100)
    assert list(talk.speaker.asked) == [first, second]
    talk.conversation.limit(1, 100)
    assert list(talk.speaker.asked) == [first, second], "nobody is evicted"
    third = talk.asked()
    talk.speaker.say(first, "", Ending.END)
    assert list(talk.speaker.asked) == [second]
    talk.speaker.say(second, "", Ending.END)
    assert list(talk.speaker.asked) == [third]


def test_requests_get_shorter_answers_from_now_on_and_none_is_refused_for_that() -> None:
    talk = Talk(slots=4)
    before = talk.asked(5, 50)
    talk.conversation.limit(4, 30)
    after, short, long = talk.asked(5, 50), talk.asked(5, 3), talk.asked(40, 50)
    lengths = {number: asked.answer for number, asked in talk.speaker.asked.items()}
    assert lengths == {before: 50, after: 25, short: 3, long: 50}
    assert talk.reported == [AnswerLimited("llm", after, 5, 50, 30)]
    talk.speaker.say(after, "x" * 25, Ending.LENGTH)
    shortened = talk.heard[after][-1]
    assert (shortened.ended, shortened.reason) == (Conclusion.LENGTH, talk.reported[0])
    talk.speaker.say(before, "x" * 50, Ending.LENGTH)
    assert talk.heard[before][-1].reason is None


def test_an_answer_is_heard_as_it_comes_and_ends_once() -> None:
    talk = Talk()
    number = talk.asked()
    talk.speaker.say(number, "Hel")
    talk.speaker.say(number, "lo")
    talk.speaker.say(number, "!", Ending.LENGTH)
    assert [each.text for each in talk.heard[number]] == ["Hel", "Hello", "Hello!"]
    last = talk.heard[number][-1]
    assert (last.ended, last.tokens, last.prompt_tokens) == (Conclusion.LENGTH, 6, 5)
    assert last.tokens_per_s == pytest.approx(100.0)
    assert [each.ended for each in talk.heard[number][:-1]] == [None, None]
    assert talk.conversation.in_hand == 0


def test_a_character_is_heard_when_all_of_its_bytes_have_come() -> None:
    talk = Talk()
    number = talk.asked()
    first, second = "ü".encode()
    talk.speaker.say(number, "a")
    for byte in (first, second):
        talk.conversation.heard(Spoken(1, number, (byte,), (2_000_000_000_000_000,)))
    assert talk.heard[number][-2].text == "a"
    assert talk.heard[number][-1].text == "aü"


def test_a_text_to_stop_at_ends_the_answer_and_its_slot_is_free_when_the_engine_says_so() -> None:
    talk = Talk(slots=1)
    number = talk.asked(5, 20, stops=("</end>",))
    after = talk.asked()
    talk.speaker.say(number, "yes</end")
    assert talk.heard[number][-1].text == "yes"
    talk.speaker.say(number, "> and more")
    assert talk.heard[number][-1].ended is Conclusion.STOP
    assert talk.heard[number][-1].text == "yes"
    assert talk.speaker.cancelled == [number]
    assert after not in talk.speaker.asked
    talk.speaker.say(number, "", Ending.CANCELLED)
    assert after in talk.speaker.asked
    assert sum(each.ended is not None for each in talk.heard[number]) == 1


def test_requests_wait_for_a_slot_in_their_turn_and_too_many_are_refused() -> None:
    talk = Talk(slots=1, waiting=2)
    first, second, third = (talk.asked() for _ in range(3))
    assert isinstance(talk.ask(), TooManyRequests)
    assert [type(each) for each in talk.reported] == [RequestWaits, RequestWaits]
    talk.speaker.say(first, "a", Ending.END)
    assert list(talk.speaker.asked) == [second]
    talk.conversation.cancel(third)
    assert talk.heard[third][-1].ended is Conclusion.CANCELLED
    talk.speaker.say(second, "b", Ending.END)
    assert talk.speaker.asked == {}
    assert talk.conversation.in_hand == 0


def test_prompts_that_are_being_read_take_places_too() -> None:
    talk = Talk(slots=1, waiting=1)
    assert talk.conversation.enter() is None
    assert talk.conversation.enter() is None
    assert isinstance(talk.conversation.enter(), TooManyRequests)
    talk.conversation.leave()
    assert talk.conversation.enter() is None


def test_who_has_a_place_of_its_own_shares_slots_and_not_places() -> None:
    talk = Talk(slots=1, waiting=1)

    def own() -> int | Reason:
        return talk.conversation.ask(Question([1], 5), lambda answer: None, own_place=True)

    first, second = talk.asked(), talk.asked()
    third = own()
    assert isinstance(third, int), "all places are taken, and it has its own"
    assert isinstance(talk.conversation.enter(), TooManyRequests)
    talk.speaker.say(first, "", Ending.END)
    fourth = talk.asked()
    assert list(talk.speaker.asked) == [second]
    talk.speaker.say(second, "", Ending.END)
    assert list(talk.speaker.asked) == [third], "it came before the fourth"
    assert isinstance(own(), int)
    assert talk.conversation.enter() is None, "the fourth waits, and neither of the two counts"
    talk.conversation.leave()
    talk.speaker.say(third, "", Ending.END)
    assert list(talk.speaker.asked) == [fourth]


def test_an_answer_is_no_longer_than_its_slot_and_a_prompt_is_refused_with_what_would_pass() -> (
    None
):
    talk = Talk()
    number = talk.asked(90, 500)
    assert talk.speaker.asked[number].answer == 10
    assert talk.reported == [AnswerCapped("llm", number, 90, 500, 10)]
    talk.speaker.say(number, "x" * 10, Ending.LENGTH)
    capped = talk.heard[number][-1]
    assert (capped.ended, capped.reason) == (Conclusion.CONTEXT, talk.reported[0])
    refused = talk.ask(100)
    assert isinstance(refused, PromptTooLong)
    assert refused.most == 99


def test_who_waited_is_told_too_that_the_answer_is_shorter() -> None:
    talk = Talk(slots=1)
    first = talk.asked()
    waits = talk.asked(90, 500)
    assert [type(each) for each in talk.reported] == [RequestWaits]
    talk.speaker.say(first, "a", Ending.END)
    assert talk.reported[1:] == [AnswerCapped("llm", waits, 90, 500, 10)]
    talk.speaker.say(waits, "done", Ending.END)
    assert talk.heard[waits][-1].reason is None, "it was not cut off"


def test_a_cancelled_request_ends_when_the_engine_has_ended_it() -> None:
    talk = Talk()
    number = talk.asked()
    talk.speaker.say(number, "so")
    talk.conversation.cancel(number)
    talk.conversation.cancel(number)
    assert talk.heard[number][-1].ended is None
    talk.speaker.say(number, "", Ending.CANCELLED)
    assert talk.heard[number][-1].ended is Conclusion.CANCELLED
    assert talk.heard[number][-1].text == "so"
    talk.conversation.cancel(number)
    assert sum(each.ended is not None for each in talk.heard[number]) == 1


def test_what_the_engine_loses_is_told_once_and_who_waits_is_asked_when_it_is_back() -> None:
    talk = Talk(slots=1)
    first, second = talk.asked(), talk.asked()
    talk.speaker.say(first, "half")
    talk.speaker.lose()
    lost = talk.heard[first][-1]
    assert (lost.ended, lost.text) == (Conclusion.LOST, "half")
    assert isinstance(lost.reason, AnswerLost)
    assert talk.heard[second] == []
    talk.speaker.gone = False
    talk.conversation.engine_back()
    talk.conversation.engine_back()
    talk.speaker.say(second, "whole", Ending.END)
    assert talk.heard[second][-1].ended is Conclusion.END


def test_what_a_model_fails_at_is_told_and_the_next_one_is_asked() -> None:
    talk = Talk(slots=1)
    first, second = talk.asked(), talk.asked()
    talk.speaker.say(first, "half", Ending.FAILED, why="no memory for part 2")
    failed = talk.heard[first][-1]
    assert (failed.ended, failed.text) == (Conclusion.LOST, "half")
    assert failed.reason == ModelFailed("llm", first, 4, "no memory for part 2")
    assert list(talk.speaker.asked) == [second]


def test_a_request_that_waits_for_the_engine_can_be_cancelled() -> None:
    talk = Talk(slots=1)
    talk.speaker.gone = True
    number = talk.asked()
    talk.conversation.cancel(number)
    assert talk.heard[number][-1].ended is Conclusion.CANCELLED
    assert talk.conversation.in_hand == 0


def test_a_pause_ends_all_with_its_reason_and_takes_none_until_it_is_over() -> None:
    talk = Talk(slots=1)
    runs, waits = talk.asked(), talk.asked()
    talk.conversation.pause(PAUSED)
    assert talk.heard[waits][-1].ended is Conclusion.REFUSED
    assert talk.heard[waits][-1].reason is PAUSED
    talk.speaker.say(runs, "", Ending.CANCELLED)
    assert talk.heard[runs][-1].reason is PAUSED
    assert talk.ask() is PAUSED
    assert talk.conversation.enter() is PAUSED
    talk.conversation.resume()
    assert talk.asked() in talk.speaker.asked


def test_all_who_wait_are_refused_one_by_one_where_nothing_can_be_asked() -> None:
    talk = Talk(slots=1, waiting=1500)
    first, *others = [talk.asked() for _ in range(1500)]
    talk.speaker.refuses = "no such language model is loaded"
    talk.speaker.say(first, "a", Ending.END)
    assert [talk.heard[each][-1].ended for each in others] == [Conclusion.REFUSED] * 1499
    assert talk.conversation.in_hand == talk.conversation.running == 0


def test_one_that_is_closed_ends_all_and_asks_nothing_any_more() -> None:
    talk = Talk(slots=1)
    runs, waits = talk.asked(), talk.asked()
    talk.conversation.close(PAUSED)
    assert [talk.heard[each][-1].reason for each in (runs, waits)] == [PAUSED, PAUSED]
    talk.speaker.say(runs, "", Ending.REMOVED)
    talk.conversation.limit(2, 50)
    talk.conversation.resume()
    assert talk.speaker.asked == {}
    assert talk.ask() is PAUSED


def test_bad_texts_to_stop_at_are_refused_before_anything_is_taken() -> None:
    talk = Talk()
    with pytest.raises(ConfigError, match="stop"):
        talk.ask(5, 20, "")
    assert talk.conversation.in_hand == 0


def test_who_fails_to_hear_disturbs_nobody_else() -> None:
    talk = Talk()

    def fail(answer: Answer) -> None:
        raise ValueError("nobody is there")

    number = talk.conversation.ask(Question([1], 5), fail)
    other = talk.asked()
    assert isinstance(number, int)
    talk.speaker.say(number, "a", Ending.END)
    talk.speaker.say(other, "b", Ending.END)
    assert talk.heard[other][-1].text == "b"


@pytest.mark.parametrize("seed", range(5))
def test_every_one_of_a_thousand_requests_ends_exactly_once(seed: int) -> None:
    chance = random.Random(seed)
    talk = Talk(slots=3, waiting=5)
    refused = 0
    while len(talk.heard) < 1_000 or talk.conversation.in_hand:
        verb = chance.choice(["ask", "ask", "say", "say", "end", "cancel", "lose", "back"])
        running = list(talk.speaker.asked)
        if verb == "ask" and len(talk.heard) < 1_000:
            refused += not isinstance(
                talk.ask(chance.randint(1, 120), chance.randint(1, 50), "x"), int
            )
        elif verb == "say" and running:
            talk.speaker.say(chance.choice(running), chance.choice(["a", "bc", "x"]))
        elif verb == "end" and running:
            number = chance.choice(running)
            cut = number in talk.speaker.cancelled
            talk.speaker.say(number, "", Ending.CANCELLED if cut else Ending.END)
        elif verb == "cancel" and talk.heard:
            talk.conversation.cancel(chance.choice(list(talk.heard)[-8:]))
        elif verb == "lose" and chance.random() < 0.1:
            talk.speaker.lose()
        elif verb == "back":
            talk.speaker.gone = False
            talk.conversation.engine_back()
    assert refused
    for heard in talk.heard.values():
        assert [each.ended is not None for each in heard].count(True) == 1
        assert heard[-1].ended is not None
    assert talk.conversation.running == 0
