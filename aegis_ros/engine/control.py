"""The engine's control thread: slow requests (load, profile) beside the loop, not in it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from aegis_ros.backends.base import Backend, CompiledNetwork
from aegis_ros.engine.loop import EngineLoop, LoadedTask, ProfileRun
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.types import ChannelSpec
from aegis_ros.errors import AegisError
from aegis_ros.spec import FrameFormat

__all__ = ["ControlServer", "output_layout", "receive_message", "send_message"]

_MAX_MESSAGE_BYTES = 150_000
_MAX_FDS = 4


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


def output_layout(compiled: CompiledNetwork) -> tuple[list[int], int]:
    """Return the offset of each output within a slot, and the size of a slot, in bytes."""
    offsets, size = [], 0
    for item in compiled.outputs:
        offsets.append(size)
        size += (item.nbytes + 63) // 64 * 64
    return offsets, aligned(size)


class ControlServer:
    """Answers the node's requests one after the other.

    Args:
        connection: SOCK_SEQPACKET socket to the node.
        backend: opened backend.
        loop: the loop that owns tasks and channels.
        info: what ``hello`` answers.
    """

    def __init__(
        self, connection: socket.socket, backend: Backend, loop: EngineLoop, info: dict[str, Any]
    ) -> None:
        """Serve nothing yet."""
        self._connection = connection
        self._backend = backend
        self._loop = loop
        self._info = info
        self._cancel = threading.Event()

    def serve(self) -> None:
        """Answer until the node is gone or says ``stop``; then end the loop."""
        handlers: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {
            "hello": lambda message, fds: self._info,
            "open_channel": self._open_channel,
            "close_channel": self._close_channel,
            "load": self._load,
            "unload": self._unload,
            "profile": self._profile,
        }
        try:
            while True:
                received = receive_message(self._connection)
                if received is None or received[0]["do"] == "stop":
                    return
                message, fds = received
                try:
                    answer = handlers[message["do"]](message, fds)
                except AegisError as error:
                    answer = {"problem": error.problem, "mend": error.mend}
                except Exception as error:  # the engine outlives any bad request
                    answer = {"problem": f"{type(error).__name__}: {error}"}
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
        memory = SharedMemory(aligned(spec.slot_bytes) * spec.slots, fds[0])
        self._in_loop(lambda: self._loop.add_channel(message["index"], spec, memory))
        return {}

    def _close_channel(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._in_loop(lambda: self._loop.remove_channel(message["index"]))
        return {}

    def _load(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        compiled = CompiledNetwork.from_json(message["compiled"])
        offsets, size = output_layout(compiled)
        memory = SharedMemory(size * message["slots"], fds[0])
        try:
            network = self._backend.load(compiled, message["lane"])
        except AegisError:
            memory.close()
            raise
        slots = [
            [
                memory.array(
                    slot * size + offset, tuple(int(e) for e in item.shape), item.dtype
                )
                for offset, item in zip(offsets, compiled.outputs, strict=True)
            ]
            for slot in range(message["slots"])
        ]
        task = LoadedTask(message["task_id"], network, message["lane"], memory, slots)
        try:
            self._in_loop(lambda: self._loop.add_task(task, message["queue"]))
        except ValueError:
            self._backend.unload(network)
            memory.close()
            raise
        return {"arena_bytes": compiled.arena_bytes}

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
            task.slots.clear()
            task.memory.close()
        return {"found": bool(found)}

    def _profile(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Time the network ``runs`` times on random frames; answer in chunks of samples."""
        compiled = CompiledNetwork.from_json(message["compiled"])
        lane, runs = message["lane"], message["runs"]
        network = self._backend.load(compiled, lane)
        outputs = [
            np.empty(tuple(int(e) for e in item.shape), item.dtype) for item in compiled.outputs
        ]
        generator = np.random.default_rng(message.get("seed", 0))
        frames = [_random_frame(generator, compiled) for _ in range(4)]
        samples: list[int] = []
        try:
            for index in range(runs + message["warmup"]):
                for segment in range(network.segments):
                    taken, error = self._timed(network, lane, segment, frames[index % 4], outputs)
                    if error:
                        return {"problem": f"the network failed while it was measured ({error})"}
                    if index >= message["warmup"]:
                        samples.append(taken)
                if index % 25 == 24:
                    progress = {"progress": max(0, index + 1 - message["warmup"])}
                    send_message(self._connection, progress | {"samples": samples})
                    samples = []
                    # The node answers each progress with whether to go on.
                    go_on = receive_message(self._connection)
                    if go_on is None or not go_on[0]["go_on"]:
                        return {"samples": samples, "cancelled": True}
        finally:
            self._backend.unload(network)
        return {"samples": samples}

    def _timed(
        self, network: Any, lane: int, segment: int, frame: Any, outputs: list[Any]
    ) -> tuple[int, str]:
        done = threading.Event()
        result: list[tuple[int, str]] = []

        def finish(taken: int, error: str) -> None:
            result.append((taken, error))
            done.set()

        run = ProfileRun(network, segment, frame, outputs, finish)
        self._loop.call(lambda: self._loop.profile(lane, run))
        done.wait()
        return result[0]


def _random_frame(generator: np.random.Generator, compiled: CompiledNetwork) -> Any:
    if compiled.frame_input.dtype == "uint8":
        return generator.integers(0, 254, compiled.max_shape, np.uint8)
    values = generator.random(compiled.max_shape, np.float32)
    return ((values - 0.5) * 40.0).astype(compiled.frame_input.dtype)
