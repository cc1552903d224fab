"""The engine's control thread: slow requests (load, profile) beside the loop, not in it."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Backend, CompiledNetwork, LoadedNetwork, Part, Work
from aegis_ros.engine.loop import EngineLoop, LoadedTask, ProfileRun
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import ChannelSpec
from aegis_ros.errors import AegisError, BackendError
from aegis_ros.spec import Criticality, FrameFormat, OverrunPolicy

__all__ = ["ControlServer", "receive_message", "send_message"]

_MAX_MESSAGE_BYTES = 150_000
_MAX_FDS = 4
_PROFILE_FRAMES = 4
_PROFILE_TURN_S = 0.2
# For so many parts that a lane computes, one stays free: the kernel takes 50 ms in a second from
# real-time threads that leave normal ones none, which no schedulable set of tasks does.
_PROFILE_GAP = 8
_SWEEP_BYTES = 96 * 1024 * 1024  # beyond the last-level caches of what robots compute on


def send_message(
    connection: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()
) -> None:
    """Send one JSON message, with file descriptors."""
    data = json.dumps(message).encode()
    if len(data) > _MAX_MESSAGE_BYTES:
        raise ValueError(f"a control message of {len(data)} bytes is too long")
    socket.send_fds(connection, [data], list(fds))


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, ``None`` when the peer is gone."""
    data, fds, _, _ = socket.recv_fds(connection, _MAX_MESSAGE_BYTES, _MAX_FDS)
    if not data:
        return None
    message: dict[str, Any] = json.loads(data)
    return message, fds


