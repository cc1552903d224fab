"""What the replay node plays: a list of recordings and their topics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aegis_ros.config import expanded, explain, read_text, read_yaml
from aegis_ros.config.keys import Float, Number
from aegis_ros.config.kinds import refuse_other_kind
from aegis_ros.demo import assets
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.network import resolve_resource

__all__ = ["KINDS", "ReplayConfig", "Source", "load_replay", "locate"]

KINDS = ("images", "video", "clouds", "bag")
_OF_PICTURES = ("crop", "size", "encoding")
_UNUSED = {"clouds": _OF_PICTURES, "bag": (*_OF_PICTURES, "frame_id", "rate_hz")}
_Extent = Annotated[int, Number, Field(ge=1, le=16384)]
_Offset = Annotated[int, Number, Field(ge=0, le=16384)]
_Rate = Annotated[float, Number, Field(ge=0.0, le=1000.0, allow_inf_nan=False)]


class Source(BaseModel):
    """One recording.

    Attributes:
        images, video, clouds, bag: path or URI of the recording; exactly one of them.
        topic: topic to publish on (for bags: the topic to play; empty for all, as recorded).
        rate_hz: messages a second; for videos 0 keeps the recording's own timing, as bags do.
        loop: begin again at the end.
        start_s: seconds of the recording to leave out at its beginning.
        crop: (top, left, height, width) to cut out of pictures and videos, before they are resized.
        size: (height, width) to resize pictures to.
        encoding: bgr8, rgb8, mono8, jpeg or png.
        frame_id: frame of the header; bags keep theirs.
        stamp: ``now`` or ``original`` (bags only).
        qos: sensor_data or reliable.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: str = ""
    video: str = ""
    clouds: str = ""
    bag: str = ""
    topic: str = Field("", max_length=255)
    rate_hz: _Rate = 0.0
    loop: bool = True
    start_s: Float = Field(0.0, ge=0.0, allow_inf_nan=False)
    crop: tuple[_Offset, _Offset, _Extent, _Extent] | None = None
    size: tuple[_Extent, _Extent] | None = None
    encoding: Literal["bgr8", "rgb8", "mono8", "jpeg", "png"] = "bgr8"
    frame_id: str = "replay"
    stamp: Literal["now", "original"] = "now"
    qos: Literal["sensor_data", "reliable"] = "sensor_data"

    @model_validator(mode="after")
    def _one_recording(self) -> Source:
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(KINDS)}, got {given or 'none'}")
        if not self.topic and given != ["bag"]:
            raise ValueError("topic: expected the topic to publish on")
        if not self.rate_hz and given[0] in ("images", "clouds"):
            raise ValueError("rate_hz: expected messages a second for images and clouds")
        if self.stamp == "original" and given != ["bag"]:
            raise ValueError("stamp: original stamps exist only in bags")
        for name in _UNUSED.get(given[0], ()):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with {given[0]}: expected it left out")
        return self

    @property
    def kind(self) -> str:
        """Which of ``KINDS`` it is."""
        return next(kind for kind in KINDS if getattr(self, kind))

    @property
    def uri(self) -> str:
        """Path or URI of the recording."""
        return str(getattr(self, self.kind))


class ReplayConfig(BaseModel):
    """All recordings of one node, and the speed they are played at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: Float = Field(1.0, gt=0.0, le=100.0, allow_inf_nan=False)
    sources: list[Source] = Field(min_length=1, max_length=64)


def load_replay(path: Path) -> ReplayConfig:
    """Read what to play.

    Raises:
        ConfigError: it cannot be read or is not valid.
    """
    values, lines = read_yaml(read_text(path), str(path), "keys speed and sources")
    refuse_other_kind(values, tuple(ReplayConfig.model_fields), str(path))
    try:
        return ReplayConfig.model_validate(values)
    except ValidationError as error:
        raise explain(error, ReplayConfig, values, str(path), lines=lines) from None


def locate(source: Source) -> Path:
    """Return the file or folder of a recording.

    Besides paths, ``pypi://`` files of installed distributions and ``demo://`` recordings
    (``bikes``, ``carphone``, ``scans``, or a picture of scikit-image) are known.

    Raises:
        ConfigError: it is not there.
    """
    uri = source.uri
    try:
        if uri.startswith("demo://"):
            name = uri.removeprefix("demo://")
            if name == "bikes":
                return assets.bikes_video()
            if name == "carphone":
                return assets.carphone_video()
            if name == "scans":
                return assets.lidar_scans()[0].parent
            return assets.photograph(name)
        if uri.startswith("pypi://"):
            return resolve_resource(uri, [])
    except AegisError as error:
        raise ConfigError(str(error), where=source.kind, value=uri) from error
    path = expanded(uri)
    if not path.exists():
        raise ConfigError(
            "there is no such file or folder",
            where=source.kind,
            value=uri,
            hint="Check the path; relative ones start where the node was started",
        )
    return path
