"""The queue of requests that take long: one has its turn, the others wait, any can be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from aegis_ros.errors import StateError
from aegis_ros.orchestrator.types import AdmissionRequest, AdmissionStage, AdmissionSummary
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.rejection import Cancelled, TooManyWaiting
from aegis_ros.sandbox.stopping import Stop, check_stop

__all__ = ["MOST_WAITING", "Admissions", "Ticket", "cancelled_reason"]

MOST_WAITING = 64  # requests from outside


class Ticket:
    """A request in the queue; as a context manager it waits for its turn, and leaves at the end.

    Args:
        task: name of the task.
        request: what is asked for it.
        turn: waits for the turn of the ticket.
        leave: takes it out of the queue.

    Attributes:
        stop: ends the request.
        settled: whether it can no longer be cancelled, because what it asks for has happened;
            changed and read under the orchestrator's lock.
    """

    def __init__(
        self,
        task: str,
        request: AdmissionRequest,
        turn: Callable[[Ticket], None],
        leave: Callable[[Ticket], None],
    ) -> None:
        """Wait."""
        self.task = task
        self.request = request
        self.stop = Stop()
        self.settled = False
        self._turn = turn
        self._leave = leave
        self._began_ns = time.monotonic_ns()
        self._progress = (AdmissionStage.WAITING, 0, 0)
        self._applied = ExitStack()

    def at(self, stage: AdmissionStage, done: int = 0, total: int = 0) -> None:
        """Note how far it is.

        Args:
            stage: what is done for it now.
            done: how much of that, of ``total``; 0 of 0 where that cannot be said.
            total: how much there is to do.

        Raises:
            StoppedError: it was cancelled.
        """
        self._progress = (stage, done, total)
        check_stop()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Do a part of the request before its turn, in that of another one.

        Raises:
            StoppedError: it was cancelled.
        """
        with self.stop.applied():
            self.at(AdmissionStage.PREPARING)
            yield
        self._progress = (AdmissionStage.WAITING, 0, 0)

    def summary(self) -> AdmissionSummary:
        """Return how far it is."""
        stage, done, total = self._progress
        age_s = (time.monotonic_ns() - self._began_ns) / 1e9
        return AdmissionSummary(self.task, self.request, stage, done, total, age_s)

    def __enter__(self) -> Ticket:
        """Wait for the turn; whatever this thread then waits for ends with the request.

        Raises:
            StoppedError: it was cancelled meanwhile.
        """
        with ExitStack() as undo:
            undo.callback(self._leave, self)
            undo.enter_context(self.stop.applied())
            self._turn(self)
            check_stop()
            self._applied = undo.pop_all()
        self._progress = (AdmissionStage.PREPARING, 0, 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the queue."""
        self._applied.close()


def cancelled_reason(ticket: Ticket) -> Cancelled:
    """Return why a request that was cancelled was not carried out."""
    reached = ticket.summary()
    return Cancelled(
        ticket.task, str(ticket.request), str(reached.stage), reached.done, reached.total
    )


class Admissions:
    """Requests one after the other, in the order in which they came; for any thread.

    Nothing else waits for them: what is quick (a removal, a pause) happens beside the request that
    has its turn.
    """

    def __init__(self) -> None:
        """Take no request yet."""
        self._changed = threading.Condition()
        self._tickets: list[Ticket] = []
        self._taken = False
        self._holder: Ticket | None = None  # none where `if_idle` took the turn
        self._open = False
        self._ended = 0  # since the queue was last empty

    @property
    def closed(self) -> bool:
        """Whether no requests are taken."""
        return not self._open

    def open(self) -> None:
        """Take requests from now on."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Take no more requests, and cancel all that are there."""
        with self._changed:
            self._open = False
            tickets = tuple(self._tickets)
        for ticket in tickets:
            ticket.stop.set()

    def wait_until_empty(self, timeout_s: float | None = None) -> bool:
        """Wait until no request is left; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._tickets and not self._taken, timeout_s)

    def enter(self, task: str, request: AdmissionRequest, most: int = MOST_WAITING) -> Ticket:
        """Return a place at the end of the queue; whoever asks for it must enter or leave it.

        Args:
            task: name of the task.
            request: what is asked for it.
            most: places that there can be.

        Raises:
            Refusal: too many wait already.
            StateError: the orchestrator is not configured, or is being cleaned up.
        """
        with self._changed:
            if not self._open:
                raise StateError("the orchestrator is not configured", hint="Configure it first")
            if len(self._tickets) >= most:
                raise Refusal(TooManyWaiting(task[:64], most))
            ticket = Ticket(task, request, self._await_turn, self.leave)
            self._tickets.append(ticket)
            return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give a place back; one that was given back already is ignored."""
        with self._changed:
            if ticket is self._holder:
                self._holder, self._taken = None, False
            if ticket in self._tickets:
                self._tickets.remove(ticket)
                self._ended = self._ended + 1 if self._tickets else 0
            self._changed.notify_all()

    def cancel(self, task: str) -> list[AdmissionSummary]:
        """Cancel what would admit or measure a task; return how far each request was.

        Called under the orchestrator's lock.
        """
        with self._changed:
            found = [
                each
                for each in self._tickets
                if each.task == task
                and each.request is not AdmissionRequest.EVALUATE
                and not each.settled
                and not each.stop.is_set
            ]
        summaries = [each.summary() for each in found]
        for each in found:
            each.stop.set()
        return summaries

    def summaries(self) -> tuple[tuple[AdmissionSummary, ...], int]:
        """Return how far each request is, and how many ended since there was none.

        The first has its turn.
        """
        with self._changed:
            tickets, ended = tuple(self._tickets), self._ended
        return tuple(ticket.summary() for ticket in tickets), ended

    @contextmanager
    def if_idle(self) -> Iterator[bool]:
        """Have all requests wait meanwhile; ``False``, and nothing waits, where there are any."""
        with self._changed:
            idle = not self._tickets and not self._taken
            if idle:
                self._taken = True
        try:
            yield idle
        finally:
            if idle:
                with self._changed:
                    self._taken = False
                    self._changed.notify_all()

    def _await_turn(self, ticket: Ticket) -> None:
        with ticket.stop.calling(self._wake), self._changed:
            self._changed.wait_for(
                lambda: ticket.stop.is_set or (self._tickets[0] is ticket and not self._taken)
            )
            if not ticket.stop.is_set:
                self._holder, self._taken = ticket, True

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
