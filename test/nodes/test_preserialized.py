"""A result serialised ahead is, once published, the message that was meant."""

from __future__ import annotations

from aegis_ros.msg import InferenceResult, JobTiming, Tensor
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message

from aegis_ros.nodes.conversions import time_from_ns
from aegis_ros.nodes.preserialized import PreserializedResult

_MOMENT = st.integers(10**18, 2 * 10**18)


@given(
    texts=st.tuples(*[st.text("ab/", max_size=9)] * 4),
    data=st.lists(st.binary(max_size=9), max_size=3),
    moments=st.tuples(*[_MOMENT] * 7),
    met=st.booleans(),
    response=st.floats(0, 1e6),
)
def test_the_open_fields_are_filled_in_and_nothing_else_changes(
    texts: tuple[str, ...],
    data: list[bytes],
    moments: tuple[int, ...],
    met: bool,
    response: float,
) -> None:
    stamped, received, released, started, finished, published, deadline = map(time_from_ns, moments)
    timing = JobTiming(
        stamped=stamped,
        received=received,
        released=released,
        started=started,
        finished=finished,
        deadline=deadline,
        execution_ms=1.25,
    )
    message = InferenceResult(
        task=texts[0], job=7, model_sha256=texts[1], decoder=texts[2], decoded=texts[3]
    )
    message.tensors = [Tensor(name="t", data=each) for each in data]
    message.timing = timing
    serialized = PreserializedResult(message)
    got = serialized.published(published.sec, published.nanosec, met, response)
    assert isinstance(got, bytes)
    timing.published, timing.met, timing.response_ms = published, met, response
    assert deserialize_message(got, InferenceResult) == message
    assert len(got) == len(serialize_message(message))  # what lies between fields is not defined


def test_a_message_whose_moments_cannot_be_found_is_published_as_it_is() -> None:
    message = InferenceResult(task="a")  # all moments are 0
    serialized = PreserializedResult(message)
    got = serialized.published(5, 6, True, 7.0)
    assert isinstance(got, InferenceResult)
    assert (got.timing.published.sec, got.timing.published.nanosec) == (5, 6)
    assert got.timing.met and got.timing.response_ms == 7.0
