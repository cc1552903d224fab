"""Decodes finished jobs and publishes them, on a thread of its own.

Results of constant latency are decoded and serialised by that thread, too, and leave from another
one (:mod:`aegis_ros.nodes.holding`), so that no task waits for the time of another one's result.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from aegis_ros.decoders import (
    Decoded,
    Decoder,
    FrameInfo,
    decode_crops,
    draw,
    to_json,
)
from aegis_ros.engine import JobResult
from aegis_ros.msg import InferenceResult, JobTiming
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.companions import companion
from aegis_ros.nodes.conversions import tensor_to_message, time_from_ns
from aegis_ros.nodes.forms import Form, forms
from aegis_ros.nodes.holding import Holder
from aegis_ros.nodes.intake import FrameOrigin
from aegis_ros.nodes.invalid import not_finite
from aegis_ros.nodes.loggable import text_of
from aegis_ros.nodes.preserialized import PreserializedResult
from aegis_ros.nodes.ros_text import plain_ros
from aegis_ros.orchestrator import Crops, Orchestrator, TaskSummary
from aegis_ros.rationale import Reason
from aegis_ros.rationale.results import (
    CannotPublish,
    DecoderFailed,
    NotPublished,
    PublishingTooSlow,
    ResultUnwanted,
    TooManyHeld,
)
from aegis_ros.spec import MOST_HELD, Criticality, TaskSpec

__all__ = ["ResultPublisher"]

_QUEUE = 256
# A result and what is published beside it, and as much again for frames that bunch.
_MOST_HELD = 2 * 2 * MOST_HELD


class _TaskOutput:
    """Publishers and decoder of one task."""

    def __init__(self, node: Node, summary: TaskSummary, decoder: Decoder) -> None:
        spec = summary.spec
        self.spec = spec
        self.owner = summary.task_id  # of what is held; stays, though a task that moves has another
        self.decoder = decoder
        self.sha256 = summary.model_sha256
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self.results = node.create_publisher(InferenceResult, spec.output.topic, qos)
        self.annotated = (
            node.create_publisher(Image, companion(node, spec.output.topic, "annotated"), 1)
            if spec.output.annotate
            else None
        )
        self._node = node
        self._companions: dict[str, Any] = {}

    def companion(self, form: Form) -> Any:
        """Return the publisher of what is published beside a result; made when first needed."""
        if form.name not in self._companions:
            topic = companion(self._node, self.spec.output.topic, form.name)
            self._companions[form.name] = self._node.create_publisher(form.kind, topic, 5)
        return self._companions[form.name]

    def close(self, node: Node) -> None:
        """Give the publishers back."""
        node.destroy_publisher(self.results)
        if self.annotated is not None:
            node.destroy_publisher(self.annotated)
        for publisher in self._companions.values():
            node.destroy_publisher(publisher)
        self._companions.clear()
        forget_destroyed(node)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is published about a job beside its result; keeps none of its tensors.

    ``due_ns`` is monotonic, 0 for at once.
    """

    output: _TaskOutput
    task_id: int
    seq: int
    execution_ns: int
    stamped_wall_ns: int
    wall_offset_ns: int
    handed_ns: int
    decoded_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What is published later: the result of a job, or what goes beside it."""

    job: _Job
    publish: Callable[[], None]
    result: bool


class ResultPublisher:
    """Takes results from the engine's reader thread and publishes them from its own.

    Args:
        node: node to publish with.
        orchestrator: gets the figures.
    """

    def __init__(self, node: Node, orchestrator: Orchestrator) -> None:
        """Start the thread."""
        self._node = node
        self._orchestrator = orchestrator
        self._outputs: dict[int, _TaskOutput] = {}
        self._queue: queue.Queue[tuple[TaskSpec, JobResult] | None] = queue.Queue(_QUEUE)
        self._lock = threading.Lock()
        self._holder: Holder[_Held] = Holder(self._send, _MOST_HELD)
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def follow(
        self, tasks: tuple[TaskSummary, ...], decoder_for: Callable[[TaskSummary], Decoder]
    ) -> None:
        """Have publishers for exactly these tasks.

        A task that moved to another lane has another id and the same specification: it keeps its
        publishers, which also take the last results of its former id.
        """
        with self._lock:
            before = {id(output.spec): output for output in self._outputs.values()}
            kept = {
                item.task_id: before[id(item.spec)] for item in tasks if id(item.spec) in before
            }
            for gone in before.values():
                if gone not in kept.values():
                    self._unwanted(self._holder.forget(gone.owner))
                    gone.close(self._node)
            self._outputs = kept
            for item in tasks:
                if item.task_id in self._outputs:
                    continue
                try:
                    output = _TaskOutput(self._node, item, decoder_for(item))
                except Exception as error:  # the others must get their publishers
                    self._orchestrator.fail(
                        item.spec.name,
                        CannotPublish(
                            item.spec.name, item.spec.output.topic, plain_ros(str(error))
                        ),
                    )
                else:
                    self._outputs[item.task_id] = output

    def keeps_frames(self, task_ids: tuple[int, ...]) -> bool:
        """Whether one of the tasks publishes annotated frames someone listens to."""
        for task_id in task_ids:
            output = self._outputs.get(task_id)
            annotated = output.annotated if output is not None else None
            if annotated is not None and annotated.get_subscription_count() > 0:
                return True
        return False

    def submit(self, spec: TaskSpec, result: JobResult) -> None:
        """Take a result; called by the engine's reader thread, never blocks."""
        try:
            self._queue.put_nowait((spec, result))
        except queue.Full:
            result.release()
            reason = PublishingTooSlow(spec.name, result.seq, _QUEUE)
            self._orchestrator.unpublished(result.task_id, reason)

    def close(self) -> None:
        """Publish what has come, end the threads and give all publishers back.

        Results that are held are dropped. May be called twice.
        """
        self._queue.put(None)
        self._thread.join(timeout=5.0)
        self._unwanted(self._holder.close())
        self.follow((), _no_decoder)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            spec, result = item
            try:
                self._publish(spec, result)
            except Exception as error:  # one task's trouble must not silence the others
                # The result itself has left.
                reason = NotPublished(spec.name, result.seq, plain_ros(str(error)))
                self._orchestrator.log.report_often(reason)
            finally:
                result.release()
                result.origin = None  # it may keep a frame, and the next result may be far off

    def _publish(self, spec: TaskSpec, result: JobResult) -> None:
        with self._lock:
            output = self._outputs.get(result.task_id) or next(
                (each for each in self._outputs.values() if each.spec is spec), None
            )
        if output is None:
            unwanted = ResultUnwanted(spec.name, result.seq)
            self._orchestrator.unpublished(result.task_id, unwanted)
            return
        try:
            job, header, decoded = self._publish_result(output, result)
        except Exception as error:
            reason = NotPublished(spec.name, result.seq, plain_ros(str(error)))
            self._orchestrator.unpublished(result.task_id, reason)
            self._trigger(spec, result, decoded=None)
            return
        origin = result.origin
        assert isinstance(origin, FrameOrigin)
        if decoded is not None:
            beside = self._beside(output, header, decoded, origin)
            if job.due_ns:
                made = list(beside)
                if made:
                    self._hold(_Held(job, lambda: _publish_all(made), result=False))
            else:
                _publish_all(beside)
        self._trigger(spec, result, decoded)
        self._orchestrator.truncated(result.task_id, result.seq, result.left_out)
        bad = not_finite(result.outputs)
        if bad:
            self._orchestrator.not_finite(result.task_id, result.seq, bad)

    def _publish_result(
        self, output: _TaskOutput, result: JobResult
    ) -> tuple[_Job, Header, Decoded | None]:
        """Publish a result, or hold it until it is due; return what goes beside it is made of."""
        spec, origin = output.spec, result.origin
        assert isinstance(origin, FrameOrigin)  # the intake handed it in
        decoded = self._decode(output, result, origin)
        decoded_ns = time.monotonic_ns()
        message = InferenceResult(
            header=_header(origin),
            task=spec.name,
            job=result.seq,
            model_sha256=output.sha256,
            decoder=spec.output.decoder,
            decoded=to_json(decoded) if decoded is not None else "",
            early_exit=result.early_exit,
        )
        if spec.output.tensors:
            message.tensors = [
                tensor_to_message(name, values) for name, values in result.outputs.items()
            ]
        job = _fill_timing(message.timing, output, result, origin, decoded_ns=decoded_ns)
        if job.due_ns:
            serialized = PreserializedResult(message)
            self._hold(_Held(job, lambda: self._publish_serialized(job, serialized), result=True))
        else:
            self._publish_now(job, message)
        return job, message.header, decoded

    def _trigger(self, spec: TaskSpec, result: JobResult, decoded: Decoded | None) -> None:
        """Release jobs of the tasks that follow, once the result itself is on its way."""
        origin = result.origin
        assert isinstance(origin, FrameOrigin)
        if origin.kept is None:
            return
        chains = self._orchestrator.chains
        if decoded is None:
            chains.missed(spec.name, result.seq)
            return

        def origin_of(crops: Crops) -> FrameOrigin:
            return replace(origin, frame=None, kept=None, crops=crops)

        chains.follow(
            spec.name,
            decoded,
            origin.kept,
            origin.times,
            arrival_ns=result.arrival_ns,
            origin_of=origin_of,
        )

    def _publish_now(self, job: _Job, message: InferenceResult) -> None:
        published_ns, response_ns, met = _published(job)
        message.timing.published = time_from_ns(published_ns)
        message.timing.met, message.timing.response_ms = met, response_ns / 1e6
        job.output.results.publish(message)
        self._count(job, response_ns, met)

    def _publish_serialized(self, job: _Job, serialized: PreserializedResult) -> None:
        published_ns, response_ns, met = _published(job)
        at = time_from_ns(published_ns)
        job.output.results.publish(
            serialized.published(at.sec, at.nanosec, met=met, response_ms=response_ns / 1e6)
        )
        self._count(job, response_ns, met)

    def _count(self, job: _Job, response_ns: int, met: bool) -> None:
        self._orchestrator.published(
            job.task_id,
            response_ns,
            job.execution_ns,
            met,
            seq=job.seq,
            handed_ns=job.handed_ns,
            decoded_ns=job.decoded_ns,
            due_ns=job.due_ns,
        )

    def _hold(self, held: _Held) -> None:
        job = held.job
        if not self._holder.put(job.output.owner, job.due_ns, held):
            spec = job.output.spec
            self._drop(held, TooManyHeld(spec.name, job.seq, spec.output.constant_latency_ns))

    def _send(self, held: _Held) -> None:
        """Publish what was held; called by the holder's thread."""
        job = held.job
        if job.output not in self._outputs.values():
            self._unwanted([held])
            return
        try:
            held.publish()
        except Exception as error:  # one task's trouble must not silence the others
            text = plain_ros(str(error))
            self._drop(held, NotPublished(job.output.spec.name, job.seq, text))

    def _unwanted(self, dropped: Iterable[_Held]) -> None:
        """Count what was held when its publishers went."""
        for held in dropped:
            if held.result:
                self._drop(held, ResultUnwanted(held.job.output.spec.name, held.job.seq))

    def _drop(self, held: _Held, reason: Reason) -> None:
        if held.result:
            self._orchestrator.unpublished(held.job.task_id, reason)
        else:
            self._orchestrator.log.report_often(reason)

    def _decode(
        self, output: _TaskOutput, result: JobResult, origin: FrameOrigin
    ) -> Decoded | None:
        preprocess = output.spec.main_preprocess
        try:
            if origin.crops is not None:
                return decode_crops(
                    output.decoder,
                    result.outputs,
                    origin.crops.boxes,
                    origin.crops.labels,
                    preprocess=preprocess,
                )
            return output.decoder.decode(
                result.outputs, FrameInfo.of(origin.shape or (1, 1), preprocess)
            )
        except Exception as error:  # a plug-in may raise anything; the next frame goes on
            reason = DecoderFailed(
                output.spec.name,
                result.seq,
                output.spec.output.decoder,
                text_of(error),
            )
            self._orchestrator.undecoded(result.task_id, reason)
            return None

    @staticmethod
    def _beside(
        output: _TaskOutput, header: Header, decoded: Decoded, origin: FrameOrigin
    ) -> Iterator[tuple[Any, Any]]:
        """Make what is published beside a result, one (publisher, message) after the other."""
        for form in forms(header, decoded):
            publisher = output.companion(form)
            if publisher.get_subscription_count():
                yield publisher, form.make()
        if output.annotated is not None and origin.frame is not None:
            picture = draw(decoded, origin.frame)
            message = Image(
                header=header,
                height=picture.shape[0],
                width=picture.shape[1],
                encoding="rgb8",
                step=picture.shape[1] * 3,
            )
            message.data = picture.tobytes()
            yield output.annotated, message


