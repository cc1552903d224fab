"""The contract of every backend: one suite, run against each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from aegis_ros.backends import (
    Backend,
    Completion,
    Ended,
    Part,
    Work,
    backend_names,
    create_backend,
)
from aegis_ros.backends.base import CompiledNetwork, LoadedNetwork
from aegis_ros.errors import BackendError
from aegis_ros.spec import LaneSpec
from test.backends import fake_ort, fake_tensorrt
from test.backends.extras import EXTRAS, require

LANES = (LaneSpec("first"), LaneSpec("second"))
TIMEOUT_S = 100.0
# A GPU is hardly ever at hand: its runtimes and the driver are fakes here.
FAKES: dict[str, Callable[[], Backend]] = {
    "tensorrt": fake_tensorrt.fake_backend,
    "onnxruntime_cuda": fake_ort.fake_backend,
}
OURS = {"onnxruntime", "simulated", *EXTRAS, *FAKES}


class Device:
    """An opened backend and what its lanes said."""

    def __init__(self, name: str, cache: Path, backend: Backend | None = None) -> None:
        self.ended: list[SimpleQueue[Completion]] = [SimpleQueue() for _ in LANES]
        self.cache = cache
        make = FAKES.get(name)
        self.backend = backend or (create_backend(name) if make is None else make())
        self.tell: Ended = lambda token, done: self.ended[token % len(LANES)].put(done)
        self.backend.open(LANES, lambda token, done: self.tell(token, done), 0)
        self._tokens = 0

    def start(
        self,
        lane: int,
        network: LoadedNetwork,
        step: int,
        frame: np.ndarray,
        outputs: Sequence[np.ndarray],
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
        return self.ended[lane].get(timeout=TIMEOUT_S)

    def close(self) -> None:
        self.backend.close()


@pytest.fixture(params=sorted(set(backend_names()) & OURS))
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    require(request.param)
    opened = Device(request.param, tmp_path / "cache")
    yield opened
    opened.close()


def outputs_of(compiled: CompiledNetwork) -> list[np.ndarray]:
    return [np.zeros(item.shape, item.dtype) for item in compiled.outputs]


def run(
    device: Device,
    network: LoadedNetwork,
    frame: np.ndarray,
    outputs: Sequence[np.ndarray],
    lane: int = 0,
) -> Completion:
    completion = Completion()
    for segment in range(network.segments):
        device.start(lane, network, segment, frame, outputs)
        completion = device.wait(lane)
    return completion


def test_the_next_segment_may_be_started_where_the_last_one_ended(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    network = device.backend.load(compiled, 0)
    frame, outputs = np.full((16, 24, 3), 7, np.uint8), outputs_of(compiled)
    reported: list[str] = []
    last: SimpleQueue[str] = SimpleQueue()

    def ended(token: int, done: Completion) -> None:
        reported.append(threading.current_thread().name + done.error)
        if len(reported) < 5:
            device.start(0, network, 0, frame, outputs)
        else:
            last.put("ended")

    device.tell = ended
    device.start(0, network, 0, frame, outputs)
    assert last.get(timeout=TIMEOUT_S) == "ended"
    assert reported == ["lane-first"] * 5


def test_every_completion_carries_the_token_of_its_work(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    networks = [device.backend.load(compiled, lane) for lane in range(2)]
    frame = np.ones((16, 24, 3), np.uint8)
    reported: SimpleQueue[int] = SimpleQueue()
    device.tell = lambda token, done: reported.put(token)
    for _ in range(3):
        sent = {
            device.start(lane, network, 0, frame, outputs_of(compiled))
            for lane, network in enumerate(networks)
        }
        assert {reported.get(timeout=TIMEOUT_S) for _ in networks} == sent


def test_compiles_loads_runs_and_unloads(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    network = device.backend.load(compiled, 0)
    outputs = outputs_of(compiled)
    outputs[0][:] = -1
    done = run(device, network, np.full((16, 24, 3), 7, np.uint8), outputs)
    assert done.error == ""
    assert 0 < done.started_ns < done.finished_ns
    assert np.all(outputs[0] != -1)
    device.backend.unload(network)


def test_compiled_network_survives_its_journey_as_json(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    assert CompiledNetwork.from_json(compiled.to_json()) == compiled
    assert compiled.footprint.total > 0
    assert compiled.segments >= 1


def test_compiling_twice_gives_the_same_and_leaves_no_scratch_files(device, make_network):
    network = make_network()
    assert device.backend.compile(network, device.cache) == device.backend.compile(
        network, device.cache
    )
    assert not [path for path in device.cache.rglob("*") if path.suffix.endswith("tmp")]


def test_takes_smaller_frames_than_the_largest(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    network = device.backend.load(compiled, 0)
    done = run(device, network, np.ones((4, 4, 3), np.uint8), outputs_of(compiled))
    assert done.error == ""
    device.backend.unload(network)


def test_both_lanes_run_at_the_same_time(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    networks = [device.backend.load(compiled, lane) for lane in range(2)]
    frame, outputs = np.ones((16, 24, 3), np.uint8), [outputs_of(compiled) for _ in range(2)]
    for lane, network in enumerate(networks):
        device.start(lane, network, 0, frame, outputs[lane])
    assert [device.wait(lane).error for lane in range(2)] == ["", ""]


def test_a_run_that_fails_reports_why_and_the_next_one_works(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    network = device.backend.load(compiled, 0)
    outputs = outputs_of(compiled)
    if device.backend.name == "simulated":
        bad = np.full((4, 4, 3), 255, np.uint8)
    else:
        bad = np.ones((4, 4, 2), np.uint8)
    assert run(device, network, bad, outputs).error
    assert run(device, network, np.ones((4, 4, 3), np.uint8), outputs).error == ""


def test_a_network_that_cannot_be_loaded_is_refused_with_a_reason(device, make_network, tmp_path):
    compiled = device.backend.compile(make_network(), device.cache)
    broken = tmp_path / "unloadable.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(BackendError, match=r"cannot load|damaged") as caught:
        device.backend.load(replace(compiled, paths=(str(broken),)), 0)
    assert "[ONNXRuntimeError]" not in str(caught.value)


def test_a_file_that_is_not_what_was_built_is_not_loaded(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    if device.backend.name == "simulated":
        return  # it reads no file that could be missed or damaged
    path = Path(compiled.paths[0])
    path.write_bytes(path.read_bytes() + b"\x00")
    with pytest.raises(BackendError, match=r"is damaged \(.*\)\. Register the task again"):
        device.backend.load(compiled, 0)
    again = device.backend.compile(make_network(), device.cache)
    device.backend.unload(device.backend.load(again, 0))


def test_a_network_whose_file_is_gone_is_refused_with_advice(device, make_network):
    compiled = device.backend.compile(make_network(), device.cache)
    if device.backend.name == "simulated":
        return  # it reads no file that could be missed or damaged
    gone = str(device.cache / "gone.onnx")
    with pytest.raises(BackendError, match=r"gone\.onnx\). Register the task again"):
        device.backend.load(replace(compiled, paths=(gone,) * compiled.segments), 0)


@pytest.mark.parametrize("parts", [2, 3])
def test_runs_a_network_in_as_many_segments_as_are_asked_for(
    device, make_network, shared_cache, parts
):
    prepared = make_network("chain")
    compiled = device.backend.compile(prepared, shared_cache, parts)
    assert (compiled.segments, compiled.note) == (parts, "")
    assert CompiledNetwork.from_json(compiled.to_json()) == compiled
    assert device.backend.compile(prepared, shared_cache, parts) == compiled
    network = device.backend.load(compiled, 0)
    assert network.segments == parts
    outputs = outputs_of(compiled)
    for values in outputs:
        values[:] = -1
    done = run(device, network, np.full((16, 24, 3), 7, np.uint8), outputs)
    assert done.error == ""
    assert all(np.all(values != -1) for values in outputs)
    device.backend.unload(network)


def test_an_output_that_is_complete_early_is_in_its_place_when_its_segment_has_ended(
    device, make_network, shared_cache
):
    compiled = device.backend.compile(make_network("exits"), shared_cache, 4)
    assert (compiled.segments, compiled.note) == (4, "")
    if device.backend.name == "simulated":  # knows nothing of what is computed where
        assert compiled.complete_after == ()
        compiled = replace(compiled, complete_after=(3, 1))
    early = compiled.complete_after[1]
    assert compiled.complete_after[0] == 3 and early < 3
    assert compiled.completed_by(early) == ("exit",)
    assert compiled.completed_by(3) == ("logits", "exit")
    network = device.backend.load(compiled, 0)
    frame = np.full((16, 24, 3), 7, np.uint8)
    whole = outputs_of(compiled)
    run(device, network, frame, whole)
    left = outputs_of(compiled)
    for segment in range(early + 1):
        device.start(0, network, segment, frame, left)
        assert device.wait(0).error == ""
    assert np.all(left[0] == 0)
    if device.backend.name != "simulated":  # which numbers its runs instead
        assert left[1].tobytes() == whole[1].tobytes()
    assert np.any(left[1] != 0)
    device.backend.unload(network)


def test_profiles_of_other_cuts_are_kept_apart(device, make_network, shared_cache):
    prepared = make_network("chain")
    ways = [device.backend.compile(prepared, shared_cache, parts) for parts in (1, 2, 3)]
    assert len({way.profile_key for way in ways}) == 3
    assert ways[0].profile_key == prepared.key


def test_a_job_between_two_segments_waits_for_another_network(device, make_network, shared_cache):
    cut = device.backend.load(device.backend.compile(make_network("chain"), shared_cache, 2), 0)
    whole = device.backend.load(device.backend.compile(make_network(), shared_cache), 0)
    frame, other = np.full((16, 24, 3), 7, np.uint8), np.full((4, 4, 3), 9, np.uint8)
    alone = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    run(device, cut, frame, alone)
    between = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    device.start(0, cut, 0, frame, between)
    assert device.wait(0).error == ""
    assert run(device, whole, other, [np.zeros(3, np.float32)]).error == ""
    device.start(0, cut, 1, frame, between)
    assert device.wait(0).error == ""
    if device.backend.name != "simulated":  # which numbers its runs instead
        assert [one.tobytes() for one in between] == [one.tobytes() for one in alone]


def test_a_cut_network_that_fails_on_the_way_starts_anew_with_the_next_frame(
    device, make_network, shared_cache
):
    network = device.backend.load(device.backend.compile(make_network("chain"), shared_cache, 2), 0)
    outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    good = np.full((16, 24, 3), 7, np.uint8)
    bad = (
        np.full((4, 4, 3), 255, np.uint8)
        if device.backend.name == "simulated"
        else np.ones((4, 4, 2), np.uint8)
    )
    device.start(0, network, 0, good, outputs)  # given up half way
    assert device.wait(0).error == ""
    device.start(0, network, 0, bad, outputs)
    assert device.wait(0).error
    assert run(device, network, good, outputs).error == ""


@pytest.mark.parametrize("pinned", [True, False])
def test_a_frame_brought_ahead_is_the_one_the_job_sees(device, make_network, pinned):
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
        outputs = outputs_of(compiled)
        device.start(0, network, 0, frames[0], outputs, prefetched=prefetched)
        assert device.wait(0).error == ""
        made.append(outputs)
        plain = outputs_of(compiled)
        assert run(device, network, frames[0], plain).error == ""
        if device.backend.name != "simulated":  # which numbers its runs instead
            assert [one.tobytes() for one in outputs] == [one.tobytes() for one in plain]
    assert made[0][0].tobytes() != made[1][0].tobytes()
    device.backend.prefetch(network, [frames[1]])  # of a job that never runs
    if pinned:
        device.backend.unpin(memory)
    device.backend.unload(network)


def test_says_what_it_runs_on_and_what_it_was_permitted(device):
    assert device.backend.device_name()
    assert "lanes" in device.backend.determinism()


def test_closing_ends_the_lanes_threads(device):
    import threading

    before = {thread.name for thread in threading.enumerate()}
    device.backend.close()
    after = {thread.name for thread in threading.enumerate() if thread.is_alive()}
    assert {"lane-first", "lane-second"} <= before
    assert not {"lane-first", "lane-second"} & after
