"""Record what happened, read it back, and split latencies into their parts.

Files are written and read by :mod:`aegis_ros.trace.mcap_file`, which needs the library `mcap`.
"""

from aegis_ros.trace.records import (
    FIELDS,
    LAYOUT,
    NO_RANK,
    RECORD,
    RECORD_BYTES,
    RecordKind,
    rule_code,
    rule_of,
)
from aegis_ros.trace.ring import RingReader, RingWriter, ring_bytes

__all__ = [
    "FIELDS",
    "LAYOUT",
    "NO_RANK",
    "RECORD",
    "RECORD_BYTES",
    "RecordKind",
    "RingReader",
    "RingWriter",
    "ring_bytes",
    "rule_code",
    "rule_of",
]