class ControlServer:
    """Answers the node's requests one after the other.

    Args:
        connection: SOCK_SEQPACKET socket to the node.
        backend: opened backend.
        loop: the loop that owns tasks and channels.
        info: what ``hello`` answers.
        cores: core of each lane, ``None`` for one that may run anywhere.
    """

    def __init__(
        self,
        connection: socket.socket,
        backend: Backend,
        loop: EngineLoop,
        info: dict[str, Any],
        cores: Sequence[int | None] = (),
    ) -> None:
        """Serve nothing yet."""
        self._connection = connection
        self._backend = backend
        self._loop = loop
        self._info = info
        self._channels: dict[int, SharedMemory] = {}
        self._measured: dict[int, _Measured] = {}
        self._cores = tuple(cores)
        self._swept: npt.NDArray[np.uint8] | None = None

    def serve(self) -> None:
        """Answer until the node is gone or says ``stop``; then end the loop."""
        handlers: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {
            "hello": lambda message, fds: self._info,
            "open_channel": self._open_channel,
            "close_channel": self._close_channel,
            "load": self._load,
            "unload": self._unload,
            "profile_begin": self._profile_begin,
            "profile_runs": self._profile_runs,
            "profile_end": self._profile_end,
        }
        try:
            while True:
                received = receive_message(self._connection)
                if received is None or received[0]["do"] == "stop":
                    return
                message, fds = received
                answer: dict[str, Any]
                try:
                    answer = handlers[message["do"]](message, fds)
                except AegisError as error:
                    answer = {"problem": error.problem, "hint": error.hint}
                except Exception as error:  # the engine outlives any bad request
                    answer = {"problem": f"{type(error).__name__}: {error}"}
                finally:
                    for fd in fds:  # what the handler did not take
                        os.close(fd)
                send_message(self._connection, answer)
        except OSError:
            return
        finally:
            self._loop.stop()

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

    def _open_channel(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        spec = ChannelSpec(
            message["key"],
            FrameFormat(message["format"]),
            tuple(message["max_shape"]),
            message["slots"],
        )
        memory = SharedMemory(aligned(spec.slot_bytes) * spec.slots, fds.pop(0))
        self._backend.pin(memory.bytes)
        self._channels[message["index"]] = memory
        self._in_loop(lambda: self._loop.add_channel(message["index"], spec, memory))
        return {}

    def _close_channel(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._in_loop(lambda: self._loop.remove_channel(message["index"]))
        memory = self._channels.pop(message["index"], None)
        if memory is not None:
            self._backend.unpin(memory.bytes)
        return {}

    def _load(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        compiled = CompiledNetwork.from_json(message["compiled"])
        slots = OutputSlots(compiled, message["slots"], fds.pop(0))
        try:
            network = self._backend.load(compiled, message["lane"])
            try:
                task = LoadedTask(message["task_id"], network, message["lane"], slots)
                self._in_loop(
                    lambda: self._loop.add_task(
                        task,
                        message["queue"],
                        wcet_ns=tuple(message["wcet_ns"]),
                        criticality=Criticality(message["criticality"]),
                        on_overrun=OverrunPolicy(message["on_overrun"]),
                        exit_after=message["exit_after"],
                        total_ns=message["total_ns"],
                    )
                )
            except Exception:
                self._backend.unload(network)
                raise
        except Exception:
            slots.close()
            raise
        return {"note": network.note}

    def _unload(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        gone = threading.Event()
        found: list[LoadedTask] = []

        def removed(task: LoadedTask | None) -> None:
            if task is not None:
                found.append(task)
            gone.set()

        self._in_loop(lambda: self._loop.remove_task(message["task_id"], removed))
        gone.wait()
        for task in found:
            self._backend.unload(task.network)
            task.slots.close()
        return {"found": bool(found)}

    def _profile_begin(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Load a network to be measured, with random or given frames of its largest size."""
        compiled = CompiledNetwork.from_json(message["compiled"])
        count = message["frames"] if fds else _PROFILE_FRAMES
        shape, dtype = (count, *compiled.max_shape), np.dtype(compiled.frame_input.dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        memory = SharedMemory(nbytes, fds.pop(0) if fds else None)
        frames = memory.array(0, shape, dtype)
        if "frames" not in message:
            generator = np.random.default_rng(message["seed"])
            for frame in frames:
                frame[...] = _random_frame(generator, compiled)
        memory.close()  # the pages stay as long as the frames
        slots = OutputSlots(compiled, 1)
        with ExitStack() as undo:
            undo.callback(slots.close)
            self._backend.pin(memory.bytes)  # as frames of a channel are
            undo.callback(self._backend.unpin, memory.bytes)
            network = self._backend.load(compiled, message["lane"])
            undo.callback(self._backend.unload, network)
            handle = max(self._measured, default=0) + 1
            self._measured[handle] = _Measured(
                network, message["lane"], slots, list(frames), undo.pop_all()
            )
        return {"handle": handle}

    def _profile_runs(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Time a few runs, a fraction of a second long, so that other requests get a turn."""
        measured = self._measured[message["handle"]]
        before = self._measured[message["after"]] if message.get("after") else None
        samples: list[list[int]] = []
        try:
            with self._kept_busy([self._measured[each] for each in message.get("beside", ())]):
                end = time.monotonic() + _PROFILE_TURN_S
                while len(samples) < message["runs"] and (not samples or time.monotonic() < end):
                    if message.get("cold"):
                        self._sweep(measured.lane)
                    spent = sum(self._whole(before)) if before is not None else 0
                    row = self._whole(measured)
                    samples.append(row)
                    time.sleep((spent + sum(row)) / 1e9 / _PROFILE_GAP)
        except BackendError as error:
            return {"problem": f"the network failed while it was measured ({error.problem})"}
        return {"samples": samples}

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

    def _profile_end(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._measured.pop(message["handle"]).undo.close()
        return {}

    def _timed(self, measured: _Measured, segment: int) -> tuple[int, str]:
        done = threading.Event()
        result: list[tuple[int, str]] = []

        def finish(taken: int, error: str) -> None:
            result.append((taken, error))
            done.set()

        frame = measured.frames[measured.runs % len(measured.frames)]
        work = Work([Part(measured.network, [frame], measured.slots.arrays(0))], step=segment)
        self._loop.call(lambda: self._loop.profile(measured.lane, ProfileRun(work, finish)))
        done.wait()
        return result[0]


@dataclass(slots=True)
class _Measured:
    network: LoadedNetwork
    lane: int
    slots: OutputSlots
    frames: list[Any]
    undo: ExitStack
    runs: int = 0


def _random_frame(generator: np.random.Generator, compiled: CompiledNetwork) -> Any:
    if compiled.frame_input.dtype == "uint8":
        return generator.integers(0, 254, compiled.max_shape, np.uint8)
    values = generator.random(compiled.max_shape, np.float32)
    return ((values - 0.5) * 40.0).astype(compiled.frame_input.dtype)
