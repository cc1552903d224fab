"""The English of :mod:`aegis_ros.rationale.prompts`."""

from __future__ import annotations

from aegis_ros.rationale import prompts
from aegis_ros.rationale.wording.units import inner, length
from aegis_ros.rationale.wording.words import words_of


@words_of(prompts.PromptReplaced)
def _prompt_replaced(reason: prompts.PromptReplaced) -> str:
    waiting = "one" if reason.queue == 1 else str(reason.queue)
    return (
        f"a prompt on {reason.topic} for {reason.task} was skipped: a newer one took its place, as "
        f"no more than {waiting} may wait (prompts.queue)"
    )


@words_of(prompts.PromptLeftOut)
def _prompt_left_out(reason: prompts.PromptLeftOut) -> str:
    waiting = (
        "one waits already, and keeps its place"
        if reason.queue == 1
        else f"{reason.queue} wait already, and keep their places"
    )
    return (
        f"a prompt on {reason.topic} for {reason.task} was skipped: {waiting} "
        "(prompts.when_full: refuse)"
    )


@words_of(prompts.BadPrompt)
def _bad_prompt(reason: prompts.BadPrompt) -> str:
    return f"a message on {reason.topic} is no prompt for {reason.task}: {inner(reason.problem)}"


@words_of(prompts.PromptWithdrawn)
def _prompt_withdrawn(reason: prompts.PromptWithdrawn) -> str:
    return (
        f"a prompt on {reason.topic} was skipped: it was not asked yet when the node stopped "
        f"taking prompts for {reason.task}"
    )


@words_of(prompts.StandingPromptBusy)
def _standing_prompt_busy(reason: prompts.StandingPromptBusy) -> str:
    waited = (
        "the one before has no answer yet"
        if reason.at_once == 1
        else f"{reason.at_once} before have no answer yet (prompts.at_once)"
    )
    return (
        f"the standing prompt of {reason.task} was skipped: {waited}; one is due every "
        f"{length(reason.period_ns)} (prompts.period_ms)"
    )


@words_of(prompts.StandingPromptLate)
def _standing_prompt_late(reason: prompts.StandingPromptLate) -> str:
    return (
        f"the standing prompt of {reason.task} was skipped: the node was held up until the next "
        f"one was due, {length(reason.period_ns)} later"
    )


@words_of(prompts.StandingPromptUnseen)
def _standing_prompt_unseen(reason: prompts.StandingPromptUnseen) -> str:
    return f"the standing prompt of {reason.task} was skipped: {inner(reason.problem)}"


def _called(kind: str) -> str:
    """Return what messages of a type are to a generator."""
    return "images" if kind.endswith("Image") else "prompts"


@words_of(prompts.CannotTakePrompts)
def _cannot_take_prompts(reason: prompts.CannotTakePrompts) -> str:
    return (
        f"{reason.task} takes no {_called(reason.type)}: {reason.topic} cannot be used as "
        f"{reason.type} ({inner(reason.problem)}); choose another topic"
    )


@words_of(prompts.PromptsOfOtherType)
def _prompts_of_other_type(reason: prompts.PromptsOfOtherType) -> str:
    publisher = reason.publisher or "a publisher"
    return (
        f"{reason.task} receives nothing from {publisher} on {reason.topic}: it publishes "
        f"{reason.offered}, and {_called(reason.requested)} are {reason.requested}; choose another "
        "topic"
    )
