"""Jobs of several inputs of any rank, and outputs that are complete before the end."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.base import MOST_INPUTS
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.backends.testing.simulated import lasting
from aegis_ros.engine import ChannelSpec, SlotFrame
from aegis_ros.engine.wire import (
    MAX_RANK,
    MAX_RECORD_BYTES,
    pack_place,
    pack_submit,
    unpack_places,
)
from aegis_ros.errors import InputError
from aegis_ros.spec import FrameFormat
from test.engine.bench import MS, Bench, simulated

RANK_7 = (1, 2, 1, 3, 1, 2, 2)


def test_the_largest_record_has_room_for_all_inputs() -> None:
    places = [(index, index, (1,) * MAX_RANK) for index in range(MOST_INPUTS)]
    packed = b"".join(pack_place(*place) for place in places)
    assert len(pack_submit(1, 2, (3, 4, 5), packed)) <= MAX_RECORD_BYTES
    assert list(unpack_places(packed)) == places


def test_each_input_comes_from_its_own_channel_whatever_its_rank(tmp_path: Path) -> None:
    prepared = make_network(tmp_path, "pair")
    compiled = create_backend().compile(prepared, tmp_path)
    with Bench(backend="onnxruntime") as bench:
        images = bench.channel()
        numbers = bench.client.open_channel(
            ChannelSpec("numbers", FrameFormat.TENSOR32F, RANK_7, 4)
        )
        bench.load(1, compiled=compiled)
        for value in (3, 5):
            image, vector = images.acquire(), numbers.acquire()
            assert image is not None and vector is not None
            images.array(image, (16, 24, 3))[:] = value
            given = np.arange(24, dtype=np.float32).reshape(RANK_7) * value
            numbers.array(vector, RANK_7)[:] = given
            now = time.monotonic_ns()
            bench.client.submit(
                (SlotFrame(images, image, (16, 24, 3)), SlotFrame(numbers, vector, RANK_7)),
                now,
                [(1, value, now, now + 1000 * MS)],
            )
            bench.wait(lambda heard, n=value // 2: len(heard.results) == n, "a result")
            outputs = bench.heard.outputs[-1]
            np.testing.assert_allclose(outputs["means"], [value] * 3)
            np.testing.assert_array_equal(outputs["doubled"], given * 2)
        assert len([numbers.acquire() for _ in range(4)]) == 4  # all slots came back
        assert images.acquire() is not None


def test_a_slot_that_somebody_holds_outlives_the_job_that_read_it() -> None:
    with Bench() as bench:
        channel = bench.channel(slots=1)
        bench.load(1, MS)
        slot = channel.acquire()
        assert slot is not None
        frame = SlotFrame(channel, slot, (16, 24, 3))
        frame.array()[:] = 1
        frame.hold()
        for seq in range(2):
            now = time.monotonic_ns()
            frame.hold()
            bench.client.submit((frame,), now, [(1, seq, now, now + 1000 * MS)])
            bench.wait(lambda heard, n=seq: len(heard.results) == n + 1, "a result")
        frame.drop()
        assert channel.acquire() is None
        frame.drop()
        assert channel.acquire() == slot


def test_a_job_without_inputs_runs() -> None:
    with Bench() as bench:
        bench.load(1, MS, compiled=replace(simulated(MS), inputs=()))
        now = time.monotonic_ns()
        bench.client.submit((), now, [(1, 1, now, now + 1000 * MS)])
        bench.wait(lambda heard: heard.results, "a result")


def test_a_job_with_more_inputs_than_a_record_holds_is_refused() -> None:
    with Bench() as bench:
        channel = bench.channel(slots=16)
        slots = [channel.acquire() for _ in range(9)]
        frames = [SlotFrame(channel, slot, (1, 1, 3)) for slot in slots if slot is not None]
        with pytest.raises(InputError, match="too many inputs"):
            bench.client.submit(frames, 0, [(1, 1, 0, 0)])


def test_outputs_that_are_complete_early_are_heard_of_before_the_result() -> None:
    with Bench(release=False) as bench:
        channel = bench.channel()
        network = replace(simulated(), paths=lasting("net", 40 * MS, 4 * MS, reports=True))
        bench.load(1, compiled=replace(network, complete_after=(0, 0)))
        seq = bench.feed(channel, 1, origin="mine")
        bench.wait(lambda heard: heard.results, "a result")
        ((partial, outputs, results_before),) = bench.heard.partials
        assert results_before == 0
        result = bench.heard.results[0]
        assert (partial.task_id, partial.seq, partial.number, partial.origin) == (1, seq, 0, "mine")
        assert set(outputs) == {"values"}
        np.testing.assert_array_equal(outputs["values"], result.outputs["values"])
        result.release()


def test_partial_results_are_counted_job_by_job() -> None:
    with Bench() as bench:
        channel = bench.channel()
        paths = lasting("net", 2 * MS, reports=True)
        more = tuple(
            replace(item, name=f"{item.name}{index}")
            for index in range(2)
            for item in simulated().outputs
        )
        bench.load(1, compiled=replace(simulated(), paths=paths, outputs=more))
        for _ in range(2):
            bench.feed(channel, 1)
        bench.wait(lambda heard: len(heard.results) == 2, "results")
    reported = [(partial.seq, partial.number) for partial, _, _ in bench.heard.partials]
    assert reported == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
