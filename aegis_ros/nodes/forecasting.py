"""Answers what would become of requests to a generator, without asking it anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aegis_ros.errors import ConfigError
from aegis_ros.msg import GeneratorStep, RequestForecast
from aegis_ros.nodes.conversions import rationale_to_message
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.orchestrator.forecast import Forecast, Wanted, foresee
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import CacheTooLarge
from aegis_ros.rationale.rejection import Invalid
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import GeneratorSpec
from aegis_ros.srv import EvaluateRequests

__all__ = ["fill_forecast"]

_MOST = 1024


def fill_forecast(
    owner: Orchestrator, request: EvaluateRequests.Request, response: EvaluateRequests.Response
) -> None:
    """Fill an answer; nothing that a request holds makes it fail.

    Args:
        owner: has the generators.
        request: what is asked.
        response: the answer.
    """
    found = owner.generators.find(request.generator)
    if isinstance(found, Reason):
        response.rationale = rationale_to_message(owner.log.make(found))
        return
    candidate, conversation = found
    proof, failure = owner.generators.proof(candidate.spec.name)
    try:
        wanted = list(_wanted(request, candidate.spec))
    except ConfigError as error:
        reason: Reason = Invalid(candidate.spec.name, error.rule, str(error))
        response.rationale = rationale_to_message(owner.log.make(reason))
        return
    standing = conversation.standing()
    demand = conversation.demand()
    response.success = standing.paused is None
    response.requests = [_message(each) for each in foresee(standing, wanted)]
    response.running, response.waiting = demand.running, demand.waiting
    response.rationale = rationale_to_message(owner.log.make(failure or proof))
    if isinstance(proof, CacheTooLarge):
        return
    response.steps = [
        GeneratorStep(
            name=each.name,
            longest_ms=each.longest_ns / 1e6,
            parts=each.parts,
            admitted=each.fits,
        )
        for each in proof.buckets
    ]
    response.longest_step_ms = 0.0 if proof.borne is None else proof.borne.longest_ns / 1e6
    response.tokens_per_s = float(getattr(proof, "tokens_per_s", 0.0))


def _wanted(request: Any, spec: GeneratorSpec) -> Iterator[Wanted]:
    """Give the requests that are asked about.

    Raises:
        ConfigError: there are too many, or a length is none.
    """
    prompts: Sequence[int] = request.prompt_tokens
    answers: Sequence[int] = request.max_tokens
    if len(prompts) > _MOST:
        raise ConfigError(
            "too many requests",
            where="prompt_tokens",
            value=len(prompts),
            expected=f"at most {_MOST}",
        )
    if len(answers) not in (0, len(prompts)):
        raise ConfigError(
            "not as many as there are prompts",
            where="max_tokens",
            value=len(answers),
            expected=f"{len(prompts)}, or none",
        )
    for index, prompt in enumerate(prompts):
        if prompt < 1:
            raise ConfigError(
                "a prompt has tokens",
                where=f"prompt_tokens[{index}]",
                value=prompt,
                expected="at least 1",
            )
        yield Wanted(int(prompt), int(answers[index] if len(answers) else 0) or spec.max_tokens)


def _message(forecast: Forecast) -> RequestForecast:
    outcome = RequestForecast.OUTCOME_RUNS
    if not forecast.answer:
        outcome = RequestForecast.OUTCOME_REFUSED
    elif forecast.place:
        outcome = RequestForecast.OUTCOME_WAITS
    return RequestForecast(
        prompt_tokens=forecast.wanted.prompt,
        max_tokens=forecast.wanted.answer,
        outcome=outcome,
        answer_tokens=forecast.answer,
        place=forecast.place,
        sentence=" ".join(sentence(each) for each in forecast.reasons),
    )
