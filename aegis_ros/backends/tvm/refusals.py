"""What the texts mean in which TVM says no."""

from __future__ import annotations

import re

from aegis_ros.network.plain_text import plain
from aegis_ros.rationale.loading import LoadFailure, MemoryUsedUp, OperatorMissing, RuntimeRefuses

__all__ = ["tvm_failure", "tvm_text"]

# What TVM says of its own place in the network, and of the one in its sources.
_NOISE = re.compile(
    r"ErrorContext\([^)]*\)|Check failed: |InternalError: |^Offending call:"
    r"|^Traceback .*|^ *File .*",
    re.MULTILINE,
)
_MISSING = re.compile(
    r"(?:operators are not supported for frontend ONNX|Unsupported operators?)[:\s]*\W*"
    r"(?P<name>\w+)"
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
        return OperatorMissing(missing["name"], "")
    return RuntimeRefuses(tvm_text(error))
