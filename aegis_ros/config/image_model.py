"""Every key of the images that the prompts of a generator are about, declared once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from aegis_ros.config.keys import Int, Milliseconds, Model, Number, Shown, Topic, TopicOrNone
from aegis_ros.config.mistakes import Unfit

__all__ = ["ImageTopic"]

_Pixels = Annotated[int, Number, Field(ge=1, le=16384)]


class ImageTopic(Model):
    """What a generator has under ``image``."""

    word: ClassVar[str] = "topic"

    topic: Annotated[TopicOrNone, Shown("none: only images that a prompt brings or names")] = Field(
        "",
        description="ROS topic whose newest image a prompt is about that does not say otherwise",
    )
    others: list[Topic] = Field(
        default_factory=list,
        max_length=7,
        description="further topics, of the same type, whose newest image a prompt may name",
    )
    type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"] = Field(
        "sensor_msgs/msg/Image", description="type of their messages"
    )
    qos: Literal["best_effort", "reliable"] = Field(
        "best_effort", description="quality of service of the subscriptions"
    )
    max_age_ms: Milliseconds = Field(
        1000.0, description="how long ago that image may have come; prompts are refused otherwise"
    )
    max_size: tuple[_Pixels, _Pixels] = Field(
        (4096, 4096),
        description="largest image, height and width in pixels, whether it comes by topic or with "
        "a prompt",
    )
    parts: Int = Field(
        1,
        ge=1,
        le=256,
        description="parts that the image encoder is cut into, so that tasks wait less for it",
    )

    @model_validator(mode="after")
    def _names_each_topic_once(self) -> ImageTopic:
        named = [self.topic]
        for each in self.others:
            if each in named:
                raise Unfit(
                    "is named before",
                    path=("others",),
                    value=each,
                    expected="each topic once",
                    hint="Leave it out",
                )
            named.append(each)
        return self
