"""Releases jobs of tasks that are triggered by another task's results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from aegis_ros.decoders import Decoded
from aegis_ros.engine import Channel, KeptFrame, SlotFrame
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.crops import Crops, choose, cut
from aegis_ros.orchestrator.fed_task import FedTask
from aegis_ros.orchestrator.intake import job_of
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.stamps import FrameTimes
from aegis_ros.planning.streams import crops_key
from aegis_ros.rationale import Reason
from aegis_ros.rationale.frames import BadFrame, NoFrameSlot
from aegis_ros.rationale.jobs import FirstStageMissed, NoBoxes

__all__ = ["Chains"]

_Submit = Callable[[Sequence[SlotFrame], FrameTimes, list[tuple[int, int, int, int]], object], None]


class Chains:
    """From a result of one task to jobs of those that follow it.

    One thread at a time calls :meth:`follow`: the one that decodes results.

    Args:
        admitted: all tasks.
        channel: returns the open channel of a key.
        ledger: books what a task gets no job of.
        submit: hands written slots to the engine.
    """

    def __init__(
        self,
        admitted: AdmittedSet,
        channel: Callable[[str], Channel | None],
        ledger: Ledger,
        submit: _Submit,
    ) -> None:
        """Follow nothing yet."""
        self._admitted = admitted
        self._channel = channel
        self._ledger = ledger
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
            if not task.enabled or task.kept_out:
                continue
            try:
                crops = choose(decoded, spec.trigger.crops, frame.shape)
            except Exception as error:  # a decoder may find anything; the other tasks go on
                self._gated(task, _bad(task, first, error))
                continue
            if crops is None:
                self._gated(task, NoBoxes(spec.name, task.next_seq, first))
                continue
            if not len(crops):
                continue
            channel = self._channel(crops_key(spec))
            slot = None if channel is None else channel.acquire()
            if channel is None or slot is None:
                self._gated(task, NoFrameSlot(spec.name, task.next_seq, first))
                continue
            task.statistics.receive(time.monotonic_ns())
            assert spec.preprocess.size is not None
            place = SlotFrame(channel, slot, (len(crops), *spec.preprocess.size, 3))
            try:
                cut(frame, crops, spec.preprocess, place.array())
            except Exception as error:  # a decoder may find anything; the other tasks go on
                place.drop()
                self._ledger.gated(task, _bad(task, first, error), time.monotonic_ns())
                continue
            ready = times.later(time.monotonic_ns())
            self._submit((place,), ready, [job_of(task, arrival_ns)], origin_of(crops))

    def missed(self, first: str, job: int) -> None:
        """Report that those that follow get nothing from a job that gave no result, or never was.

        May be called from any thread.
        """
        for entry in self._after(first):
            if not entry.fed.enabled or entry.fed.kept_out:
                continue
            reason = FirstStageMissed(entry.spec.name, entry.fed.next_seq, first, job)
            self._gated(entry.fed, reason)

    def _gated(self, task: FedTask, reason: Reason) -> None:
        now_ns = time.monotonic_ns()
        task.statistics.receive(now_ns)
        self._ledger.gated(task, reason, now_ns)

    def _after(self, first: str) -> Iterator[Entry]:
        return (entry for entry in self._admitted if entry.spec.follows == first)


def _bad(task: FedTask, first: str, error: Exception) -> BadFrame:
    """Return why a result of the first task cannot be cut."""
    problem = f"{type(error).__name__}: {error}"
    return BadFrame(task.spec.name, task.next_seq, first, problem)
