"""What the texts mean in which ONNX, its checker and ONNX Runtime say no.

Patterns are of real texts (test/field/test_load_failures.py makes them); what they mean is data,
and its English stands in :mod:`aegis_ros.rationale.wording.loading`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from aegis_ros.network.plain_text import plain
from aegis_ros.rationale.loading import (
    DiskFull,
    FileDamaged,
    FileGone,
    FormatTooNew,
    GraphInvalid,
    KernelMissing,
    LoadFailure,
    MemoryUsedUp,
    OperatorFailed,
    OperatorMissing,
    OpsetTooNew,
    RuntimeRefuses,
    ShapesDoNotFit,
    TypeRefused,
    TypesDiffer,
)

__all__ = ["checker_failure", "runtime_failure"]

_Meaning = Callable[[re.Match[str]], LoadFailure]

_PATTERNS: tuple[tuple[str, _Meaning], ...] = (
    (
        r"Opset (\d+) is under development.*support for domain (\S*) is till opset (\d+)",
        lambda said: OpsetTooNew(said[2], int(said[1]), int(said[3])),
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        lambda said: FormatTooNew(int(said[1]), int(said[2])),
    ),
    (
        r"model ir_version (\d+) is higher than the checker's \((\d+)\)",
        lambda said: FormatTooNew(int(said[1]), int(said[2])),
    ),
    (
        r"Fatal error: (?:([^\s:]*):)?(\w+)\(-?\d+\) is not a registered function/op",
        lambda said: OperatorMissing(said[2], said[1] or ""),
    ),
    (
        r"No Op registered for (\w+) with domain_version of \d+",
        lambda said: OperatorMissing(said[1], ""),
    ),
    (
        r"No opset import for domain '([^']*)'.*OpType: (\w+)",
        lambda said: OperatorMissing(said[2], said[1]),
    ),
    (
        r'In Node, \("[^"]*", (\w+), "([^"]*)".*No opset import for domain',
        lambda said: OperatorMissing(said[1], said[2]),
    ),
    (
        r"Could not find an implementation for (\w+)\((\d+)\) node with name '(.*?)'",
        lambda said: KernelMissing(said[1], int(said[2]), said[3]),
    ),
    (
        r"Type 'tensor\((\w+)\)' of input parameter \((.*?)\) of operator \((\w+)\) in node "
        r"\((.*?)\) is invalid",
        lambda said: TypeRefused(said[3], said[4], said[2], said[1]),
    ),
    (
        r"Optype \((\w+)\) bound to different types \(tensor\((\w+)\) and tensor\((\w+)\) in node "
        r"\((.*?)\)",
        lambda said: TypesDiffer(said[1], said[4], said[2], said[3]),
    ),
    (
        r"No space left on device|Protobuf serialization failed",
        lambda said: DiskFull("state_dir"),
    ),
    (r"bad_alloc|Failed to allocate memory", lambda said: MemoryUsedUp()),
    (
        r"Load model (?:from )?(\S+) failed\. File doesn't exist",
        lambda said: FileGone(said[1]),
    ),
    (
        r"Load model from (\S+) failed.{0,20}Protobuf parsing failed",
        lambda said: FileDamaged(said[1]),
    ),
    (
        r"status code returned while running (\w+) node\. Name:'(.*?)' Status Message: (.*)",
        lambda said: OperatorFailed(said[1], said[2], plain(said[3])),
    ),
    (
        r"Node \((.*?)\) Op \((\w+)\) \[\w+InferenceError\] (.*)",
        lambda said: ShapesDoNotFit(said[2], said[1], plain(said[3])),
    ),
    (r"This is an invalid model\.(.*)", lambda said: GraphInvalid(plain(said[1]))),
)
_COMPILED = tuple((re.compile(each, re.DOTALL), meaning) for each, meaning in _PATTERNS)


def runtime_failure(error: BaseException) -> LoadFailure:
    """Return why ONNX Runtime, or what calls it, does not take a network."""
    if isinstance(error, MemoryError):
        return MemoryUsedUp()
    return _known(str(error)) or RuntimeRefuses(plain(str(error)) or type(error).__name__)


def checker_failure(error: BaseException) -> LoadFailure:
    """Return what the checker of ONNX finds wrong with a network."""
    if isinstance(error, MemoryError):
        return MemoryUsedUp()
    return _known(str(error)) or GraphInvalid(plain(str(error)) or type(error).__name__)


def _known(text: str) -> LoadFailure | None:
    for pattern, meaning in _COMPILED:
        said = pattern.search(text)
        if said is not None:
            return meaning(said)
    return None
