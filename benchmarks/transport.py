"""What follows for a declared jitter from how long images were seen to travel here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["declared_jitter_ms"]

_TIMES = 2.0  # few samples were seen, and the copy into the slot is not among them


def declared_jitter_ms(transport_ms: Sequence[float], least_ms: float) -> float:
    """Return the jitter to declare.

    Args:
        transport_ms: from stamp to subscriber, of images on this machine, milliseconds.
        least_ms: what to declare at least.
    """
    return max(least_ms, math.ceil(_TIMES * float(np.percentile(transport_ms, 99))))
