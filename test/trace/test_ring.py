"""The ring: one writer that never waits, readers that miss nothing without saying so."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.trace import RecordKind, RingReader, RingWriter, ring_bytes


def test_gives_back_what_was_written_in_order() -> None:
    buffer = bytearray(ring_bytes(8))
    writer, reader = RingWriter(buffer), RingReader(buffer)
    for seq in range(5):
        writer.write(
            RecordKind.RELEASED, 100 + seq, 3, seq, lane=1, segment=2, a=10, b=20, c=30, d=40
        )
    records = reader.read()
    assert records["seq"].tolist() == [0, 1, 2, 3, 4]
    assert records[0]["values"].tolist() == [10, 20, 30, 40]
    assert (records["task"] == 3).all() and (records["lane"] == 1).all()
    assert len(reader.read()) == 0 and reader.lost == 0


@given(st.integers(2, 9), st.lists(st.integers(0, 25), max_size=8))
def test_what_is_read_and_what_is_lost_add_up_to_what_was_written(
    capacity: int, bursts: list[int]
) -> None:
    buffer = bytearray(ring_bytes(capacity))
    writer, reader = RingWriter(buffer), RingReader(buffer)
    seen: list[int] = []
    for burst in bursts:
        for _ in range(burst):
            writer.write(RecordKind.FINISHED, 0, 0, writer.written)
        records = reader.read()
        seen += records["seq"].tolist()
        # The newest are kept; one place may be in the writer's hand and does not count.
        assert min(burst, capacity - 1) <= len(records) <= min(burst, capacity)
    assert seen == sorted(set(seen))
    assert len(seen) + reader.lost == writer.written


def test_a_reader_meets_only_whole_records_while_the_writer_overtakes_it() -> None:
    buffer = bytearray(ring_bytes(16))
    writer, reader = RingWriter(buffer), RingReader(buffer)
    count = 20_000

    def write() -> None:
        for n in range(1, count + 1):
            writer.write(RecordKind.FINISHED, n, n, n, lane=0, segment=0, a=n, b=n, c=n, d=n)

    thread = threading.Thread(target=write)
    thread.start()
    read = 0
    while thread.is_alive() or reader._head[0] > read + reader.lost:
        records = reader.read()
        read += len(records)
        whole = (records["values"] == records["time_ns"][:, None]).all(axis=1)
        assert whole.all() and (records["serial"] == records["seq"]).all()
        assert (np.diff(records["seq"].astype(np.int64)) > 0).all()
    thread.join()
    assert read + reader.lost == count


def test_another_process_reads_what_one_wrote_into_shared_memory() -> None:
    memory = SharedMemory(ring_bytes(64))
    child = os.fork()
    if child == 0:
        writer = RingWriter(memory.bytes.data)
        for seq in range(10):
            writer.write(RecordKind.RELEASED, seq, 0, seq)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert RingReader(memory.bytes.data).read()["seq"].tolist() == list(range(10))
    memory.close()


def test_a_writer_goes_on_where_the_one_before_it_died() -> None:
    buffer = bytearray(ring_bytes(8))
    reader = RingReader(buffer)
    for first in range(0, 30, 3):
        writer = RingWriter(buffer)
        for seq in range(first, first + 3):
            writer.write(RecordKind.RELEASED, 1, 0, seq)
        if first % 2:
            assert reader.read()["seq"].tolist() == list(range(first - 3, first + 3))
    assert reader.lost == 0


def test_a_ring_too_small_to_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no two records"):
        RingWriter(bytearray(ring_bytes(1)))
