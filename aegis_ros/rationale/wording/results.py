"""The English of :mod:`aegis_ros.rationale.results`."""

from __future__ import annotations

from aegis_ros.rationale import results
from aegis_ros.rationale.wording.units import inner, plural
from aegis_ros.rationale.wording.words import words_of


@words_of(results.PublishingTooSlow)
def _publishing_too_slow(reason: results.PublishingTooSlow) -> str:
    return (
        f"the result of job {reason.job} of {reason.task} was dropped: publishing cannot keep up "
        f"({plural(reason.waiting, 'result')} waiting)"
    )


@words_of(results.ResultUnwanted)
def _result_unwanted(reason: results.ResultUnwanted) -> str:
    of = f" of {reason.task}" if reason.task else ""
    return (
        f"the result of job {reason.job}{of} was dropped: results of its task are no longer "
        "published"
    )


@words_of(results.TooManyHeld)
def _too_many_held(reason: results.TooManyHeld) -> str:
    return (
        f"the result of job {reason.job} of {reason.task} was dropped: too many results are held "
        f"until they are {reason.constant_latency_ns / 1e6:g} ms old (output.constant_latency_ms)"
    )


@words_of(results.NotPublished)
def _not_published(reason: results.NotPublished) -> str:
    return (
        f"the result of job {reason.job} of {reason.task} could not be published: {reason.problem}"
    )


@words_of(results.DecoderFailed)
def _decoder_failed(reason: results.DecoderFailed) -> str:
    return (
        f"decoder {reason.decoder} failed on job {reason.job} of {reason.task} "
        f"({inner(reason.problem)}); the tensors were published without it"
    )


@words_of(results.CannotPublish)
def _cannot_publish(reason: results.CannotPublish) -> str:
    return (
        f"cannot publish results of {reason.task} on {reason.topic}: {inner(reason.problem)}; "
        "unregister it and choose another topic"
    )


@words_of(results.ResultNotFinite)
def _result_not_finite(reason: results.ResultNotFinite) -> str:
    names = ", ".join(repr(name) for name in reason.outputs)
    subject = f"outputs {names} hold" if len(reason.outputs) > 1 else f"output {names} holds"
    return (
        f"{subject} NaN or infinite numbers in job {reason.job} of {reason.task}, whose result was "
        "published; check scale, mean and std, declare invalid: drop or zero for its inputs, and "
        "see whether the network overflows in float16"
    )


@words_of(results.RowsLeftOut)
def _rows_left_out(reason: results.RowsLeftOut) -> str:
    return (
        f"job {reason.job} of {reason.task} found {reason.found} rows of output {reason.output}, "
        f"and the first {reason.kept} are in its result; raise output.max_results to keep more"
    )
