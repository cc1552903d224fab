"""Serialises a result ahead of its time and leaves open only when it is published."""

from __future__ import annotations

import struct

from rclpy.serialization import serialize_message

from aegis_ros.msg import InferenceResult, JobTiming

__all__ = ["PreserializedResult"]

# JobTiming is the last field of an InferenceResult: five moments that are known, 40 bytes, then
# published, deadline and met; response_ms ends the message. Between met and the two numbers lie
# three or seven bytes of padding, as the length of what comes before has it.
_PUBLISHED, _MET = 40, 56
_TAILS = (76, 80)


class PreserializedResult:
    """A result that only lacks ``published``, ``met`` and ``response_ms`` of its timing.

    Where the bytes are not laid out as plain CDR lays them out (another middleware, another
    encoding), the message is kept as it is and serialised when it is published.

    Args:
        message: complete but for these three; the earlier moments tell where they lie.
    """

    def __init__(self, message: InferenceResult) -> None:
        """Serialise."""
        raw = bytearray(serialize_message(message))
        self._order = ">" if raw[1:2] == b"\x00" else "<"
        known = _moments(message.timing, self._order)
        starts = [len(raw) - tail for tail in _TAILS]
        found = [start for start in starts if raw[start : start + len(known)] == known]
        # Found twice where all moments are alike, which those of a job are not.
        self.serialised = len(found) == 1
        self._start = found[0] if self.serialised else 0
        self._raw = raw if self.serialised else bytearray()
        self._message = None if self.serialised else message

    def published(self, sec: int, nanosec: int, met: bool, response_ms: float) -> object:
        """Return what to hand to the publisher: bytes, or the message.

        Args:
            sec: seconds of the moment of publishing, since 1970.
            nanosec: the rest of it.
            met: whether the deadline is met.
            response_ms: from stamp to publishing.
        """
        if self._message is not None:
            timing = self._message.timing
            timing.published.sec, timing.published.nanosec = sec, nanosec
            timing.met, timing.response_ms = met, response_ms
            return self._message
        raw, order = self._raw, self._order
        struct.pack_into(f"{order}iI", raw, self._start + _PUBLISHED, sec, nanosec)
        raw[self._start + _MET] = met
        struct.pack_into(f"{order}d", raw, len(raw) - 8, response_ms)
        return bytes(raw)


def _moments(timing: JobTiming, order: str) -> bytes:
    moments = (timing.stamped, timing.received, timing.released, timing.started, timing.finished)
    return b"".join(struct.pack(f"{order}iI", each.sec, each.nanosec) for each in moments)
