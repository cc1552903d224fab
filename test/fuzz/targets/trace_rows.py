"""Rows of traces: a well-formed MCAP file whose rows hold anything.

An input is the run's metadata in a line, then a line for each row: ``topic<TAB>JSON``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from test.fuzz.mutation import Mutator
from test.fuzz.target import Limits, Target, Try
from test.fuzz.targets.configuration import YAML_WORDS
from test.fuzz.targets.trace_file import RUN, explained

__all__ = ["TARGET"]

_FILE = Path(__file__).parents[2] / "compatibility" / "v0_1" / "run.mcap"
_ROWS = 60  # of each seed: a part of a run says as much as all of it
_TOPICS = ("record", "task", "rationale", "state", "lost")
_WORDS = (
    *YAML_WORDS,
    *(f"\n/aegis/{name}\t".encode() for name in _TOPICS),
    *(f'"{key}": '.encode() for key in ("time_ns", "task_id", "seq", "kind", "lane", "reason")),
    *b"released segment_started segment_ended finished skipped lost overrun published".split(),
    *b"NaN Infinity -Infinity null {} [] -1 9223372036854775807 18446744073709551615".split(),
)


def _seeds() -> Sequence[bytes]:
    topics: dict[int, str] = {}
    rows: list[bytes] = []
    with _FILE.open("rb") as stream:
        for record in StreamReader(stream).records:
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Message):
                rows.append(topics[record.channel_id].encode() + b"\t" + record.data)
    tasks = [row for row in rows if row.startswith(b"/aegis/task")]
    others = [row for row in rows if not row.startswith((b"/aegis/task", b"/aegis/record"))]
    records = [row for row in rows if row.startswith(b"/aegis/record")]
    head = json.dumps(RUN).encode()
    parts = [records[at : at + _ROWS] for at in range(0, 5 * _ROWS, _ROWS)]
    return [b"\n".join([head, *tasks, *part, *others[:20]]) for part in parts if part]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    file = scratch / "run.mcap"

    def work(data: bytes) -> bool:
        head, *rows = data.split(b"\n")
        file.write_bytes(_written(head, rows))
        return explained(file)

    yield work


def _written(head: bytes, rows: Sequence[bytes]) -> bytes:
    """Return the file of a run."""
    try:
        run = {str(name): str(value) for name, value in json.loads(head).items()}
    except (ValueError, AttributeError, RecursionError):
        run = RUN
    made = io.BytesIO()
    writer = Writer(made, compression=CompressionType.NONE)
    writer.start("aegis_ros", "test")
    writer.add_metadata(
        "aegis_ros", {k: v.encode(errors="replace").decode() for k, v in run.items()}
    )
    schema = writer.register_schema("aegis_ros", "jsonschema", b"{}")
    channels = {
        f"/aegis/{name}".encode(): writer.register_channel(f"/aegis/{name}", "json", schema)
        for name in _TOPICS
    }
    for number, row in enumerate(rows):
        topic, _, text = row.partition(b"\t")
        if topic in channels:
            writer.add_message(channels[topic], number, text, number)
    writer.finish()
    return made.getvalue()


TARGET = Target(
    name="trace_rows",
    title="rows of traces",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=128 * 1024, text=True),
    opened=_opened,
    weight=0.3,
    limits=Limits(seconds=1.0),
    brief=60,
)
