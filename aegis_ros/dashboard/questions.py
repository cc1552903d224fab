"""What a page may ask of an orchestrator, checked before anybody else sees it."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from aegis_ros.config.mistakes import read_as
from aegis_ros.config.patterns import NAME, NAME_OR_NONE, TOPIC_OR_NONE
from aegis_ros.dashboard.views import AnswerView

__all__ = ["Pause", "Robot", "WhatIf", "read_pause", "read_what_if"]

_Name = Annotated[str, Field(pattern=NAME)]
_Milliseconds = Annotated[float, Field(ge=0.0, le=1e7, allow_inf_nan=False)]


class WhatIf(BaseModel):
    """What would happen if this task were registered?

    Attributes:
        like: an admitted task whose network, input and output are taken over; empty for none.
        name, model, topic, period_ms, deadline_ms, jitter_ms, wcet_ms, criticality, lane: as in
            ``ModelTask.msg``; an empty text or a zero keeps what ``like`` has.
        without: admitted tasks to leave out in the question.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    like: Annotated[str, Field(pattern=NAME_OR_NONE)] = ""
    model: Annotated[str, Field(max_length=1024)] = ""
    topic: Annotated[str, Field(max_length=256, pattern=TOPIC_OR_NONE)] = ""
    period_ms: _Milliseconds = 0.0
    deadline_ms: _Milliseconds = 0.0
    jitter_ms: _Milliseconds = 0.0
    wcet_ms: _Milliseconds = 0.0
    criticality: Literal["", "high", "low", "best_effort"] = ""
    lane: Annotated[str, Field(max_length=64)] = ""
    without: Annotated[tuple[_Name, ...], Field(max_length=256)] = ()


class Pause(BaseModel):
    """Stop or resume feeding one task."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: _Name
    enabled: bool


class Robot(Protocol):
    """The orchestrator behind the page. Calls wait for the answer."""

    def evaluate(self, question: WhatIf) -> AnswerView:
        """Answer a what-if question; nothing is changed.

        Raises:
            AegisError: it cannot be answered now.
        """
        ...

    def set_enabled(self, task: str, enabled: bool) -> tuple[bool, str]:
        """Stop or resume feeding a task; return whether it was done, and why (not).

        Raises:
            AegisError: it cannot be asked now.
        """
        ...


def read_what_if(body: bytes) -> WhatIf:
    """Read a question from JSON.

    Raises:
        ConfigError: names every field that is wrong.
    """
    return read_as(WhatIf, body)


def read_pause(body: bytes) -> Pause:
    """Read a request to stop or resume a task from JSON.

    Raises:
        ConfigError: names every field that is wrong.
    """
    return read_as(Pause, body)
