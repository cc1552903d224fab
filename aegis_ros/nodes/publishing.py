"""Decodes finished jobs and publishes them, on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from aegis_ros.decoders import Decoded, Decoder, FrameInfo, SegmentationMask, draw, to_json
from aegis_ros.engine import JobResult
from aegis_ros.msg import InferenceResult, JobTiming
from aegis_ros.nodes.conversions import tensor_to_message, time_from_ns
from aegis_ros.nodes.intake import FrameOrigin
from aegis_ros.nodes.vision import VisionPublisher
from aegis_ros.orchestrator import Orchestrator, TaskSummary
from aegis_ros.rationale import Decision, Rule
from aegis_ros.spec import TaskSpec

__all__ = ["ResultPublisher"]

_QUEUE = 256
_IN_FLIGHT = 64


class _TaskOutput:
    """Publishers and decoder of one task."""

    def __init__(self, node: Node, summary: TaskSummary, decoder: Decoder) -> None:
        spec = summary.spec
        self.spec = spec
        self.decoder = decoder
        self.sha256 = summary.model_sha256
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self.results = node.create_publisher(InferenceResult, spec.output.topic, qos)
        self.annotated = (
            node.create_publisher(Image, f"{spec.output.topic}/annotated", 1)
            if spec.output.annotate
            else None
        )
        self.vision = VisionPublisher(node, spec.output.topic)
        self._node = node
        self._mask: Any = None

    def publish_mask(self, header: Header, mask: np.ndarray) -> None:
        """Publish a class for every pixel, uint8 [H, W], as an image beside the result."""
        if self._mask is None:
            self._mask = self._node.create_publisher(Image, f"{self.spec.output.topic}/mask", 1)
        height, width = mask.shape
        message = Image(header=header, height=height, width=width, encoding="mono8", step=width)
        message.data = mask.tobytes()
        self._mask.publish(message)

    def close(self, node: Node) -> None:
        """Give the publishers back."""
        node.destroy_publisher(self.results)
        if self.annotated is not None:
            node.destroy_publisher(self.annotated)
        if self._mask is not None:
            node.destroy_publisher(self._mask)
        self.vision.close(node)


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
        self._origins: dict[tuple[int, int], FrameOrigin] = {}
        self._queue: queue.Queue[tuple[TaskSpec, JobResult] | None] = queue.Queue(_QUEUE)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def follow(
        self, tasks: tuple[TaskSummary, ...], decoder_for: Callable[[TaskSummary], Decoder]
    ) -> None:
        """Have publishers for exactly these tasks."""
        known = {item.task_id for item in tasks}
        with self._lock:
            for task_id in [each for each in self._outputs if each not in known]:
                self._outputs.pop(task_id).close(self._node)
                for key in [key for key in self._origins if key[0] == task_id]:
                    del self._origins[key]
            for item in tasks:
                if item.task_id in self._outputs:
                    continue
                try:
                    output = _TaskOutput(self._node, item, decoder_for(item))
                except Exception as error:  # the others must get their publishers
                    self._orchestrator.fail(
                        item.spec.name,
                        Rule.TOPIC_TYPE,
                        f"results of {item.spec.name} cannot be published on "
                        f"{item.spec.output.topic}: {error}; unregister it and choose another",
                    )
                else:
                    self._outputs[item.task_id] = output

    def remember(self, task_id: int, seq: int, origin: FrameOrigin) -> None:
        """Keep where a job's frame came from until its result is there."""
        self._origins[(task_id, seq)] = origin
        # A job that was skipped never asks for its origin: keep only what can still be in flight.
        self._origins.pop((task_id, seq - _IN_FLIGHT), None)

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
            self._orchestrator.log.tell_often(
                spec.name,
                Decision.LOST,
                Rule.LIMIT,
                f"a result of {spec.name} was dropped: publishing does not keep up "
                f"({_QUEUE} results wait)",
                job=result.seq,
            )

    def close(self) -> None:
        """End the thread and give all publishers back."""
        self._queue.put(None)
        self._thread.join(timeout=5.0)
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
                self._orchestrator.log.tell_often(
                    spec.name,
                    Decision.LOST,
                    Rule.DECODER_FAILED,
                    f"a result of {spec.name} could not be published: {error}",
                    job=result.seq,
                )
            finally:
                result.release()

    def _publish(self, spec: TaskSpec, result: JobResult) -> None:
        origin = self._origins.pop((result.task_id, result.seq), None)
        # Jobs of one task end in order: what is older was skipped, and may hold a whole frame.
        for seq in range(result.seq - _IN_FLIGHT, result.seq):
            self._origins.pop((result.task_id, seq), None)
        with self._lock:
            output = self._outputs.get(result.task_id)
        if origin is None or output is None:
            return
        decoded = self._decode(output, result, origin)
        decoded_ns = time.monotonic_ns()
        message = InferenceResult(
            header=_header(origin),
            task=spec.name,
            job=result.seq,
            model_sha256=output.sha256,
            decoder=spec.output.decoder,
            decoded=to_json(decoded) if decoded is not None else "",
        )
        if spec.output.tensors:
            message.tensors = [
                tensor_to_message(name, values) for name, values in result.outputs.items()
            ]
        response_ns, met = _fill_timing(message.timing, spec, result, origin)
        output.results.publish(message)
        execution_ns = result.execution_ns
        self._orchestrator.published(
            result.task_id, response_ns, execution_ns, met, seq=result.seq, decoded_ns=decoded_ns
        )
        if decoded is not None:
            output.vision.publish(message.header, decoded)
            if isinstance(decoded, SegmentationMask):
                output.publish_mask(message.header, decoded.mask)
            if output.annotated is not None and origin.frame is not None:
                self._annotate(output, message.header, decoded, origin)

    def _decode(
        self, output: _TaskOutput, result: JobResult, origin: FrameOrigin
    ) -> Decoded | None:
        try:
            return output.decoder.decode(
                result.outputs, FrameInfo.of(origin.shape, output.spec.preprocess)
            )
        except Exception as error:  # a plug-in may raise anything; the next frame goes on
            self._orchestrator.log.tell_often(
                output.spec.name,
                Decision.INFORMED,
                Rule.DECODER_FAILED,
                f"decoder {output.spec.output.decoder} failed on job {result.seq} of "
                f"{output.spec.name} ({type(error).__name__}: {error}); its tensors were published",
                job=result.seq,
            )
            return None

    @staticmethod
    def _annotate(
        output: _TaskOutput, header: Header, decoded: Decoded, origin: FrameOrigin
    ) -> None:
        assert output.annotated is not None and origin.frame is not None
        picture = draw(decoded, origin.frame)
        message = Image(
            header=header,
            height=picture.shape[0],
            width=picture.shape[1],
            encoding="rgb8",
            step=picture.shape[1] * 3,
        )
        message.data = picture.tobytes()
        output.annotated.publish(message)


