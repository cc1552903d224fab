"""The English of :mod:`aegis_ros.rationale.generators`."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.rationale import generators
from aegis_ros.rationale.wording.arena import held_words, would_admit
from aegis_ros.rationale.wording.units import mib, ms, names, plural
from aegis_ros.rationale.wording.words import words, words_of


@words_of(generators.StepBorne)
def _step_borne(finding: generators.StepBorne) -> str:
    if not finding.longest_ns:
        return f"lane {finding.lane} does not hold its deadlines even without best effort"
    limit = f"lane {finding.lane} bears steps of best effort of up to {ms(finding.longest_ns)}"
    if not finding.t_ns:
        return f"{limit}; with longer ones the test does not end within its limits"
    return (
        f"{limit}, since its tasks can demand {ms(finding.demand_ns)} within the "
        f"{ms(finding.t_ns)} that end with a deadline of {finding.task}"
    )


@words_of(generators.GeneratorAdmitted)
def _generator_admitted(reason: generators.GeneratorAdmitted) -> str:
    rate = f"about {reason.tokens_per_s:.3g} tokens a second"
    left = f"there is time for {rate} on average" if reason.tokens_per_s else "no time is left"
    promise = (
        f"each answer is promised {reason.promised_per_s:.3g} tokens a second; beyond that, "
        if reason.promised_per_s
        else ""
    )
    why = (
        f"lane {reason.lane} promises no deadline, and bears steps of any length"
        if reason.borne is None
        else words(reason.borne)
    )
    fitting = [each for each in reason.buckets if each.fits]
    refused = [each for each in reason.buckets if not each.fits]
    found = (
        f"{names([each.name for each in fitting])} {'is' if len(fitting) == 1 else 'are'} admitted"
    )
    if refused:
        found += f", refused {'is' if len(refused) == 1 else 'are'} {_too_long(refused)}"
    return f"{reason.task} runs in the slack: {why}; {found}; {promise}{left}"


@words_of(generators.GeneratorRefused)
def _generator_refused(reason: generators.GeneratorRefused) -> str:
    if not reason.borne.longest_ns:
        return f"{reason.task} cannot run: {words(reason.borne)}"
    missing = [each for each in reason.buckets if each.name.startswith(reason.missing)]
    shortest = min(missing, key=lambda each: each.longest_ns)
    return (
        f"{reason.task} cannot run: {words(reason.borne)}, and no "
        f"{reason.missing} is short enough; the closest is {_too_long([shortest])}"
    )


def _too_long(buckets: Sequence[generators.BucketTried]) -> str:
    return names(
        [
            f"{each.name} with {'parts of up to ' if each.parts > 1 else ''}{ms(each.longest_ns)}"
            for each in buckets
        ]
    )


@words_of(generators.CacheTooLarge)
def _cache_too_large(reason: generators.CacheTooLarge) -> str:
    fits = []
    if reason.slots_that_fit:
        fits.append(f"{plural(reason.slots_that_fit, 'slot')} of that length")
    if reason.length_that_fits > 1:
        fits.append(f"{plural(reason.slots, 'slot')} of {reason.length_that_fits:,} tokens")
    would = f"{' or '.join(fits)} would fit" if fits else "not one slot fits"
    held = held_words(reason.holders, reason.shared)
    return (
        f"the key-value cache of {reason.task} needs {mib(reason.need_bytes)} for "
        f"{plural(reason.slots, 'slot')} of {reason.max_len:,} tokens, and may take "
        f"{mib(reason.room_bytes)}: {would}{f' ({held})' if held else ''}"
        f"{would_admit(reason.counterfactuals)}"
    )


@words_of(generators.AnswerCapped)
def _answer_capped(reason: generators.AnswerCapped) -> str:
    return (
        f"request {reason.request} of {reason.task} is answered with at most {reason.room:,} "
        f"instead of {reason.asked:,} tokens: with its prompt of {reason.prompt:,}, no more fit "
        f"into a slot of {reason.prompt + reason.room:,}"
    )


@words_of(generators.AnswerLimited)
def _answer_limited(reason: generators.AnswerLimited) -> str:
    return (
        f"request {reason.request} of {reason.task} is answered with at most "
        f"{reason.length - reason.prompt:,} instead of {reason.asked:,} tokens: at present a "
        f"request may have {reason.length:,} tokens, with its prompt of {reason.prompt:,}"
    )


@words_of(generators.AnswerTooLong)
def _answer_too_long(reason: generators.AnswerTooLong) -> str:
    return (
        f"request {reason.request} of {reason.task} asks for {reason.asked:,} tokens after a "
        f"prompt of {reason.prompt:,}; at most {reason.room:,} fit into a slot of "
        f"{reason.prompt + reason.room:,}"
    )


@words_of(generators.PromptTooLong)
def _prompt_too_long(reason: generators.PromptTooLong) -> str:
    return (
        f"request {reason.request} of {reason.task} has a prompt of {reason.prompt:,} tokens; at "
        f"most {reason.most:,} leave room for an answer in a slot of {reason.most + 1:,}"
    )


@words_of(generators.RequestWaits)
def _request_waits(reason: generators.RequestWaits) -> str:
    before = f", after {reason.place - 1} before it" if reason.place > 1 else ""
    taken = "the slot is taken" if reason.slots == 1 else f"all {reason.slots} slots are taken"
    return f"request {reason.request} of {reason.task} waits{before}: {taken}"


@words_of(generators.TooManyRequests)
def _too_many_requests(reason: generators.TooManyRequests) -> str:
    taken = "the slot is taken" if reason.slots == 1 else f"all {reason.slots} slots are taken"
    waiting = f"{plural(reason.waiting, 'request')} {'waits' if reason.waiting == 1 else 'wait'}"
    # One whose prompt has not been read has no number yet.
    which = f"request {reason.request} of" if reason.request else "a request to"
    return (
        f"{which} {reason.task} is refused: {taken}, and {waiting} already; "
        "ask again when one has been answered"
    )


@words_of(generators.PromiseRefused)
def _promise_refused(reason: generators.PromiseRefused) -> str:
    would = (
        f"{reason.most_per_s:.3g} tokens a second would pass"
        if reason.most_per_s
        else "no promise would pass; best effort (tokens_per_s: 0) may"
    )
    return (
        f"{reason.task} cannot promise {reason.promised_per_s:.3g} tokens a second: with a step of "
        f"{ms(reason.decode_ns)} for each, {reason.late} would be late on lane {reason.lane}; "
        f"{would}"
    )


@words_of(generators.BucketsChanged)
def _buckets_changed(reason: generators.BucketsChanged) -> str:
    gone = [each for each in reason.before if each not in reason.after]
    back = [each for each in reason.after if each not in reason.before]
    changes = []
    if gone:
        changes.append(f"gives up {names(gone)}")
    if back:
        changes.append(f"may run {names(back)} again")
    why = (
        f"lane {reason.lane} promises no deadline any more"
        if reason.borne is None
        else f"now {words(reason.borne)}"
    )
    return f"{reason.task} {' and '.join(changes)}: {why}"


@words_of(generators.StepOverran)
def _step_overran(reason: generators.StepOverran) -> str:
    return (
        f"part {reason.part + 1} of {reason.bucket} of {reason.task} held lane {reason.lane} for "
        f"{ms(reason.taken_ns)}, longer than its budget of {ms(reason.budget_ns)}"
    )


@words_of(generators.UnknownGenerator)
def _unknown_generator(reason: generators.UnknownGenerator) -> str:
    known = f"this node has {names(list(reason.known)) if reason.known else 'none'}"
    named = f"there is no generator {reason.task}" if reason.task else "the request names none"
    return f"{named}; {known}"


@words_of(generators.AnswerLost)
def _answer_lost(reason: generators.AnswerLost) -> str:
    return (
        f"the answer to request {reason.request} of {reason.task} was lost with the engine after "
        f"{plural(reason.tokens, 'token')}; ask again"
    )


@words_of(generators.ModelFailed)
def _model_failed(reason: generators.ModelFailed) -> str:
    return (
        f"the answer to request {reason.request} of {reason.task} failed after "
        f"{plural(reason.tokens, 'token')}{': ' if reason.problem else ''}{reason.problem}"
    )
