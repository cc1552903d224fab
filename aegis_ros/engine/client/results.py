"""Reads the records of an engine process and turns them into what the node hears."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.contents import Contents
from aegis_ros.engine.client.in_flight import InFlight
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.speeches import Speeches
from aegis_ros.engine.events import JobResult, JobSkip, OverrunEvent, PartialResult
from aegis_ros.engine.wire import (
    DONE,
    MAX_RECORD_BYTES,
    OUTPUT_FREE,
    OVERRUN,
    PARTIAL,
    POLICIES,
    RESTORED,
    SKIP_RULES,
    SKIPPED,
    Kind,
)
from aegis_ros.rationale import Rule

__all__ = ["ResultReader"]

_log = logging.getLogger(__name__)


class ResultReader:
    """Hands out results and skips, on a thread of its own for each process.

    Args:
        in_flight: jobs that the records are about.
        contents: networks, for the names of early exits.
        speeches: what language models are asked.
        callbacks: hear of them.
    """

    def __init__(
        self,
        in_flight: InFlight,
        contents: Contents,
        speeches: Speeches,
        callbacks: Callbacks,
    ) -> None:
        """Read nothing yet."""
        self._in_flight = in_flight
        self._contents = contents
        self._speeches = speeches
        self._callbacks = callbacks

    def read(self, process: EngineProcess) -> None:
        """Read until the process is gone."""
        buffer = bytearray(MAX_RECORD_BYTES)
        while True:
            try:
                size = process.frames.recv_into(buffer)
            except OSError:
                size = 0
            if size == 0:
                process.disconnected = True
                return
            try:
                self._take(process, buffer, size)
            except Exception:  # without this thread no job would ever end
                _log.exception("the reader of the engine's results continues after an error")

    def _take(self, process: EngineProcess, buffer: bytearray, size: int) -> None:
        if buffer[0] == Kind.DONE:
            self._done(process, buffer)
        elif buffer[0] == Kind.SKIPPED:
            self._skipped(buffer, size)
        elif buffer[0] == Kind.SPOKEN:
            self._speeches.spoken(buffer, size)
        elif buffer[0] == Kind.PARTIAL:
            self._partial(process, buffer)
        elif buffer[0] == Kind.OVERRUN:
            self._overran(buffer)
        elif buffer[0] == Kind.RESTORED:
            _, lane, duration_ns = RESTORED.unpack_from(buffer)
            self._callbacks.restored(lane, duration_ns)
            self._speeches.restored(lane)

    def _done(self, process: EngineProcess, buffer: bytearray) -> None:
        _, early, task_id, seq, slot, *times = DONE.unpack_from(buffer)
        released, started, finished, execution = times
        job = self._in_flight.take(task_id, seq)
        if job is None:
            self._speeches.done(process, task_id, seq, slot)
            return
        slots, spec = process.outputs.get(task_id), self._contents.network(task_id)
        if slots is None or (early and spec is None):
            text = "the task was removed"
            self._callbacks.skip(JobSkip(task_id, seq, Rule.OPERATOR, text, job.origin))
            return
        outputs, left_out = slots.views(slot), slots.left_out(slot)
        if early and spec is not None:
            taken = spec.compiled.exit_outputs(spec.early_exit)
            outputs = {name: outputs[source] for name, source in taken.items()}
            # What is not complete by then has the rows of an earlier job.
            left_out = tuple(
                replace(each, output=name)
                for name, source in taken.items()
                for each in left_out
                if each.output == source
            )

        def release() -> None:
            process.give_back(OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task_id, slot))

        self._callbacks.result(
            JobResult(
                task_id,
                seq,
                job.arrival_ns,
                job.received_ns,
                job.deadline_ns,
                released,
                started,
                finished,
                execution,
                outputs,
                early,
                job.origin,
                time.monotonic_ns(),
                release,
                left_out,
            )
        )

    def _partial(self, process: EngineProcess, buffer: bytearray) -> None:
        _, task_id, seq, slot, number, complete = PARTIAL.unpack_from(buffer)
        job, slots = self._in_flight.get(task_id, seq), process.outputs.get(task_id)
        if job is None or slots is None:
            return
        outputs = {
            name: values
            for index, (name, values) in enumerate(slots.views(slot).items())
            if complete >> index & 1
        }
        self._callbacks.partial(PartialResult(task_id, seq, number, outputs, job.origin))

    def _skipped(self, buffer: bytearray, size: int) -> None:
        _, rule, stopped, task_id, seq = SKIPPED.unpack_from(buffer)
        text = bytes(buffer[SKIPPED.size : size]).decode(errors="replace")
        job = self._in_flight.take(task_id, seq)
        if job is None:
            self._speeches.skipped(task_id, seq, SKIP_RULES[rule], text)
        else:
            skip = JobSkip(task_id, seq, SKIP_RULES[rule], text, job.origin, stopped=stopped)
            self._callbacks.skip(skip)

    def _overran(self, buffer: bytearray) -> None:
        (_, policy, sheds, absorbed, lane, task_id, seq, segment, skips, taken, budget, used) = (
            OVERRUN.unpack_from(buffer)
        )
        applied = POLICIES[policy]
        self._callbacks.overrun(
            OverrunEvent(
                task_id, seq, lane, segment, taken, budget, used, applied, skips, sheds, absorbed
            )
        )
