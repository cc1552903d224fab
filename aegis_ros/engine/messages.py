"""The control messages between node and engine: one struct for each request and each answer.

Frames do not come this way (:mod:`aegis_ros.engine.wire`). What is decoded has been checked against
the declaration, so that neither side looks for keys or guesses types.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.backends.lanes import lanes_by_backend
from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.engine.types import ChannelSpec, EngineInfo, LoadSpec
from aegis_ros.errors import AegisError, EngineError
from aegis_ros.memory import KvShape
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.scheduling.generation import Shape
from aegis_ros.scheduling.plans.registry import received_plan
from aegis_ros.spec import Criticality, DeviceSpec, LaneSpec

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Answer",
    "Begin",
    "CloseChannel",
    "Done",
    "EngineSettings",
    "Hello",
    "Info",
    "Load",
    "Loaded",
    "LoadingGenerator",
    "OpenChannel",
    "ProfileBegin",
    "ProfileBegun",
    "ProfileEnd",
    "ProfileGenerator",
    "ProfileRuns",
    "ProfileSamples",
    "Refused",
    "Request",
    "Unload",
    "decode_answer",
    "decode_request",
    "encode",
    "refusal",
]

MAX_MESSAGE_BYTES = 150_000  # fits into the buffer of a socket as the kernel makes it


class EngineSettings(msgspec.Struct, frozen=True):
    """What an engine process is started with, on its command line.

    Attributes:
        backend: name of the backend.
        priority: SCHED_FIFO priority of the loop, 0 for none.
        keep_awake: whether the CPU may not sleep between two releases.
        cores: those the process may run on.
        frames_fd: socket of the frame records.
        control_fd: socket of these messages.
        parent: process id of the node; the engine ends with it.
        stderr_fd: the node's stderr, which it takes once it has started; -1 for none.
        warm: names of the backends to import while the process waits for ``Begin``.
    """

    backend: str
    priority: int
    keep_awake: bool
    cores: tuple[int, ...]
    frames_fd: int
    control_fd: int
    parent: int
    stderr_fd: int = -1
    warm: tuple[str, ...] = ()

    @staticmethod
    def of(
        device: DeviceSpec,
        *,
        cores: tuple[int, ...],
        frames_fd: int,
        control_fd: int,
        parent: int,
        stderr_fd: int = -1,
    ) -> EngineSettings:
        """Return the settings for a device."""
        return EngineSettings(
            device.backend,
            device.realtime_priority,
            device.keep_awake,
            cores,
            frames_fd,
            control_fd,
            parent,
            stderr_fd,
            tuple(lanes_by_backend(device.backend, device.lanes)),
        )

    def to_argument(self) -> str:
        """Return the text for the command line."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_argument(text: str) -> EngineSettings:
        """Return the settings that :meth:`to_argument` wrote.

        Raises:
            msgspec.ValidationError: it did not write this text.
        """
        return msgspec.json.decode(text, type=EngineSettings)


