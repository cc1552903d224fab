"""Traces from elsewhere: the bytes of an MCAP file, and what `aegis explain` makes of them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lz4.frame
import zstandard
from mcap.writer import CompressionType, Writer

from aegis_ros.cli.explain import run as explain
from aegis_ros.cli.export import run as export
from aegis_ros.errors import AegisError
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try, answered

__all__ = ["RUN", "TARGET", "explained"]

_FILES = (
    Path(__file__).parents[2] / "compatibility" / "v0_1" / "run.mcap",
    Path(__file__).parents[2] / "trace" / "data" / "run-0.1.0.mcap",
)
RUN = {
    "format": "2",
    "lanes": json.dumps(["main"]),
    "config": "",
    "digests": "{}",
    "facts": "{}",
    "wall_offset_ns": "0",
}
_WORDS = (b"\x89MCAP0\r\n", b"aegis_ros", b"zstd", b"lz4", b"", b"/aegis/record", b"/aegis/task")
_BOMB_BYTES = 512 * 1024 * 1024


def _plain(compression: CompressionType) -> bytes:
    """Return a small file, its rows readable in it where they are not compressed."""
    made = io.BytesIO()
    writer = Writer(made, compression=compression, use_chunking=True)
    writer.start("aegis_ros", "test")
    writer.add_metadata("aegis_ros", RUN)
    schema = writer.register_schema("aegis_ros.lost", "jsonschema", b"{}")
    channel = writer.register_channel("/aegis/lost", "json", schema)
    for time_ns in range(5):
        row = json.dumps({"time_ns": time_ns, "lost": 1}).encode()
        writer.add_message(channel, time_ns, row, time_ns)
    writer.finish()
    return made.getvalue()


def _bomb(compression: str, data: bytes) -> bytes:
    """Return a file with a chunk that is small only as long as it is compressed."""
    made = io.BytesIO()
    writer = Writer(made)
    writer.start("aegis_ros", "test")
    writer.add_metadata("aegis_ros", RUN)
    header = b"".join(each.to_bytes(8, "little") for each in (0, 0, _BOMB_BYTES))
    name = compression.encode()
    chunk = header + bytes(4) + len(name).to_bytes(4, "little") + name
    chunk += len(data).to_bytes(8, "little") + data
    made.write(b"\x06" + len(chunk).to_bytes(8, "little") + chunk)
    writer.finish()
    return made.getvalue()


def _seeds() -> Sequence[bytes]:
    zeros = bytes(1024 * 1024)
    zstd = zstandard.ZstdCompressor(level=1).compressobj()
    packed = b"".join(zstd.compress(zeros) for _ in range(_BOMB_BYTES // len(zeros))) + zstd.flush()
    with lz4.frame.LZ4FrameCompressor() as lz:
        parts = [lz.begin()]
        parts += [lz.compress(zeros) for _ in range(_BOMB_BYTES // len(zeros))]
        parts.append(lz.flush())
    return [
        *(file.read_bytes() for file in _FILES),
        *(_plain(each) for each in CompressionType),
        _bomb("zstd", packed),
        _bomb("lz4", b"".join(parts)),
    ]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    file = scratch / "run.mcap"

    def work(data: bytes) -> bool:
        file.write_bytes(data)
        return explained(file)

    yield work


def explained(file: Path) -> bool:
    """Explain and export a trace as the commands do; return whether it was one."""

    def commands() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            for form in ("json", "text"):
                explain(file, job="", worst=False, decision=None, form=form, plot=None)
            export(file, perfetto=file.with_suffix(".json"), chrome=None)

    return answered(commands, AegisError)


TARGET = Target(
    name="trace_file",
    title="trace files",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=4 * 1024 * 1024),
    opened=_opened,
    weight=0.2,
    brief=40,
)
