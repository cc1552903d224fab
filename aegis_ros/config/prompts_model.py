"""Every key of the prompts that come to a generator by themselves, declared once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from aegis_ros.config.keys import (
    Float,
    Int,
    MillisecondsOrZero,
    Model,
    Number,
    Shown,
    Topic,
    TopicOrNone,
)
from aegis_ros.config.mistakes import Unfit
from aegis_ros.spec import WhenFull

__all__ = ["Prompts"]

_Stop = Annotated[str, Field(min_length=1, max_length=256)]


class Prompts(Model):
    """What a generator has under ``prompts``."""

    word: ClassVar[str] = "topic"

    topic: Annotated[TopicOrNone, Shown("none, where there is `text`")] = Field(
        "", description="ROS topic of `std_msgs/msg/String` whose messages are prompts"
    )
    text: Annotated[str, Shown("none")] = Field(
        "",
        max_length=16_384,
        description="in place of `topic`: standing prompt that is asked every `period_ms` about "
        "the newest image of `image.topic`",
    )
    answers: Topic = Field(description="ROS topic that answers are published on")
    qos: Literal["reliable", "best_effort"] = Field(
        "reliable", description="quality of service of the subscription"
    )
    queue: Int = Field(1, ge=1, le=64, description="prompts that may wait to be asked")
    when_full: WhenFull = Field(
        WhenFull.REPLACE,
        description="what becomes of a prompt that finds the queue full: it takes the place of the "
        "oldest one, or is left out",
    )
    period_ms: MillisecondsOrZero = Field(
        0.0,
        description="shortest time between two prompts that are asked, or between those of `text`; "
        "0: as soon as there is a place",
    )
    at_once: Int = Field(
        1, ge=1, le=64, description="prompts that are asked and not answered yet, at most `slots`"
    )
    prefix: Annotated[str, Shown("none")] = Field(
        "", max_length=16_384, description="text in front of each message, as it is"
    )
    suffix: Annotated[str, Shown("none")] = Field(
        "", max_length=16_384, description="text behind each message, as it is"
    )
    system: Annotated[str, Shown("that of the generator")] = Field(
        "", max_length=16_384, description="standing instruction in front of these prompts"
    )
    max_tokens: Annotated[Int | None, Shown("that of the generator")] = Field(
        None, ge=1, le=1_048_576, description="longest answer"
    )
    temperature: Float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="0 takes the most likely token each time; 1 draws as the model was trained",
    )
    top_p: Float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="draw from the most likely tokens that together have this probability",
    )
    seed: Annotated[int, Number, Field(ge=0, le=2**64 - 1), Shown("`0`", "whole number")] = Field(
        0, description="of the draws"
    )
    stop: list[_Stop] = Field(
        default_factory=list,
        max_length=16,
        description="texts that end an answer; they are not part of it",
    )

    @model_validator(mode="after")
    def _comes_one_way(self) -> Prompts:
        if bool(self.topic) == bool(self.text):
            raise Unfit(
                "is given beside text" if self.topic else "is missing",
                path=("topic",),
                expected="topic for prompts that come by topic, or text for a standing one",
            )
        if self.text:
            self._stands()
        if self.answers == self.topic:
            raise Unfit(
                "is the topic of the prompts",
                path=("answers",),
                value=self.answers,
                expected="a topic of its own: answers are aegis_ros/msg/GeneratorAnswer",
                hint=f"Choose another one, as {self.topic}/answers",
            )
        return self

    def _stands(self) -> None:
        """Refuse what a standing prompt has no use for."""
        if not self.period_ms:
            raise Unfit(
                "is missing",
                path=("period_ms",),
                expected="how often text is asked",
                hint="Give it, as 5000 for every 5 s",
            )
        unused = {"qos", "queue", "when_full", "prefix", "suffix"} & self.model_fields_set
        for key in sorted(unused):
            raise Unfit(
                "is of no use to a standing prompt",
                path=(key,),
                value=getattr(self, key),
                expected="it left out, or topic in place of text",
            )
