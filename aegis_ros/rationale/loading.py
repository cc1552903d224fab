"""Why a network cannot be loaded: causes as data, however a library words them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aegis_ros.rationale.names import Rule

__all__ = [
    "Crashed",
    "DiskFull",
    "DiskRefuses",
    "FileChanged",
    "FileDamaged",
    "FileGone",
    "FormatTooNew",
    "GraphInvalid",
    "KernelMissing",
    "LfsPointer",
    "LoadFailure",
    "MemoryUsedUp",
    "NotOnnx",
    "OperatorFailed",
    "OperatorMissing",
    "OpsetTooNew",
    "RankUnknown",
    "ReadTooLong",
    "RuntimeRefuses",
    "ShapesDoNotFit",
    "SizeRefused",
    "TooLarge",
    "TookTooLong",
    "TypeRefused",
    "TypesDiffer",
    "WeightsElsewhere",
]


class LoadFailure:
    """Why a network cannot be loaded; each kind is a frozen dataclass of plain values.

    Attributes:
        rule: the rule that says no.
    """

    __slots__ = ()

    rule: ClassVar[Rule] = Rule.MODEL_VALID

    @property
    def place(self) -> str:
        """Where it is to be mended: a key of the task, or ``state_dir``."""
        return "state_dir" if self.rule is Rule.STATE else "model"


# -- the file ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotOnnx(LoadFailure):
    """The file is something else, ``looks_like`` what; empty for unknown, or for a damaged one."""

    looks_like: str = ""


@dataclass(frozen=True, slots=True)
class LfsPointer(LoadFailure):
    """The file stands for a network of ``size_bytes`` that Git LFS has not fetched."""

    rule = Rule.MODEL_FILE

    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileChanged(LoadFailure):
    """The file is not, when it is read, what it was when it was hashed."""

    rule = Rule.MODEL_FILE


@dataclass(frozen=True, slots=True)
class TooLarge(LoadFailure):
    """The file, with weights that lie elsewhere, is larger than an ONNX file can be."""

    rule = Rule.MODEL_FILE

    size_bytes: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class WeightsElsewhere(LoadFailure):
    """The weights lie in other files.

    Attributes:
        model: name of the network's file.
        files: their names.
        missing: those that are not there.
    """

    model: str
    files: tuple[str, ...]
    missing: tuple[str, ...]


# -- the graph --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpsetTooNew(LoadFailure):
    """The network uses a newer opset of ``domain`` than the runtime knows."""

    domain: str
    opset: int
    most: int


@dataclass(frozen=True, slots=True)
class FormatTooNew(LoadFailure):
    """The file is written in a newer version of the format than can be read."""

    version: int
    most: int


@dataclass(frozen=True, slots=True)
class OperatorMissing(LoadFailure):
    """Nobody here knows an operator; ``domain`` is empty for those of ONNX itself."""

    operator: str
    domain: str


@dataclass(frozen=True, slots=True)
class KernelMissing(LoadFailure):
    """The runtime knows an operator, but not for the element types it gets at this node."""

    operator: str
    opset: int
    node: str


@dataclass(frozen=True, slots=True)
class TypeRefused(LoadFailure):
    """An operator takes no input of an element type."""

    operator: str
    node: str
    tensor: str
    dtype: str


@dataclass(frozen=True, slots=True)
class TypesDiffer(LoadFailure):
    """An operator gets element types that must be equal, and are not."""

    operator: str
    node: str
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class RankUnknown(LoadFailure):
    """The file does not state how many extents an input or output (``role``) has."""

    role: str
    tensor: str


@dataclass(frozen=True, slots=True)
class GraphInvalid(LoadFailure):
    """The graph breaks a rule of ONNX; ``detail`` is what the checker says."""

    detail: str


@dataclass(frozen=True, slots=True)
class OperatorFailed(LoadFailure):
    """An operator fails when it runs; ``detail`` is what the runtime says."""

    operator: str
    node: str
    detail: str


@dataclass(frozen=True, slots=True)
class ShapesDoNotFit(LoadFailure):
    """An operator gets shapes that it cannot take; ``detail`` is what the runtime says."""

    operator: str
    node: str
    detail: str


@dataclass(frozen=True, slots=True)
class SizeRefused(LoadFailure):
    """The network does not run on images of the size that is asked for.

    Attributes:
        where: key of the size.
        tensor: the network's input.
        asked, own: (height, width) asked for, and stated by the network.
    """

    where: str
    tensor: str
    asked: tuple[int, int]
    own: tuple[int, int]

    @property
    def place(self) -> str:
        """The key of the size."""
        return self.where


@dataclass(frozen=True, slots=True)
class RuntimeRefuses(LoadFailure):
    """The runtime says no in words that nobody has seen before."""

    detail: str


# -- the machine ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemoryUsedUp(LoadFailure):
    """It takes more memory (or disk) than it may, ``limit_bytes``, or than there is (0)."""

    limit_bytes: int = 0
    of_disk: bool = False


@dataclass(frozen=True, slots=True)
class TookTooLong(LoadFailure):
    """It was not done in time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadTooLong(LoadFailure):
    """A prompt was not read in time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Crashed(LoadFailure):
    """The process that prepares it ended.

    Attributes:
        how: with which signal or code.
        last_words: what it printed last; may be empty.
        limit_bytes: of its memory, which it may have used up; 0 for none.
    """

    how: str
    last_words: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class DiskFull(LoadFailure):
    """There is no room for what is made of it."""

    rule = Rule.STATE

    folder: str


@dataclass(frozen=True, slots=True)
class DiskRefuses(LoadFailure):
    """What is made of it cannot be kept in ``folder``; ``detail`` is what the system says."""

    rule = Rule.STATE

    folder: str
    detail: str


@dataclass(frozen=True, slots=True)
class FileGone(LoadFailure):
    """A file of it, or one that was made of it, is not there any more."""

    rule = Rule.STATE

    path: str


@dataclass(frozen=True, slots=True)
class FileDamaged(LoadFailure):
    """A file that was made of it cannot be read back."""

    rule = Rule.STATE

    path: str
