"""Times one record on the writer's path, and what the file's writer takes for it elsewhere.

    python -m benchmarks.trace [--quick] [--records 200000] [--json FILE]

The engine writes about two records a segment and two a job. The first figure is lane time; the
second is spent by another process, and only has to keep up.
"""

from __future__ import annotations

import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.trace import RecordKind, RingReader, RingWriter, ring_bytes
from aegis_ros.trace.history import TracedTask
from aegis_ros.trace.mcap_file import TraceFile
from benchmarks.progress import progress
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table

_BATCH = 1000


def main() -> None:
    """Measure and print."""
    arguments = parser("benchmarks.trace", __doc__)
    arguments.add_argument("--records", type=int, default=200_000, help="to write (200,000)")
    options = read_options(arguments, {"records": 50_000})
    with progress() as shown:
        shown.add_task(f"writing {options.records:,} records")
        write_ns, empty_ns, records = _ring(options.records)
        shown.add_task("writing them to a file")
        file_ns, size = _file(records)
    rows = [
        figure("one record on the writer's path", "ns", write_ns),
        figure("an empty loop, contained in it", "ns", empty_ns),
        Figure("one record in the process that writes the file", "ns", len(records), file_ns),
        Figure("one record in the file", "bytes", len(records), size / len(records)),
    ]
    output = table("tracing", "what", "unit", "p50", "p99", "max")
    for row in rows:
        values = ("" if each is None else f"{each:.0f}" for each in (row.p50, row.p99, row.max))
        output.add_row(row.name, row.unit, *values)
    console().print(output)
    publish(
        "benchmarks.trace",
        options.json,
        rows,
        {"python": platform.python_version(), "records": options.records},
    )


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
            writer.write(kind, base + n, 3, n, lane=0, segment=1, a=base, b=base + n, c=0)
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