def _publish_all(messages: Iterable[tuple[Any, Any]]) -> None:
    for publisher, message in messages:
        publisher.publish(message)


def _no_decoder(summary: TaskSummary) -> Decoder:
    raise LookupError(summary.spec.name)


def _header(origin: FrameOrigin) -> Header:
    header = Header(frame_id=origin.header.frame_id)
    header.stamp.sec = origin.header.sec
    header.stamp.nanosec = min(origin.header.nanosec, 999_999_999)
    return header


def _fill_timing(
    timing: JobTiming,
    output: _TaskOutput,
    result: JobResult,
    origin: FrameOrigin,
    *,
    decoded_ns: int,
) -> _Job:
    """Fill in the life of a job up to now; return what its publication needs."""
    spec, offset = output.spec, origin.times.wall_offset_ns
    received = result.received_ns + offset
    stamped = origin.times.stamped_ns + offset if origin.times.trusted else received
    timing.stamped = time_from_ns(stamped)
    timing.received = time_from_ns(received)
    timing.released = time_from_ns(result.released_ns + offset)
    timing.started = time_from_ns(result.started_ns + offset)
    timing.finished = time_from_ns(result.finished_ns + offset)
    timing.deadline = time_from_ns(stamped + spec.deadline_ns)
    timing.execution_ms = result.execution_ns / 1e6
    constant = spec.output.constant_latency_ns
    due_ns = stamped - offset + constant if constant else 0
    return _Job(
        output,
        result.task_id,
        result.seq,
        result.execution_ns,
        stamped,
        offset,
        result.handed_ns,
        decoded_ns,
        due_ns,
    )


def _published(job: _Job) -> tuple[int, int, bool]:
    """Return the wall clock, the response time in nanoseconds, and whether the promise was kept.

    That is the deadline; best effort is promised none.
    """
    published_ns = time.monotonic_ns() + job.wall_offset_ns
    response_ns = published_ns - job.stamped_wall_ns
    spec = job.output.spec
    kept = response_ns <= spec.deadline_ns or spec.criticality is Criticality.BEST_EFFORT
    return published_ns, response_ns, kept
