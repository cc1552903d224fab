"""The protocol every decoder follows, and how outputs are taken safely."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.results import Decoded
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import PreprocessSpec

__all__ = [
    "Decoder",
    "DecoderContext",
    "DecoderFactory",
    "Options",
    "Outputs",
    "parse",
    "pick",
    "take",
]

Outputs = Mapping[str, npt.NDArray[np.generic]]


class Decoder(Protocol):
    """Turns one job's outputs into something with a meaning."""

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Decoded:
        """Return the result in coordinates of the source frame.

        Raises:
            DecodeError: an output is absent, has the wrong shape or contains NaN.
        """


@dataclass(frozen=True, slots=True)
class DecoderContext:
    """What a decoder is made from.

    Attributes:
        options: ``output.options`` of the task, unchecked.
        preprocess: what lies in front of the network.
        outputs: the network's outputs.
        metadata: the ONNX file's own metadata (class names, character lists, grid sizes).
    """

    options: Mapping[str, object] = field(default_factory=dict)
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)
    outputs: Sequence[TensorInfo] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class DecoderFactory(Protocol):
    """Makes a decoder; what the entry points of ``aegis_ros.decoders`` name."""

    def __call__(self, context: DecoderContext) -> Decoder:
        """Check the options against the network and return the decoder.

        Raises:
            ConfigError: an option is unknown or has a value that cannot be.
            DecodeError: the network's outputs are not what this decoder reads.
        """


class Options(BaseModel):
    """Base of every decoder's options; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: object, info: ValidationInfo) -> object:
        """Refuse ``yes`` and ``true`` where a number belongs, which would become 1."""
        kind = cls.model_fields[info.field_name or ""].annotation
        kinds = {kind, *get_args(kind)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("expected a number")
        return value


_OptionsT = TypeVar("_OptionsT", bound=Options)


def parse(kind: type[_OptionsT], options: Mapping[str, object]) -> _OptionsT:
    """Return checked options.

    Raises:
        ConfigError: names the option, its value, what was expected and the likely spelling.
    """
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        known = sorted(kind.model_fields)
        where = f"output.options.{name}" if name else "output.options"
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                "this decoder has no such option",
                where=where,
                expected="one of " + ", ".join(known) if known else "no options",
                hint=f"Did you mean {close[0]!r}?" if close else "",
            ) from error
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(said, where=where, value=first.get("input")) from error


def pick(context: DecoderContext, name: str, index: int, rank: Sequence[int]) -> TensorInfo:
    """Return the output a decoder shall read: by name, or by position where no name is given.

    Raises:
        ConfigError: the network has no output of that name.
        DecodeError: the output has a rank this decoder does not read.
    """
    names = ", ".join(item.name for item in context.outputs) or "none"
    if name:
        found = [item for item in context.outputs if item.name == name]
        if not found:
            raise ConfigError(
                "the network has no such output",
                where="output.options",
                value=name,
                expected=f"one of {names}",
            )
        info = found[0]
    elif index < len(context.outputs):
        info = context.outputs[index]
    else:
        raise DecodeError(
            f"the decoder reads output number {index} and the network has {len(context.outputs)}",
            where="output.decoder",
            value=names,
        )
    if len(info.shape) not in rank:
        raise DecodeError(
            f"the decoder cannot read output {info.name!r} of shape {list(info.shape)}",
            where="output.decoder",
            expected="rank " + " or ".join(str(item) for item in rank),
            hint="Choose the decoder that fits the network, or decoder: raw",
        )
    return info


def take(outputs: Outputs, name: str, shape: Sequence[int | None]) -> npt.NDArray[np.float32]:
    """Return one output as float32 of a known shape, without NaN.

    Args:
        outputs: what the network gave.
        name: output to take.
        shape: expected extents; ``None`` accepts any. A leading extent of 1 may be absent.

    Raises:
        DecodeError: absent, of another shape, not numbers, or NaN inside.
    """
    if name not in outputs:
        raise DecodeError(
            "the output is absent",
            where=f"outputs.{name}",
            expected="one of " + (", ".join(outputs) or "no outputs"),
        )
    array = np.asarray(outputs[name])
    if array.ndim == len(shape) - 1 and shape[0] in (1, None):
        array = array[None]
    expected = "[" + ", ".join("any" if item is None else str(item) for item in shape) + "]"
    if array.ndim != len(shape) or any(
        want is not None and have != want for have, want in zip(array.shape, shape, strict=True)
    ):
        raise DecodeError(
            "the output has the wrong shape",
            where=f"outputs.{name}",
            value=list(array.shape),
            expected=f"shape {expected}",
        )
    if array.dtype.kind not in "fiub":
        raise DecodeError(
            "the output does not hold numbers", where=f"outputs.{name}", value=array.dtype
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        values = array.astype(np.float32, copy=False)
    # The minimum is NaN as soon as one element is: one pass, no temporary.
    if values.size and np.isnan(np.min(values)):
        raise DecodeError(
            "the output contains NaN",
            where=f"outputs.{name}",
            value=f"{int(np.isnan(values).sum())} of {values.size} values",
            expected=f"finite numbers, shape {expected}",
            hint="Check scale, mean and std of the preprocessing; float16 networks may overflow",
        )
    return values
