"""Control messages: what goes in comes out, and what does not fit the declaration is refused."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import msgspec
import pytest

from aegis_ros.engine import ChannelSpec, EngineInfo, LoadSpec
from aegis_ros.engine import messages as m
from aegis_ros.engine.control_socket import receive, send
from aegis_ros.errors import BackendError, EngineError
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import EarlyExitPlan, GeneratorPlan, SegmentPlan
from aegis_ros.spec import Criticality, DeviceSpec, FrameFormat, LaneSpec, OverrunPolicy, Wait
from test.engine.bench import MS, Bench, simulated

NETWORK = replace(simulated(MS, 2 * MS), dynamic_outputs=("values",), shares=(0.25, 0.75))
SPEC = LoadSpec(
    7,
    "camera",
    NETWORK,
    1,
    "key",
    queue=2,
    plan=EarlyExitPlan(2, (MS, 2 * MS), 3 * MS, 1),
    criticality=Criticality.LOW,
    on_overrun=OverrunPolicy.EARLY_EXIT,
    early_exit={"values": "more"},
)
REQUESTS = [
    m.Begin((LaneSpec("main", 1, None), LaneSpec("side", None, 8, wait=Wait.SPIN)), 4096),
    m.Hello(),
    m.OpenChannel(3, ChannelSpec("camera", FrameFormat.RGB8, (16, 24, 3), 8)),
    m.CloseChannel(3),
    m.Load(SPEC, 4),
    m.Load(replace(SPEC, plan=SegmentPlan(2, (MS, MS))), 4),
    m.Load(replace(SPEC, plan=GeneratorPlan((MS, MS, 2 * MS), (0, 1), 1)), 4),
    m.Load(replace(SPEC, plan=None), 4),
    m.Unload(7),
    m.ChangeBudgets(7, SegmentPlan(2, (MS, MS), 2 * MS), Criticality.LOW),
    m.ProfileBegin(NETWORK, 1, frames=5, seed=2),
    m.ProfileRuns(1, 300, cold=True, after=2, beside=(3, 4)),
    m.ProfileEnd(1),
]
ANSWERS = [
    m.Info(EngineInfo(1, "simulated", "device", "none")),
    m.Done(),
    m.Loaded("two engines"),
    m.ProfileBegun(1),
    m.ProfileSamples([[1, 2], [3, 4]]),
    m.Refused("no", "task", "5", "4", "Ask again", Rule.MODEL_VALID),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_comes_out_as_it_went_in(request_: m.Request) -> None:
    assert m.decode_request(m.encode(request_)) == request_


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: type(each).__name__)
def test_an_answer_comes_out_as_it_went_in(answer: m.Answer) -> None:
    assert m.decode_answer(m.encode(answer)) == answer


def test_settings_survive_the_command_line() -> None:
    settings = m.EngineSettings.of(
        DeviceSpec(backend="simulated", realtime_priority=3, keep_awake=True),
        cores=(0, 1),
        frames_fd=4,
        control_fd=5,
        parent=6,
    )
    assert m.EngineSettings.from_argument(settings.to_argument()) == settings


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"type": "Unload", "task_id": "seven"}),
        msgspec.msgpack.encode({"type": "Unload"}),
        msgspec.msgpack.encode({"type": "Format"}),
        msgspec.msgpack.encode({"type": "Done"}),
    ],
)
def test_what_is_no_request_is_not_taken_for_one(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        m.decode_request(data)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match=r"ProfileSamples.*too long"):
        m.encode(m.ProfileSamples([[2**40] * 20_000]))


def test_a_message_that_is_too_long_is_not_taken_and_its_descriptors_are_closed() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    with ours, theirs:
        socket.send_fds(theirs, [b"x" * (m.MAX_MESSAGE_BYTES + 1)], [writing])
        os.close(writing)
        with pytest.raises(ValueError, match="longer than"):
            receive(ours)
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b"", "no descriptor of its other end is open any more"
        os.close(reading)
        send(theirs, m.Hello())  # and the next one is whole
        received = receive(ours)
        assert received is not None and m.decode_request(received[0]) == m.Hello()


def test_an_error_arrives_with_all_its_parts() -> None:
    error = BackendError("no", where="task", value=5, expected="4", hint="Ask again")
    answer = m.decode_answer(m.encode(m.refusal(error)))
    assert isinstance(answer, m.Refused)
    arrived = answer.error()
    assert str(arrived) == str(error) and arrived.rule is error.rule


def test_an_engine_outlives_requests_it_cannot_read() -> None:
    with Bench() as bench:
        process = bench.client._running()
        sent = [b"\xc1", b"x" * (m.MAX_MESSAGE_BYTES + 1)]
        for data in sent:
            with process._asking:
                process._control.sendall(data)
                received = receive(process._control)
            assert received is not None
            answer = m.decode_answer(received[0])
            assert isinstance(answer, m.Refused) and answer.problem
        with pytest.raises(EngineError, match="already started"):
            process.ask(m.Begin(()), m.Done)
        with pytest.raises(EngineError, match="unexpected answer"):
            process.ask(m.Hello(), m.Done)
        bench.load(1, MS)
        channel = bench.channel()
        bench.feed(channel, 1)
        bench.wait(lambda heard: heard.results, "a result")
