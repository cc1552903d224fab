"""Lanes on the GPU: streams, and multiprocessors of their own where the configuration says so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from aegis_ros.backends.cuda.arena import Arena
from aegis_ros.backends.cuda.driver import CudaDriver, CudaError, Partition
from aegis_ros.backends.cuda.frames import FrameMemory
from aegis_ros.backends.cuda.waiting import Waiting, waiting
from aegis_ros.errors import BackendError
from aegis_ros.spec import LaneSpec

__all__ = ["GpuLane", "make_lanes"]

_WHOLE = Partition(0, 0)


@dataclass
class GpuLane:
    """What the networks of one lane share.

    Attributes:
        stream: of the driver.
        waiting: how its thread waits for a segment.
        copies: stream for copies that run beside ``stream``.
        urgency: of both streams, as :meth:`CudaDriver.create_stream` takes it.
        partition: handle of the multiprocessors it has for itself; 0 for all of the GPU.
        sms: how many those are.
        arena: activation memory.
        frames: host memory the GPU reads frames from.
        busy: whether a segment runs.
    """

    stream: int
    waiting: Waiting
    copies: int
    urgency: int
    partition: int
    sms: int
    arena: Arena
    frames: FrameMemory
    busy: bool = False


def make_lanes(
    driver: CudaDriver, lanes: Sequence[LaneSpec], frames: FrameMemory, undo: ExitStack
) -> list[GpuLane]:
    """Return what each lane needs; earlier lanes have the more urgent streams.

    Args:
        driver: the GPU, attached to this thread.
        lanes: as configured. Where one has multiprocessors of its own, those that have none named
            share the rest: what runs on all of the GPU would also run on theirs.
        frames: host memory the GPU reads frames from.
        undo: given what takes it all back.

    Raises:
        BackendError: the GPU cannot be divided so.
        CudaError: as the driver says.
    """
    made = []
    for index, (lane, part) in enumerate(zip(lanes, _parts(driver, lanes, undo), strict=True)):
        urgency = len(lanes) - index
        stream = driver.create_stream(urgency, part.handle)
        undo.callback(driver.destroy_stream, stream)
        copies = driver.create_stream(urgency, part.handle)
        undo.callback(driver.destroy_stream, copies)
        made.append(
            GpuLane(
                stream,
                waiting(driver, lane.wait, undo),
                copies,
                urgency,
                part.handle,
                part.sms,
                Arena(driver),
                frames,
            )
        )
    return made


def _parts(driver: CudaDriver, lanes: Sequence[LaneSpec], undo: ExitStack) -> list[Partition]:
    wanted = [lane.sms for lane in lanes if lane.sms is not None]
    if not wanted:
        return [_WHOLE] * len(lanes)
    try:
        *own, rest = driver.split(wanted)
    except CudaError as error:
        if error.sticky:
            raise
        raise BackendError(
            f"the GPU cannot be divided among the lanes ({error})",
            where="device.lanes.sms",
            value=wanted,
            hint="Use fewer multiprocessors, or remove `sms`. Dividing a GPU takes a driver of "
            "CUDA 12.5 or newer and `pip install cuda-python`",
        ) from error
    for each in (*own, rest):
        undo.callback(driver.unite, each.handle)
    if not rest.handle and len(wanted) < len(lanes):
        raise BackendError(
            "the lanes with `sms` leave no multiprocessor for the others",
            where="device.lanes.sms",
            value=wanted,
            expected="less than the GPU has",
        )
    parts = iter(own)
    return [rest if lane.sms is None else next(parts) for lane in lanes]