class _Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages; the name of the class goes with them."""


class Begin(_Message, frozen=True):
    """First message, without an answer; comes with the page and with the ring of the trace.

    Attributes:
        lanes: lanes to open.
        trace_bytes: size of the ring, 0 for no trace.
    """

    lanes: tuple[LaneSpec, ...]
    trace_bytes: int = 0


class Hello(_Message, frozen=True):
    """Asks what the engine is: :class:`Info`, once it can take requests."""


class OpenChannel(_Message, frozen=True):
    """Maps the slots of a stream, whose memory comes with it: :class:`Done`.

    Attributes:
        index: number of the channel in the frame records.
        spec: the slots.
    """

    index: int
    spec: ChannelSpec


class CloseChannel(_Message, frozen=True):
    """Forgets a channel: :class:`Done`."""

    index: int


class Load(_Message, frozen=True):
    """Loads a network; the memory of its output slots comes with it: :class:`Loaded`.

    Attributes:
        spec: the network and its task.
        slots: number of output slots.
    """

    spec: LoadSpec
    slots: int


class LoadingGenerator(_Message, frozen=True):
    """Loads a language model; the memory of its conversation comes with it: :class:`Loaded`."""

    spec: LoadGenerator


class Unload(_Message, frozen=True):
    """Forgets a task once its network runs no more: :class:`Done`."""

    task_id: int


class ChangeBudgets(_Message, frozen=True):
    """Holds a task to other budgets of the same steps: :class:`Done`; unknown ids pass.

    Attributes:
        task_id: of the task.
        plan: with the budgets.
        criticality: as the task was loaded with.
    """

    task_id: int
    plan: ExecutionPlan
    criticality: Criticality


class ProfileBegin(_Message, frozen=True):
    """Loads a network to be measured: :class:`ProfileBegun`.

    Attributes:
        compiled: the network.
        lane: index of the lane.
        frames: number of frames in the memory that comes with it; 0 for random ones and no memory.
        seed: of the random frames.
    """

    compiled: CompiledNetwork
    lane: int
    frames: int = 0
    seed: int = 0


class ProfileGenerator(_Message, frozen=True):
    """Loads a language model to be measured: :class:`ProfileBegun`.

    Attributes:
        compiled: the model.
        lane: index of the lane.
        shapes: of its buckets.
        cache: its slots.
    """

    compiled: CompiledGenerator
    lane: int
    shapes: tuple[Shape, ...]
    cache: KvShape


class ProfileRuns(_Message, frozen=True):
    """Measures for a fraction of a second: :class:`ProfileSamples`.

    Attributes:
        handle: of the network to be timed.
        runs: how many runs at most.
        cold: whether its data is driven out of the caches before each run; of a language model,
            before each bucket.
        after: handle of a network that runs right before each run; 0 for none.
        beside: handles of networks that run on their lanes meanwhile.
    """

    handle: int
    runs: int
    cold: bool = False
    after: int = 0
    beside: tuple[int, ...] = ()


class ProfileEnd(_Message, frozen=True):
    """Unloads a network that was measured: :class:`Done`."""

    handle: int


class Info(_Message, frozen=True):
    """What the engine is."""

    info: EngineInfo


class Done(_Message, frozen=True):
    """The request was carried out, and there is nothing to say about it."""


class Loaded(_Message, frozen=True):
    """A network is loaded; ``note`` is what the backend chose, for people."""

    note: str


class ProfileBegun(_Message, frozen=True):
    """A network can be measured under this handle, 1 or more."""

    handle: int


class ProfileSamples(_Message, frozen=True):
    """Nanoseconds of each segment of each run, at least one run."""

    samples: list[list[int]]


class Refused(_Message, frozen=True):
    """The request was not carried out; the parts of an :class:`~aegis_ros.errors.AegisError`."""

    problem: str
    where: str = ""
    value: str = ""
    expected: str = ""
    hint: str = ""
    rule: Rule = Rule.RUN_FAILED

    def error(self) -> EngineError:
        """Return the error to raise on the node's side."""
        return EngineError(
            self.problem,
            where=self.where,
            value=self.value or None,
            expected=self.expected,
            hint=self.hint,
            rule=self.rule,
        )


Request: TypeAlias = (
    Begin
    | Hello
    | OpenChannel
    | CloseChannel
    | Load
    | LoadingGenerator
    | Unload
    | ChangeBudgets
    | ProfileBegin
    | ProfileGenerator
    | ProfileRuns
    | ProfileEnd
)
Answer: TypeAlias = Info | Done | Loaded | ProfileBegun | ProfileSamples | Refused


def _plan(kind: type, value: object) -> object:
    """Return the plan that was sent: a struct of a registered kind, with its tag."""
    if kind is not ExecutionPlan:
        raise NotImplementedError(f"{kind} cannot be decoded")
    return received_plan(value)


_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request, dec_hook=_plan)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Return a message as bytes.

    Raises:
        ValueError: it is longer than :data:`MAX_MESSAGE_BYTES`.
    """
    data = msgspec.msgpack.encode(message)
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(
            f"a control message ({type(message).__name__}) of {len(data)} bytes is too long; "
            f"at most {MAX_MESSAGE_BYTES} bytes can be sent"
        )
    return data


def decode_request(data: bytes) -> Request:
    """Return a request.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _requests.decode(data)


def decode_answer(data: bytes) -> Answer:
    """Return an answer.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _answers.decode(data)


def refusal(error: Exception) -> Refused:
    """Return the answer to a request that raised an error."""
    if isinstance(error, AegisError):
        return Refused(
            error.problem,
            error.where,
            error.value,
            error.expected,
            error.hint,
            error.rule,
        )
    return Refused(f"{type(error).__name__}: {error}")
