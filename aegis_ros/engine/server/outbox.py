"""Records on their way from the engine's loop to the node."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable

from aegis_ros.engine.server.loaded import JobFrame
from aegis_ros.engine.wire import (
    DONE,
    ENDINGS,
    MAX_RECORD_BYTES,
    OVERRUN,
    PARTIAL,
    POLICIES,
    RESTORED,
    SKIPPED,
    SPOKEN,
    Kind,
    skip_code,
)
from aegis_ros.network.generator.ending import Ending
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Finished, Job, Overrun

__all__ = ["Outbox"]


class Outbox:
    """Sends records; keeps, in order, those for which the socket is full. Not thread-safe.

    Args:
        frames: non-blocking SOCK_SEQPACKET socket to the node.
        epoll: where the loop waits; asked for writability while records wait.
        gone: called when the node is gone.
    """

    def __init__(
        self, frames: socket.socket, epoll: select.epoll, gone: Callable[[], None]
    ) -> None:
        """Hold no record."""
        self._frames = frames
        self._epoll = epoll
        self._gone = gone
        self._unsent: deque[bytes] = deque()

    def done(self, finished: Finished, frame: JobFrame, finished_ns: int) -> None:
        """Hand the outputs of a job to the node."""
        job = finished.job
        self._send(
            DONE.pack(
                Kind.DONE,
                finished.early,
                job.task_id,
                job.seq,
                frame.output,
                job.ready_ns,
                frame.started_ns,
                finished_ns,
                frame.execution_ns,
            )
        )

    def partial(self, job: Job, frame: JobFrame, outputs: int) -> None:
        """Report outputs that are complete before the end (bit 0 for the first)."""
        self._send(
            PARTIAL.pack(Kind.PARTIAL, job.task_id, job.seq, frame.output, frame.partials, outputs)
        )

    def overran(self, overrun: Overrun) -> None:
        """Report a step that took longer than its budget."""
        job = overrun.job
        self._send(
            OVERRUN.pack(
                Kind.OVERRUN,
                POLICIES.index(overrun.applied),
                overrun.sheds,
                overrun.absorbed,
                overrun.lane,
                job.task_id,
                job.seq,
                overrun.step,
                min(overrun.skips, 2**32 - 1),
                overrun.taken_ns,
                overrun.budget_ns,
                overrun.used_ns,
            )
        )

    def restored(self, lane: int, shed_ns: int) -> None:
        """Report that a lane takes all tasks again, and how long it had shed."""
        self._send(RESTORED.pack(Kind.RESTORED, lane, shed_ns))

    def skipped(self, job: Job, rule: Rule, text: str, *, stopped: bool) -> None:
        """Report that a job will not end, and whether it was stopped for exceeding its budget."""
        head = SKIPPED.pack(Kind.SKIPPED, skip_code(rule), stopped, job.task_id, job.seq)
        self._send(head + text.encode(errors="replace")[: MAX_RECORD_BYTES - len(head)])

    def spoken(
        self, task_id: int, slot: int, number: int, count: int, *, ending: Ending | None, text: str
    ) -> None:
        """Report how many tokens the answer in a slot has, and why it ended, if it has."""
        head = SPOKEN.pack(Kind.SPOKEN, ENDINGS.index(ending), task_id, slot, count, number)
        self._send(head + text.encode(errors="replace")[: MAX_RECORD_BYTES - len(head)])

    def flush(self) -> None:
        """Send what waits; to be called when the socket is writable."""
        while self._unsent:
            try:
                self._frames.send(self._unsent[0])
            except BlockingIOError:
                return
            self._unsent.popleft()
        self._epoll.modify(self._frames.fileno(), select.EPOLLIN)

    def _send(self, record: bytes) -> None:
        if self._unsent:
            self._unsent.append(record)
            return
        try:
            self._frames.send(record)
        except BlockingIOError:
            # Bounded: every record stands for a slot, or a token of one, which are bounded.
            self._unsent.append(record)
            self._epoll.modify(self._frames.fileno(), select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            self._gone()
