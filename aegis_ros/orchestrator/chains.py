"""Releases jobs of tasks that are triggered by another task's results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from aegis_ros.decoders import Decoded
from aegis_ros.engine import Channel, KeptFrame, SlotFrame
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.crops import Crops, choose, cut
from aegis_ros.orchestrator.intake import job_of
from aegis_ros.orchestrator.loading import crops_key
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.stamps import FrameTimes
from aegis_ros.rationale.frames import NoFrameSlot
from aegis_ros.rationale.jobs import FirstStageMissed, NoBoxes

__all__ = ["Chains"]

_Submit = Callable[[Sequence[SlotFrame], FrameTimes, list[tuple[int, int, int, int]], object], None]


class Chains:
    """From a result of one task to jobs of those that follow it.

    One thread at a time calls :meth:`follow`: the one that decodes results.

    Args:
        admitted: all tasks.
        channel: returns the open channel of a key.
        log: where it is reported that a task gets no job.
        submit: hands written slots to the engine.
    """

    def __init__(
        self,
        admitted: AdmittedSet,
        channel: Callable[[str], Channel | None],
        log: RationaleLog,
        submit: _Submit,
    ) -> None:
        """Follow nothing yet."""
        self._admitted = admitted
        self._channel = channel
        self._log = log
        self._submit = submit

    def follow(
        self,
        first: str,
        decoded: Decoded,
        kept: KeptFrame,
        times: FrameTimes,
        *,
        arrival_ns: int,
        origin_of: Callable[[Crops], object],
    ) -> None:
        """Release a job of each task that follows, on the crops that a result chooses.

        The job's deadline counts from the arrival of the first task's frame, so that it is that of
        the whole chain. A result without a box that counts releases none.

        Args:
            first: name of the task whose result it is.
            decoded: the result.
            kept: the frame that it was made from.
            times: of that frame.
            arrival_ns: arrival of the first task's job.
            origin_of: returns what is to come back with the result.
        """
        frame = kept.frame.array()
        for entry in self._after(first):
            spec, task = entry.spec, entry.fed
            assert spec.trigger is not None
            if not task.enabled or task.shed:
                continue
            crops = choose(decoded, spec.trigger.crops, frame.shape)
            if crops is None:
                task.statistics.skipped += 1
                self._log.report_often(NoBoxes(spec.name, task.next_seq, first))
                continue
            if not len(crops):
                continue
            task.statistics.receive(time.monotonic_ns())
            channel = self._channel(crops_key(spec))
            slot = None if channel is None else channel.acquire()
            if channel is None or slot is None:
                task.statistics.skipped += 1
                self._log.report_often(NoFrameSlot(spec.name, task.next_seq, first))
                continue
            assert spec.preprocess.size is not None
            place = SlotFrame(channel, slot, (len(crops), *spec.preprocess.size, 3))
            cut(frame, crops, spec.preprocess, place.array())
            ready = times.later(time.monotonic_ns())
            self._submit((place,), ready, [job_of(task, arrival_ns)], origin_of(crops))

    def missed(self, first: str, job: int) -> None:
        """Report that those that follow get nothing from a job that gave no result, or never was.

        May be called from any thread.
        """
        for entry in self._after(first):
            if not entry.fed.enabled or entry.fed.shed:
                continue
            entry.statistics.skipped += 1
            self._log.report_often(
                FirstStageMissed(entry.spec.name, entry.fed.next_seq, first, job)
            )

    def _after(self, first: str) -> Iterator[Entry]:
        return (entry for entry in self._admitted if entry.spec.follows == first)
