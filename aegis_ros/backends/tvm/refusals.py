"""What the texts mean in which TVM says no."""

from __future__ import annotations

import re

from aegis_ros.errors import ModelError
from aegis_ros.network.plain_text import plain
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import LoadFailure, MemoryUsedUp, OperatorMissing, RuntimeRefuses

__all__ = ["extents_decided", "of_extents", "tvm_failure", "tvm_text"]

# What TVM says of its own place in the network, and of the one in its sources.
_NOISE = re.compile(
    r"ErrorContext\([^)]*\)|Check failed: |InternalError: |^Offending call:"
    r"|^Traceback .*|^ *File .*",
    re.MULTILINE,
)
_MISSING = re.compile(
    r"operators are not supported for frontend ONNX[:\s]*(?P<name>\w+)"
    # Some are functions of Python beside the compiler, which an engine does not load.
    r"|Cannot find ffi::Function relax\.run\.(?P<beside>\w+)"
)
_OF_EXTENTS = re.compile(
    r"cannot handle ShapeExpr inputs|Dynamic (?:pads|axes|size)|for (?:size|scale) is currently"
)


def of_extents(error: BaseException) -> bool:
    """Return whether TVM says no because it would have to compute with a frame's extents."""
    return _OF_EXTENTS.search(str(error)) is not None


def extents_decided() -> ModelError:
    """Return the refusal of a network that resizes, cuts or pads a frame as its extents ask."""
    return ModelError(
        "TVM cannot bring a frame to its size where each frame's extents decide how",
        where="preprocess.resize",
        expected="resize: stretch, or frames of one size",
        rule=Rule.MODEL_VALID,
        hint="Set `resize: stretch`, or use another backend for this network",
    )


def tvm_text(error: BaseException) -> str:
    """Return what an error says, without TVM's own places."""
    return plain(_NOISE.sub("", str(error))) or type(error).__name__


def tvm_failure(error: BaseException) -> LoadFailure:
    """Return why TVM does not take a network."""
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return MemoryUsedUp()
    missing = _MISSING.search(text)
    if missing is not None:
        return OperatorMissing(missing["name"] or missing["beside"], "")
    return RuntimeRefuses(tvm_text(error))
