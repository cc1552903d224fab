"""The engine's control thread: slow requests (load, profile) beside the loop, not in it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import assert_never

import msgspec

from aegis_ros.backends.base import Runtime
from aegis_ros.backends.generators import generating, steps_of
from aegis_ros.engine.control_socket import receive, send
from aegis_ros.engine.conversation import Conversation
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.messages import (
    Answer,
    Begin,
    ChangeBudgets,
    CloseChannel,
    Done,
    Hello,
    Info,
    Load,
    Loaded,
    LoadingGenerator,
    OpenChannel,
    ProfileBegin,
    ProfileEnd,
    ProfileGenerator,
    ProfileRuns,
    Refused,
    Request,
    Unload,
    decode_request,
    refusal,
)
from aegis_ros.engine.server.loaded import LoadedTask
from aegis_ros.engine.server.loop import EngineLoop
from aegis_ros.engine.server.profiler import Profiler
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import EngineInfo
from aegis_ros.network.generator.ending import Ending

__all__ = ["ControlServer"]


class ControlServer:
    """Answers the node's requests one after the other.

    Args:
        connection: SOCK_SEQPACKET socket to the node.
        backend: what runs the work of the lanes, opened.
        loop: the loop that owns tasks and channels.
        cores: core of each lane, ``None`` for one that may run anywhere.

    Attributes:
        info: what the engine says of itself; to be set before :meth:`serve`.
    """

    def __init__(
        self,
        connection: socket.socket,
        backend: Runtime,
        loop: EngineLoop,
        cores: Sequence[int | None] = (),
    ) -> None:
        """Serve nothing yet."""
        self._connection = connection
        self._backend = backend
        self._loop = loop
        self.info = EngineInfo(os.getpid(), "", "", "")
        self._channels: dict[int, SharedMemory] = {}
        self._profiler = Profiler(backend, loop, cores)

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
            case LoadingGenerator():
                return self._load_generator(request, fds)
            case Unload():
                return self._unload(request)
            case ChangeBudgets(task_id, plan, criticality):
                self._in_loop(lambda: self._loop.change_budgets(task_id, plan, criticality))
                return Done()
            case ProfileBegin():
                return self._profiler.begin(request, fds)
            case ProfileGenerator():
                return self._profiler.begin_generator(request)
            case ProfileRuns():
                return self._profiler.run(request)
            case ProfileEnd():
                return self._profiler.end(request)
            case Begin():
                return Refused("the engine has already started")
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

    def _load_generator(self, request: LoadingGenerator, fds: list[int]) -> Answer:
        from aegis_ros.engine.server.speaking import Speaker  # what most engines have no use for

        spec = request.spec
        if (spec.plan.begins, spec.plan.steps) != steps_of(spec.compiled, spec.shapes):
            return Refused(
                "the plan has other steps than the buckets of the model",
                "plan",
                f"{len(spec.plan.begins)} buckets, {spec.plan.steps} steps",
                "as many parts of each bucket as the model has",
            )
        try:
            promise = spec.promise()
        except ValueError as error:
            return Refused(
                f"the engine cannot keep the promise: {error}",
                "criticality",
                spec.criticality,
                "best_effort, or low with a period and a decode for all slots",
            )
        conversation = Conversation(spec.cache, fds.pop(0), spec.compiled.facts.image_shape)

        def report(
            slot: int, number: int, count: int, *, ending: Ending | None = None, text: str = ""
        ) -> None:
            self._loop.spoken(spec.task_id, slot, number, count, ending=ending, text=text)

        with ExitStack() as undo:
            undo.callback(conversation.close)
            network = generating(self._backend).load_generator(
                spec.compiled, spec.lane, spec.shapes, spec.cache
            )
            undo.callback(self._backend.unload, network)
            speaker = Speaker(spec.shapes, spec.compiled.facts, conversation, report)
            task = LoadedTask(spec.task_id, network, spec.lane, conversation, state=speaker)
            self._in_loop(
                lambda: self._loop.add_task(
                    task,
                    queue=1,
                    plan=spec.plan,
                    criticality=spec.criticality,
                    promise=promise,
                )
            )
            undo.pop_all()
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
