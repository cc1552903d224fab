"""Answers, models and errors as the chat API of OpenAI has them."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from aegis_ros.chat.robot import Answered
from aegis_ros.serving.guard import Refused

__all__ = ["DONE", "Reply", "Wrong", "error_of", "event", "model_of", "refusal"]

DONE = b"data: [DONE]\n\n"

_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}
_BUSY_S = "1"  # after which it is worth to ask again

# By kind of the decision: status, field, code.
_KINDS = {
    "too_many_requests": (429, None, "rate_limit_exceeded"),
    "unknown_generator": (404, "model", "model_not_found"),
    "prompt_too_long": (400, "messages", "context_length_exceeded"),
    "answer_too_long": (400, "max_tokens", "context_length_exceeded"),
}
_RULES = {"schema": 400, "model_valid": 500, "run_failed": 500}


class Wrong(Refused):
    """A request that is answered with an error of this API."""

    def __init__(
        self, status: int, text: str, param: str | None = None, code: str | None = None
    ) -> None:
        """Keep the parts."""
        headers = {"Retry_After": _BUSY_S} if status in (429, 503) else {}
        super().__init__(status, text, **headers)
        self.param = param
        self.code = code


def error_of(refused: Refused) -> dict[str, Any]:
    """Return what is answered where a request is refused."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    if refused.status == 429:
        kind = "rate_limit_error"
    elif refused.status == 401:
        kind = "authentication_error"
    return {
        "error": {
            "message": refused.text,
            "type": kind,
            "param": getattr(refused, "param", None),
            "code": getattr(refused, "code", None),
        }
    }


def refusal(answered: Answered) -> Wrong | None:
    """Return why there is no whole answer; ``None`` where there is one, or may be one yet."""
    if not answered.ended or answered.ended in _REASONS:
        return None
    text = answered.sentence or f"the answer ended early: {answered.ended}"
    known = _KINDS.get(answered.kind)
    if known is not None and answered.ended == "refused":
        return Wrong(known[0], text, *known[1:])
    return Wrong(_RULES.get(answered.rule, 503), text)


def model_of(name: str, since_s: int) -> dict[str, Any]:
    """Return a generator as a model of the API."""
    return {"id": name, "object": "model", "created": since_s, "owned_by": "aegis_ros"}


def event(content: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(content, separators=(',', ':'))}\n\n".encode()


class Reply:
    """What is answered to one request, whole or in pieces."""

    def __init__(self, model: str, wants_usage: bool) -> None:
        """Begin.

        Args:
            model: as it was asked for.
            wants_usage: whether the pieces end with the number of tokens.
        """
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self._wants_usage = wants_usage
        self._sent: int | None = None  # characters

    def whole(self, answered: Answered) -> dict[str, Any]:
        """Return an answer that has ended."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answered.text},
            "logprobs": None,
            "finish_reason": _REASONS[answered.ended],
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(answered),
        }

    def pieces(self, answered: Answered) -> bytes:
        """Return the events for what is new of an answer."""
        events = []
        if self._sent is None:
            self._sent = 0
            events.append(self._piece({"role": "assistant", "content": ""}))
        # What was said is not taken back: feedback may come after the end.
        new = answered.text[self._sent :]
        if new:
            self._sent += len(new)
            events.append(self._piece({"content": new}))
        if answered.ended in _REASONS:
            events.append(self._piece({}, _REASONS[answered.ended]))
            if self._wants_usage:
                events.append(event({**self._chunk([]), "usage": _usage(answered)}))
            events.append(DONE)
        return b"".join(events)

    def _piece(self, delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event(self._chunk([choice]))

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        return {**chunk, "usage": None} if self._wants_usage else chunk


def _usage(answered: Answered) -> dict[str, int]:
    return {
        "prompt_tokens": answered.prompt_tokens,
        "completion_tokens": answered.tokens,
        "total_tokens": answered.prompt_tokens + answered.tokens,
    }
