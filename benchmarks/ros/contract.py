"""Which rate, jitter and deadline the probe asks for, from what was measured on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.transport import declared_jitter_ms

__all__ = ["Contract", "contract"]

_LEAST_JITTER_MS = 20.0
_MOST_OF_THE_LANE = 0.7
_SWITCH_MS = 1.0  # more than one start of a segment is charged with
_PUBLISH_MS = 2.0  # kept free before the deadline, as by default
_EARLY = 0.99  # a declared period is the shortest time between two frames


@dataclass(frozen=True, slots=True)
class Contract:
    """What the probe asks for, and what the camera does.

    Attributes:
        rate_hz: of the camera.
        period_ms, jitter_ms, deadline_ms, queue: as in the configuration.
    """

    rate_hz: float
    period_ms: float
    jitter_ms: float
    deadline_ms: float
    queue: int


def contract(budget_ms: float, transport_ms: Sequence[float], rate_hz: float) -> Contract:
    """Return a contract that can be admitted on an idle lane.

    Args:
        budget_ms: WCET budget of the probe's network.
        transport_ms: from stamp to subscriber, of images on this machine.
        rate_hz: of the camera where the network is fast enough for it, as it is almost everywhere.
    """
    rate_hz = min(rate_hz, 1e3 * _MOST_OF_THE_LANE / (budget_ms + _SWITCH_MS))
    period_ms = math.floor(1e3 / rate_hz * _EARLY * 100) / 100
    jitter_ms = declared_jitter_ms(transport_ms, _LEAST_JITTER_MS)
    response_ms = jitter_ms + budget_ms + _SWITCH_MS
    # A frame that travelled long may meet those behind it: none may push another out.
    queue = math.floor(jitter_ms / period_ms) + 1
    deadline_ms = max(period_ms, math.ceil(response_ms + _PUBLISH_MS))
    return Contract(rate_hz, period_ms, jitter_ms, deadline_ms, queue)
