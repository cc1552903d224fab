"""The engine's control thread: slow requests (load, profile) beside the loop, not in it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, assert_never

import msgspec
import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Backend, LoadedNetwork, Part, Work
from aegis_ros.backends.probes import random_frame
from aegis_ros.engine.control_socket import receive, send
from aegis_ros.engine.loop import EngineLoop, LoadedTask, ProfileRun
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.messages import (
    Answer,
    Begin,
    CloseChannel,
    Done,
    Hello,
    Info,
    Load,
    Loaded,
    OpenChannel,
    ProfileBegin,
    ProfileBegun,
    ProfileEnd,
    ProfileRuns,
    ProfileSamples,
    Refused,
    Request,
    Unload,
    decode_request,
    refusal,
)
from aegis_ros.engine.probes import inputs_bytes, inputs_in
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import EngineInfo
from aegis_ros.errors import BackendError

__all__ = ["ControlServer"]

_PROFILE_FRAMES = 4
_PROFILE_TURN_S = 0.2
# For so many parts that a lane computes, one stays free: the kernel takes 50 ms in a second from
# real-time threads that leave normal ones none, which no schedulable set of tasks does.
_PROFILE_GAP = 8
_MOST_SAMPLES = 8_000  # of one answer, so that it fits into a message
_BELOW = 253  # of random bytes: larger ones mean something to backends for tests
_SWEEP_BYTES = 96 * 1024 * 1024  # beyond the last-level caches of what robots compute on


class ControlServer:
    """Answers the node's requests one after the other.

    Args:
        connection: SOCK_SEQPACKET socket to the node.
        backend: opened backend.
        loop: the loop that owns tasks and channels.
        cores: core of each lane, ``None`` for one that may run anywhere.

    Attributes:
        info: what the engine says of itself; to be set before :meth:`serve`.
    """

    def __init__(
        self,
        connection: socket.socket,
        backend: Backend,
        loop: EngineLoop,
        cores: Sequence[int | None] = (),
    ) -> None:
        """Serve nothing yet."""
        self._connection = connection
        self._backend = backend
        self._loop = loop
        self.info = EngineInfo(os.getpid(), backend.name, "", "")
        self._channels: dict[int, SharedMemory] = {}
        self._measured: dict[int, _Measured] = {}
        self._cores = tuple(cores)
        self._swept: npt.NDArray[np.uint8] | None = None

    def serve(self) -> None:
        """Answer until the node is gone; then end the loop."""
        try:
            while True:
                try:
                    received = receive(self._connection)
                except ValueError as error:
                    send(self._connection, refusal(error))
                    continue
                if received is None:
                    return
                data, fds = received
                answer: Answer
                try:
                    answer = self._answer(decode_request(data), fds)
                except msgspec.DecodeError as error:
                    answer = Refused(f"the request cannot be read ({error})")
                except Exception as error:  # the engine outlives any bad request
                    answer = refusal(error)
                finally:
                    for fd in fds:  # what the handler did not take
                        os.close(fd)
                try:
                    send(self._connection, answer)
                except ValueError as error:
                    send(self._connection, refusal(error))
        except OSError:
            return
        finally:
            self._loop.stop()

    def _answer(self, request: Request, fds: list[int]) -> Answer:
        """Carry out a request; takes the descriptors it uses out of the list."""
        match request:
            case Hello():
                return Info(self.info)
            case OpenChannel():
                return self._open_channel(request, fds)
            case CloseChannel():
                return self._close_channel(request)
            case Load():
                return self._load(request, fds)
            case Unload():
                return self._unload(request)
            case ProfileBegin():
                return self._profile_begin(request, fds)
            case ProfileRuns():
                return self._profile_runs(request)
            case ProfileEnd():
                return self._profile_end(request)
            case Begin():
                return Refused("the engine has begun already")
        assert_never(request)

    def _in_loop(self, function: Callable[[], None]) -> None:
        done = threading.Event()
        problem: list[Exception] = []

        def run() -> None:
            try:
                function()
            except Exception as error:
                problem.append(error)
            done.set()

        self._loop.call(run)
        done.wait()
        if problem:
            raise problem[0]

    def _open_channel(self, request: OpenChannel, fds: list[int]) -> Answer:
        spec = request.spec
        memory = SharedMemory(aligned(spec.slot_bytes) * spec.slots, fds.pop(0))
        self._backend.pin(memory.bytes)
        self._channels[request.index] = memory
        self._in_loop(lambda: self._loop.add_channel(request.index, spec, memory))
        return Done()

    def _close_channel(self, request: CloseChannel) -> Answer:
        self._in_loop(lambda: self._loop.remove_channel(request.index))
        memory = self._channels.pop(request.index, None)
        if memory is not None:
            self._backend.unpin(memory.bytes)
        return Done()

    def _load(self, request: Load, fds: list[int]) -> Answer:
        spec = request.spec
        slots = OutputSlots(spec.compiled, request.slots, fds.pop(0))
        try:
            network = self._backend.load(spec.compiled, spec.lane)
            try:
                task = LoadedTask(spec.task_id, network, spec.lane, slots)
                self._in_loop(
                    lambda: self._loop.add_task(
                        task,
                        spec.queue,
                        plan=spec.plan,
                        criticality=spec.criticality,
                        on_overrun=spec.on_overrun,
                    )
                )
            except Exception:
                self._backend.unload(network)
                raise
        except Exception:
            slots.close()
            raise
        return Loaded(network.note)

    def _unload(self, request: Unload) -> Answer:
        gone = threading.Event()
        found: list[LoadedTask] = []

        def removed(task: LoadedTask | None) -> None:
            if task is not None:
                found.append(task)
            gone.set()

        self._in_loop(lambda: self._loop.remove_task(request.task_id, removed))
        gone.wait()
        for task in found:
            self._backend.unload(task.network)
            task.slots.close()
        return Done()

    def _profile_begin(self, request: ProfileBegin, fds: list[int]) -> Answer:
        """Load a network to be measured, with random or given frames of its largest size."""
        compiled = request.compiled
        count = request.frames or _PROFILE_FRAMES
        memory = SharedMemory(inputs_bytes(compiled, count), fds.pop(0) if request.frames else None)
        frames = inputs_in(memory, compiled, count)
        if not request.frames:
            generator = np.random.default_rng(request.seed)
            for stack in frames:
                for frame in stack:
                    frame[...] = random_frame(generator, frame.shape, str(frame.dtype), _BELOW)
        memory.close()  # the pages stay as long as the frames
        slots = OutputSlots(compiled, 1)
        with ExitStack() as undo:
            undo.callback(slots.close)
            self._backend.pin(memory.bytes)  # as frames of a channel are
            undo.callback(self._backend.unpin, memory.bytes)
            network = self._backend.load(compiled, request.lane)
            undo.callback(self._backend.unload, network)
            handle = max(self._measured, default=0) + 1
            self._measured[handle] = _Measured(network, request.lane, slots, frames, undo.pop_all())
        return ProfileBegun(handle)

    def _profile_runs(self, request: ProfileRuns) -> Answer:
        """Time a few runs, a fraction of a second long, so that other requests get a turn."""
        measured = self._measured[request.handle]
        before = self._measured[request.after] if request.after else None
        most = min(request.runs, max(1, _MOST_SAMPLES // measured.network.segments))
        samples: list[list[int]] = []
        try:
            with self._kept_busy([self._measured[each] for each in request.beside]):
                end = time.monotonic() + _PROFILE_TURN_S
                while len(samples) < most and (not samples or time.monotonic() < end):
                    if request.cold:
                        self._sweep(measured.lane)
                    spent = sum(self._whole(before)) if before is not None else 0
                    row = self._whole(measured)
                    samples.append(row)
                    time.sleep((spent + sum(row)) / 1e9 / _PROFILE_GAP)
        except BackendError as error:
            return Refused(f"the network failed while it was measured ({error.problem})")
        return ProfileSamples(samples)

    @contextmanager
    def _kept_busy(self, others: list[_Measured]) -> Iterator[None]:
        """Run networks again and again on their lanes; each has run once before it begins."""
        ended = threading.Event()
        ran = [threading.Event() for _ in others]
        problems: list[BackendError] = []

        def run(other: _Measured, once: threading.Event) -> None:
            try:
                while not ended.is_set():
                    time.sleep(sum(self._whole(other)) / 1e9 / _PROFILE_GAP)
                    once.set()
            except BackendError as error:
                problems.append(error)
            finally:
                once.set()

        threads = [
            threading.Thread(target=run, args=each, name="beside", daemon=True)
            for each in zip(others, ran, strict=True)
        ]
        try:
            for thread in threads:
                thread.start()
            for once in ran:
                once.wait()
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        if problems:
            raise problems[0]

    def _whole(self, measured: _Measured) -> list[int]:
        """Run a network once; return the nanoseconds of each segment.

        Raises:
            BackendError: it failed.
        """
        row = []
        for segment in range(measured.network.segments):
            taken, error = self._timed(measured, segment)
            if error:
                raise BackendError(error)
            row.append(taken)
        measured.runs += 1
        return row

    def _sweep(self, lane: int) -> None:
        """Fill the caches of a lane's core with something else, from that very core."""
        core = self._cores[lane] if lane < len(self._cores) else None
        before = os.sched_getaffinity(0)
        if core is not None:
            with suppress(OSError):
                os.sched_setaffinity(0, {core})
        try:
            if self._swept is None:
                self._swept = np.zeros(_SWEEP_BYTES, np.uint8)
            self._swept += 1  # reads and writes every line
        finally:
            with suppress(OSError):
                os.sched_setaffinity(0, before)

    def _profile_end(self, request: ProfileEnd) -> Answer:
        self._measured.pop(request.handle).undo.close()
        return Done()

    def _timed(self, measured: _Measured, segment: int) -> tuple[int, str]:
        done = threading.Event()
        result: list[tuple[int, str]] = []

        def finish(taken: int, error: str) -> None:
            result.append((taken, error))
            done.set()

        turn = measured.runs % len(measured.frames[0])
        inputs = [stack[turn] for stack in measured.frames]
        work = Work([Part(measured.network, inputs, measured.slots.arrays(0))], step=segment)
        self._loop.call(lambda: self._loop.profile(measured.lane, ProfileRun(work, finish)))
        done.wait()
        return result[0]


@dataclass(slots=True)
class _Measured:
    network: LoadedNetwork
    lane: int
    slots: OutputSlots
    frames: list[Any]  # of each input
    undo: ExitStack
    runs: int = 0