def _no_decoder(summary: TaskSummary) -> Decoder:
    raise LookupError(summary.spec.name)


def _header(origin: FrameOrigin) -> Header:
    header = Header(frame_id=origin.header.frame_id)
    header.stamp.sec = origin.header.sec
    header.stamp.nanosec = min(origin.header.nanosec, 999_999_999)
    return header


def _fill_timing(
    timing: JobTiming, spec: TaskSpec, result: JobResult, origin: FrameOrigin
) -> tuple[int, bool]:
    """Fill in the life of a job; return its response time in nanoseconds and whether it was met."""
    offset = origin.wall_offset_ns
    received = result.received_ns + offset
    stamped = origin.header.stamp_ns if origin.stamp_trusted else received
    published = time.monotonic_ns() + offset
    deadline = stamped + spec.deadline_ns
    timing.stamped = time_from_ns(stamped)
    timing.received = time_from_ns(received)
    timing.released = time_from_ns(result.released_ns + offset)
    timing.started = time_from_ns(result.started_ns + offset)
    timing.finished = time_from_ns(result.finished_ns + offset)
    timing.published = time_from_ns(published)
    timing.deadline = time_from_ns(deadline)
    timing.met = published <= deadline
    timing.execution_ms = result.execution_ns / 1e6
    timing.response_ms = (published - stamped) / 1e6
    return published - stamped, bool(timing.met)
