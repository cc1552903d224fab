"""The contract of every backend: one suite of tests, to be run by pytest against each of them.

What a backend of your own is held to is a class in a test file of your own:

    from aegis_ros.backends.testing.contract import BackendContract, Promises

    class TestMine(BackendContract):
        promises = Promises(cuts=False)

        def make(self):
            return MyBackend()
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aegis_ros.backends.base import (
    Backend,
    CompiledNetwork,
    Completion,
    Ended,
    LoadedNetwork,
    Part,
    Work,
)
from aegis_ros.backends.streaming import Streams, streamed
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.errors import BackendError
from aegis_ros.network import PreparedNetwork
from aegis_ros.spec import LaneSpec

__all__ = ["LANES", "BackendContract", "Device", "Promises"]

LANES = (LaneSpec("first"), LaneSpec("second"))
_TIMEOUT_S = 100.0  # a bound on a hang

_Array = npt.NDArray[Any]
_MakeNetwork = Callable[..., PreparedNetwork]


def _wrong_channels() -> _Array:
    return np.ones((4, 4, 2), np.uint8)


@dataclass(frozen=True, slots=True)
class Promises:
    """What a backend does of what not every one has to.

    Attributes:
        cuts: networks run in as many segments as are asked for; a backend that does not cut says so
            in the ``note`` of what it compiles.
        computes: outputs depend on frames.
        reads_files: what is compiled lies in files, and is not loaded where they are damaged.
        refuses: what cannot be loaded is refused.
        failing: makes a frame whose run fails; ``None`` where every frame runs. By default it has
            two channels, and networks of the suite take three.
    """

    cuts: bool = True
    computes: bool = True
    reads_files: bool = True
    refuses: bool = True
    failing: Callable[[], _Array] | None = _wrong_channels


class Device:
    """An opened backend and what its lanes said.

    Args:
        backend: is opened with two lanes.
        cache: folder for what it compiles.
        promises: what it does.

    Attributes:
        threads: what opening it began.
    """

    def __init__(self, backend: Backend, cache: Path, promises: Promises | None = None) -> None:
        """Open the backend."""
        self.ended: list[SimpleQueue[Completion]] = [SimpleQueue() for _ in LANES]
        self.cache = cache
        self.backend = backend
        self.promises = promises or Promises()
        self.tell: Ended = lambda token, done: self.ended[token % len(LANES)].put(done)
        before = set(threading.enumerate())
        self.backend.open(LANES, lambda token, done: self.tell(token, done), 0)
        self.threads = set(threading.enumerate()) - before
        self._tokens = 0

    def start(
        self,
        lane: int,
        network: LoadedNetwork,
        step: int,
        frame: _Array,
        outputs: Sequence[_Array],
        *,
        prefetched: bool = False,
    ) -> int:
        """Start one work with a token of its own; return the token."""
        self._tokens += len(LANES)
        part = Part(network, [frame], outputs, prefetched=prefetched)
        self.backend.start(lane, Work([part], step=step, token=self._tokens + lane))
        return self._tokens + lane

    def wait(self, lane: int) -> Completion:
        """Wait until a lane says that its segment has ended."""
        return self.ended[lane].get(timeout=_TIMEOUT_S)

    def run(
        self, network: LoadedNetwork, frame: _Array, outputs: Sequence[_Array], lane: int = 0
    ) -> Completion:
        """Run all segments of a network; return the end of the last one."""
        completion = Completion()
        for segment in range(network.segments):
            self.start(lane, network, segment, frame, outputs)
            completion = self.wait(lane)
        return completion

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()


def _outputs_of(compiled: CompiledNetwork) -> list[_Array]:
    return [np.zeros(tuple(map(int, item.shape)), item.dtype) for item in compiled.outputs]


def _failing(device: Device) -> _Array:
    if device.promises.failing is None:
        pytest.skip("no frame makes a run fail")
    return device.promises.failing()


def _require_cuts(device: Device) -> None:
    if not device.promises.cuts:
        pytest.skip("does not cut networks")


def _streamed(device: Device, make_network: _MakeNetwork, cache: Path) -> CompiledNetwork:
    if not isinstance(device.backend, Streams):
        pytest.skip("streams no weights")
    compiled = device.backend.compile_streamed(make_network("heavy"), cache, 4)
    assert compiled.note == ""
    return compiled


class BackendContract:
    """What is asked of every backend; a class that derives from this one says of which.

    Attributes:
        promises: what the backend does of what not every one has to.
    """

    promises = Promises()

    def make(self) -> Backend:
        """Return the backend that is tried."""
        raise NotImplementedError

    @pytest.fixture
    def device(self, tmp_path: Path) -> Iterator[Device]:
        """Return the backend, opened."""
        opened = Device(self.make(), tmp_path / "cache", self.promises)
        yield opened
        opened.close()

    @pytest.fixture
    def make_network(self, tmp_path: Path) -> _MakeNetwork:
        """Return a function (kind, name, shape) -> PreparedNetwork."""
        return partial(make_network, tmp_path)

    @pytest.fixture
    def shared_cache(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return a cache in which each network is compiled once for all tests."""
        shared = tmp_path_factory.getbasetemp() / "shared-cache"
        shared.mkdir(exist_ok=True)
        return shared

    def test_the_next_segment_may_be_started_where_the_last_one_ended(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        network = device.backend.load(compiled, 0)
        frame, outputs = np.full((16, 24, 3), 7, np.uint8), _outputs_of(compiled)
        reported, threads = list[str](), set[int]()
        last: SimpleQueue[str] = SimpleQueue()

        def ended(token: int, done: Completion) -> None:
            reported.append(done.error or "ended")
            threads.add(threading.get_ident())
            if len(reported) < 5:
                device.start(0, network, 0, frame, outputs)
            else:
                last.put("ended")

        device.tell = ended
        device.start(0, network, 0, frame, outputs)
        assert last.get(timeout=_TIMEOUT_S) == "ended"
        assert reported == ["ended"] * 5
        assert threading.get_ident() not in threads

    def test_every_completion_carries_the_token_of_its_work(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        networks = [device.backend.load(compiled, lane) for lane in range(2)]
        frame = np.ones((16, 24, 3), np.uint8)
        reported: SimpleQueue[int] = SimpleQueue()
        device.tell = lambda token, done: reported.put(token)
        for _ in range(3):
            sent = {
                device.start(lane, network, 0, frame, _outputs_of(compiled))
                for lane, network in enumerate(networks)
            }
            assert {reported.get(timeout=_TIMEOUT_S) for _ in networks} == sent

    def test_compiles_loads_runs_and_unloads(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        network = device.backend.load(compiled, 0)
        outputs = _outputs_of(compiled)
        outputs[0][:] = -1
        done = device.run(network, np.full((16, 24, 3), 7, np.uint8), outputs)
        assert done.error == ""
        assert 0 < done.started_ns < done.finished_ns
        assert np.all(outputs[0] != -1)
        device.backend.unload(network)

    def test_compiled_network_survives_its_journey_as_json(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        assert CompiledNetwork.from_json(compiled.to_json()) == compiled
        assert compiled.footprint.total > 0
        assert compiled.segments >= 1

    def test_compiling_twice_gives_the_same_and_leaves_no_scratch_files(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        network = make_network()
        assert device.backend.compile(network, device.cache) == device.backend.compile(
            network, device.cache
        )
        assert not [path for path in device.cache.rglob("*") if path.suffix.endswith("tmp")]

    def test_takes_smaller_frames_than_the_largest(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        network = device.backend.load(compiled, 0)
        done = device.run(network, np.ones((4, 4, 3), np.uint8), _outputs_of(compiled))
        assert done.error == ""
        device.backend.unload(network)

    def test_both_lanes_run_at_the_same_time(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        networks = [device.backend.load(compiled, lane) for lane in range(2)]
        frame, outputs = np.ones((16, 24, 3), np.uint8), [_outputs_of(compiled) for _ in range(2)]
        for lane, network in enumerate(networks):
            device.start(lane, network, 0, frame, outputs[lane])
        assert [device.wait(lane).error for lane in range(2)] == ["", ""]

    def test_a_run_that_fails_reports_why_and_the_next_one_works(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        network = device.backend.load(compiled, 0)
        outputs = _outputs_of(compiled)
        bad = _failing(device)
        assert device.run(network, bad, outputs).error
        assert device.run(network, np.ones((4, 4, 3), np.uint8), outputs).error == ""

    def test_a_network_that_cannot_be_loaded_is_refused_with_a_reason(
        self, device: Device, make_network: _MakeNetwork, tmp_path: Path
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        if not device.promises.refuses:
            pytest.skip("loads whatever it is given")
        broken = tmp_path / "unloadable.onnx"
        broken.write_bytes(b"not a network")
        with pytest.raises(BackendError, match=r"cannot load|damaged") as caught:
            device.backend.load(replace(compiled, paths=(str(broken),)), 0)
        assert "[ONNXRuntimeError]" not in str(caught.value)

    def test_a_file_that_is_not_what_was_built_is_not_loaded(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        if not device.promises.reads_files:
            pytest.skip("reads no file that could be missed or damaged")
        path = Path(compiled.paths[0])
        path.write_bytes(path.read_bytes() + b"\x00")
        with pytest.raises(BackendError, match=r"is damaged \(.*\)\. Register the task again"):
            device.backend.load(compiled, 0)
        again = device.backend.compile(make_network(), device.cache)
        device.backend.unload(device.backend.load(again, 0))

    def test_a_network_whose_file_is_gone_is_refused_with_advice(
        self, device: Device, make_network: _MakeNetwork
    ) -> None:
        compiled = device.backend.compile(make_network(), device.cache)
        if not device.promises.reads_files:
            pytest.skip("reads no file that could be missed or damaged")
        gone = str(device.cache / "gone.onnx")
        with pytest.raises(BackendError, match=r"gone\.onnx\). Register the task again"):
            device.backend.load(replace(compiled, paths=(gone,) * compiled.segments), 0)

    @pytest.mark.parametrize("parts", [2, 3])
    def test_runs_a_network_in_as_many_segments_as_are_asked_for(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path, parts: int
    ) -> None:
        prepared = make_network("chain")
        compiled = device.backend.compile(prepared, shared_cache, parts)
        if not device.promises.cuts:
            assert compiled.segments == 1 and compiled.note
            return
        assert (compiled.segments, compiled.note) == (parts, "")
        assert CompiledNetwork.from_json(compiled.to_json()) == compiled
        assert device.backend.compile(prepared, shared_cache, parts) == compiled
        network = device.backend.load(compiled, 0)
        assert network.segments == parts
        outputs = _outputs_of(compiled)
        for values in outputs:
            values[:] = -1
        done = device.run(network, np.full((16, 24, 3), 7, np.uint8), outputs)
        assert done.error == ""
        assert all(np.all(values != -1) for values in outputs)
        device.backend.unload(network)

    def test_an_output_that_is_complete_early_is_in_its_place_when_its_segment_has_ended(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path
    ) -> None:
        _require_cuts(device)
        compiled = device.backend.compile(make_network("exits"), shared_cache, 4)
        assert (compiled.segments, compiled.note) == (4, "")
        if not device.promises.computes:  # it knows nothing of what is computed where
            assert compiled.complete_after == ()
            compiled = replace(compiled, complete_after=(3, 1))
        early = compiled.complete_after[1]
        assert compiled.complete_after[0] == 3 and early < 3
        assert compiled.completed_by(early) == ("exit",)
        assert compiled.completed_by(3) == ("logits", "exit")
        network = device.backend.load(compiled, 0)
        frame = np.full((16, 24, 3), 7, np.uint8)
        whole = _outputs_of(compiled)
        device.run(network, frame, whole)
        left = _outputs_of(compiled)
        for segment in range(early + 1):
            device.start(0, network, segment, frame, left)
            assert device.wait(0).error == ""
        assert np.all(left[0] == 0)
        if device.promises.computes:
            assert left[1].tobytes() == whole[1].tobytes()
        assert np.any(left[1] != 0)
        device.backend.unload(network)

    def test_profiles_of_other_cuts_are_kept_apart(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path
    ) -> None:
        _require_cuts(device)
        prepared = make_network("chain")
        ways = [device.backend.compile(prepared, shared_cache, parts) for parts in (1, 2, 3)]
        assert len({way.profile_key for way in ways}) == 3
        assert ways[0].profile_key == prepared.key

    def test_a_job_between_two_segments_waits_for_another_network(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path
    ) -> None:
        _require_cuts(device)
        cut = device.backend.load(device.backend.compile(make_network("chain"), shared_cache, 2), 0)
        whole = device.backend.load(device.backend.compile(make_network(), shared_cache), 0)
        frame, other = np.full((16, 24, 3), 7, np.uint8), np.full((4, 4, 3), 9, np.uint8)
        alone = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        device.run(cut, frame, alone)
        between = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        device.start(0, cut, 0, frame, between)
        assert device.wait(0).error == ""
        assert device.run(whole, other, [np.zeros(3, np.float32)]).error == ""
        device.start(0, cut, 1, frame, between)
        assert device.wait(0).error == ""
        if device.promises.computes:
            assert [one.tobytes() for one in between] == [one.tobytes() for one in alone]

    def test_a_cut_network_that_fails_on_the_way_starts_anew_with_the_next_frame(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path
    ) -> None:
        _require_cuts(device)
        network = device.backend.load(
            device.backend.compile(make_network("chain"), shared_cache, 2), 0
        )
        outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        good = np.full((16, 24, 3), 7, np.uint8)
        bad = _failing(device)
        device.start(0, network, 0, good, outputs)  # given up half way
        assert device.wait(0).error == ""
        device.start(0, network, 0, bad, outputs)
        assert device.wait(0).error
        assert device.run(network, good, outputs).error == ""

    def test_streams_weights_where_it_says_so(self, device: Device) -> None:
        assert isinstance(device.backend, Streams) == device.backend.capabilities.streams_weights

    def test_a_network_whose_weights_take_turns_computes_what_it_does_with_all_of_them(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path
    ) -> None:
        compiled = _streamed(device, make_network, shared_cache)
        assert (compiled.segments, compiled.resident, compiled.storage) == (4, 1, "cold")
        assert CompiledNetwork.from_json(compiled.to_json()) == compiled
        plain = device.backend.compile(make_network("heavy"), shared_cache)
        frame, wanted = np.full((16, 24, 3), 7, np.uint8), _outputs_of(compiled)
        assert device.run(device.backend.load(plain, 0), frame, wanted).error == ""
        ways = [
            streamed(compiled, resident, storage)
            for resident in (1, 2, 4)
            for storage in ("cold", "warm")
        ]
        assert len({way.profile_key for way in ways}) == len(ways)
        weights = [way.footprint.weights for way in ways[::2]]
        assert weights == sorted(set(weights))
        networks = [device.backend.load(way, 0) for way in ways]
        for network in (*networks, *networks):  # those of the others are in memory meanwhile
            outputs = _outputs_of(compiled)
            assert device.run(network, frame, outputs).error == ""
            assert [one.tobytes() for one in outputs] == [one.tobytes() for one in wanted]
        for network in networks:
            device.backend.unload(network)

    @pytest.mark.parametrize("storage", ["cold", "warm"])
    def test_weights_that_are_shortened_while_they_take_turns_fail_jobs_in_words(
        self, device: Device, make_network: _MakeNetwork, shared_cache: Path, storage: str
    ) -> None:
        compiled = streamed(_streamed(device, make_network, shared_cache), 1, storage)
        copy = CompiledNetwork.from_json(
            json.loads(json.dumps(compiled.to_json()).replace(str(shared_cache), str(device.cache)))
        )
        shutil.copytree(shared_cache, device.cache)
        network = device.backend.load(copy, 0)
        other = device.backend.load(compiled, 1)
        os.truncate(max(copy.weights, key=lambda each: each.nbytes).path, 10)
        frame, outputs = np.full((16, 24, 3), 7, np.uint8), _outputs_of(compiled)
        for _ in range(2):
            errors = []
            for segment in range(network.segments):
                device.start(0, network, segment, frame, outputs)
                errors.append(device.wait(0).error)
            assert [error for error in errors if error]
            assert all("was changed while the network ran" in error for error in errors if error)
        assert device.run(other, frame, outputs, lane=1).error == ""

    @pytest.mark.parametrize("pinned", [True, False])
    def test_a_frame_brought_ahead_is_the_one_the_job_sees(
        self, device: Device, make_network: _MakeNetwork, pinned: bool
    ) -> None:
        compiled = device.backend.compile(make_network("chain"), device.cache)
        network = device.backend.load(compiled, 0)
        memory = np.zeros(2 * 16 * 24 * 3, np.uint8)
        frames = memory.reshape(2, 16, 24, 3)
        if pinned:
            device.backend.pin(memory)
        made = []
        for value in (3, 9):
            frames[0], frames[1] = value, 100
            dropped = device.backend.prefetch(network, [frames[1]])
            prefetched = device.backend.prefetch(network, [frames[0]])
            assert prefetched == dropped  # as it was with the first one
            outputs = _outputs_of(compiled)
            device.start(0, network, 0, frames[0], outputs, prefetched=prefetched)
            assert device.wait(0).error == ""
            made.append(outputs)
            plain = _outputs_of(compiled)
            assert device.run(network, frames[0], plain).error == ""
            if device.promises.computes:
                assert [one.tobytes() for one in outputs] == [one.tobytes() for one in plain]
        assert made[0][0].tobytes() != made[1][0].tobytes()
        device.backend.prefetch(network, [frames[1]])  # of a job that never runs
        if pinned:
            device.backend.unpin(memory)
        device.backend.unload(network)

    def test_says_what_it_runs_on_and_what_it_was_permitted(self, device: Device) -> None:
        assert device.backend.device_name()
        assert "lanes" in device.backend.determinism()

    def test_closing_ends_the_threads_that_opening_began(self, device: Device) -> None:
        began = device.threads
        device.backend.close()
        assert not [each.name for each in began if each.is_alive()]
