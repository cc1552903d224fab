"""What the texts mean in which OpenVINO says no."""

from __future__ import annotations

import re

from aegis_ros.network.plain_text import plain
from aegis_ros.rationale.loading import (
    LoadFailure,
    MemoryUsedUp,
    OperatorMissing,
    RuntimeRefuses,
)

__all__ = ["openvino_failure", "openvino_text"]

# Each floor of OpenVINO that an error passes adds a line of its own before the cause.
_OF_ITS_OWN = re.compile(
    r"Exception from \S+:\d+:|(While validating .*)?Check '.*' failed at \S+:\d+:"
    r"|While validating .*|FrontEnd API failed with .*|Model wasn't fully converted\..*"
    r"|Summary:|-- Conversion is failed .*"
)
_MISSING = re.compile(r"No conversion rule found for operations: (?:([\w.]+)\.)?(\w+)")


def openvino_text(error: BaseException) -> str:
    """Return what an error says, without the places in OpenVINO's sources that it has passed."""
    lines = (line.strip() for line in str(error).splitlines())
    kept = [line for line in lines if line and not _OF_ITS_OWN.fullmatch(line)]
    return plain(" ".join(kept)) or type(error).__name__


def openvino_failure(error: BaseException) -> LoadFailure:
    """Return why OpenVINO does not take a network."""
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return MemoryUsedUp()
    missing = _MISSING.search(text)
    if missing is not None:
        return OperatorMissing(missing[2], missing[1] or "")
    return RuntimeRefuses(openvino_text(error))
