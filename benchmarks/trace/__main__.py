"""Times one record on the writer's path, and what the file's writer takes for it elsewhere.

    python -m benchmarks.trace [--records 200000] [--json FILE]

The engine writes about two records a segment and two a job. The first figure is lane time; the
second is spent by another process, and only has to keep up.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.trace import RecordKind, RingReader, RingWriter, ring_bytes
from aegis_ros.trace.history import TracedTask
from aegis_ros.trace.mcap_file import TraceFile

_BATCH = 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What tracing costs.")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    write_ns, empty_ns, records = _ring(asked.records)
    file_ns, size = _file(records)
    figures = {
        "cpu": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "records": asked.records,
        "write_ns_median": float(np.median(write_ns)),
        "write_ns_p99": float(np.percentile(write_ns, 99)),
        "loop_ns_median": float(np.median(empty_ns)),
        "file_ns": file_ns,
        "file_bytes_a_record": size / len(records),
    }
    table = Table(title="one record")
    for name in figures:
        table.add_column(name)
    table.add_row(*(f"{value:.0f}" if isinstance(value, float) else str(value)
                    for value in figures.values()))  # fmt: skip
    Console().print(table)
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def _ring(
    count: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.void]]:
    """Return nanoseconds a record of each batch, those of an empty loop, and the records."""
    memory = SharedMemory(ring_bytes(count))
    writer = RingWriter(memory.bytes.data)
    reader = RingReader(memory.bytes.data)
    clock = time.perf_counter_ns
    kind = int(RecordKind.SEGMENT_ENDED)
    taken, empty = [], []
    base = time.monotonic_ns()
    for batch in range(0, count, _BATCH):
        begin = clock()
        for n in range(batch, batch + _BATCH):
            writer.write(kind, base + n, 3, n, 0, 1, base, base + n, 0)
        between = clock()
        for _ in range(batch, batch + _BATCH):
            pass
        taken.append((between - begin) / _BATCH)
        empty.append((clock() - between) / _BATCH)
    return np.array(taken), np.array(empty), reader.read()


def _file(records: npt.NDArray[np.void]) -> tuple[float, int]:
    """Return nanoseconds a record and the size of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.mcap"
        begin = time.perf_counter_ns()
        with TraceFile(path, lanes=("lane",)) as file:
            file.add_task(TracedTask(3, "camera"))
            for first in range(0, len(records), 100):
                file.add_records(records[first : first + 100])
        taken = time.perf_counter_ns() - begin
        return taken / len(records), path.stat().st_size


if __name__ == "__main__":
    main()
