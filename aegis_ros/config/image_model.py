"""Every key of the topic that brings images to a generator, declared once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from aegis_ros.config.keys import Int, Milliseconds, Model, Topic

__all__ = ["ImageTopic"]


class ImageTopic(Model):
    """What a generator has under ``image``."""

    word: ClassVar[str] = "topic"

    topic: Topic = Field(
        description="ROS topic of `sensor_msgs/msg/Image` whose newest image every prompt is about"
    )
    qos: Literal["best_effort", "reliable"] = Field(
        "best_effort", description="quality of service of the subscription"
    )
    max_age_ms: Milliseconds = Field(
        1000.0, description="how long ago that image may have come; prompts are refused otherwise"
    )
    parts: Int = Field(
        1,
        ge=1,
        le=256,
        description="parts that the image encoder is cut into, so that tasks wait less for it",
    )
