"""A network that somebody else compiled: what a file beside it says that it takes and makes.

ONNX files describe themselves. Machine code does not, and a task has to be checked before any of it
is run: ``detector.so`` comes with ``detector.so.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec

from aegis_ros.errors import ModelError
from aegis_ros.network.locate import ONNX, open_model, resolve_resource
from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.network.model_file import ModelFile, hashed_content
from aegis_ros.network.plain_text import plain
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule

__all__ = ["CompiledCode", "code_suffix", "described_code"]

_BESIDE = ".json"
_MOST_BYTES = 1024 * 1024  # of a description, class names included
_MOST_EXTENT = 2**31 - 1

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Extent = Annotated[int, msgspec.Meta(ge=1, le=_MOST_EXTENT)]
_Dtype = Literal[
    "float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64"
]


class _Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Name
    dtype: _Dtype
    shape: Annotated[tuple[_Extent, ...], msgspec.Meta(max_length=8)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Annotated[tuple[_Tensor, ...], msgspec.Meta(min_length=1, max_length=8)]
    outputs: Annotated[tuple[_Tensor, ...], msgspec.Meta(min_length=1, max_length=64)]
    function: _Name = "main"
    labels: Annotated[tuple[str, ...], msgspec.Meta(max_length=32_768)] = ()


@dataclass(frozen=True, slots=True)
class CompiledCode:
    """What is known of compiled code without running it.

    Attributes:
        suffix: that of its file: which backends take it.
        function: that computes the network.
        inputs: what it takes, in order, all extents fixed.
        outputs: what it makes, in order, all extents fixed.
        labels: class names; empty for none.
    """

    suffix: str
    function: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    labels: tuple[str, ...] = ()

    @property
    def metadata(self) -> dict[str, str]:
        """Class names as decoders read them from a network."""
        return bounded_metadata([("names", repr(list(self.labels)))]) if self.labels else {}

    def require_room(self, most_bytes: int) -> None:
        """Refuse what takes and makes more than there is room for.

        Raises:
            ModelError: it does.
        """
        total = sum(item.nbytes for item in (*self.inputs, *self.outputs))
        if total > most_bytes:
            raise ModelError(
                "what the compiled code takes and makes is more than the arena",
                where="model",
                value=f"{total:,} bytes",
                expected=f"at most {most_bytes:,}",
                hint="Correct the extents in the file beside it, or raise device.arena_mib",
                rule=Rule.MODEL_VALID,
            )

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that :meth:`from_json` understands."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @staticmethod
    def from_json(values: Any) -> CompiledCode:
        """Return what :meth:`to_json` described."""
        return msgspec.convert(values, CompiledCode)


def code_suffix(uri: str) -> str:
    """Return how the name of a model ends that is no ONNX file; empty for one that is."""
    suffix = PurePosixPath(uri).suffix.lower()
    return "" if suffix == ONNX else suffix


def described_code(uri: str, suffix: str, roots: Sequence[str]) -> CompiledCode:
    """Read what a file beside compiled code says of it.

    Args:
        uri: of the code.
        suffix: that of its name.
        roots: allowed folders; they hold for the description, too.

    Raises:
        ModelError: there is no description, or it says what makes no sense.
    """
    beside = uri + _BESIDE
    with _opened(uri, beside, roots) as file:
        if file.size > _MOST_BYTES:
            raise _refused(beside, f"it has {file.size:,} bytes", f"at most {_MOST_BYTES:,}")
        content = hashed_content(file.descriptor, file.digest, file.path.name)
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refused(beside, plain(str(error)) or type(error).__name__) from error
    for kind, tensors in (("inputs", found.inputs), ("outputs", found.outputs)):
        names = [item.name for item in tensors]
        if len({*names}) != len(names):
            raise _refused(beside, f"two {kind} have one name", "names that differ")
    return CompiledCode(
        suffix,
        found.function,
        tuple(map(_info, found.inputs)),
        tuple(map(_info, found.outputs)),
        found.labels,
    )


def _opened(uri: str, beside: str, roots: Sequence[str]) -> ModelFile:
    """Open a description; what is wrong with the code itself is said first."""
    resolve_resource(uri, roots)
    try:
        return open_model(beside, roots, (_BESIDE,))
    except ModelError as error:
        raise ModelError(
            f"the file that describes compiled code cannot be used: {error.problem}",
            where="model",
            value=beside,
            expected="what the code takes and makes, in a file beside it",
            hint="docs/backends.md shows such a file",
            rule=error.rule,
        ) from error


def _info(tensor: _Tensor) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.dtype, tensor.shape)


def _refused(uri: str, problem: str, expected: str = "") -> ModelError:
    return ModelError(
        f"{Path(uri).name} does not describe the compiled code beside it: {problem}",
        where="model",
        value=uri,
        expected=expected
        or '{"inputs": [{"name": …, "dtype": …, "shape": […]}, …], "outputs": […]}',
        hint="docs/backends.md shows such a file",
        rule=Rule.MODEL_VALID,
    )
