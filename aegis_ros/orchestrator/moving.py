"""Moves a running task to another lane without losing a frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.planning.relocation import Move
from aegis_ros.rationale.requests import TaskMoved

__all__ = ["Mover"]


class Mover:
    """Makes before it breaks: loads on the new lane, feeds that one, and empties the old one.

    The network is in memory twice meanwhile. The new lane was proven with the task. On the old one
    its last jobs run to their ends: its time there is given away, and its network unloaded, once
    nothing can be pending any more, as after a removal. Called while no other request has its turn.

    Args:
        admitted: the tasks.
        loader: loads and unloads.
        log: where a move is reported.
        ledger: books what becomes of frames, under each id of a task.
        new_id: returns an id that no task has had.
        announce: called when tasks have other ids, before any job runs under them.
        changed: called when the set of a lane has changed.
        unload: takes the network of a former entry out of the engine, and its id out of the set.
        changing: the orchestrator's lock.
    """

    def __init__(
        self,
        admitted: AdmittedSet,
        loader: Loader,
        log: RationaleLog,
        *,
        ledger: Ledger,
        new_id: Callable[[], int],
        announce: Callable[[], None],
        changed: Callable[[], None],
        unload: Callable[[Entry], None],
        changing: threading.RLock,
    ) -> None:
        """Move nothing yet."""
        self._admitted = admitted
        self._loader = loader
        self._log = log
        self._ledger = ledger
        self._new_id = new_id
        self._announce = announce
        self._changed = changed
        self._unload = unload
        self._changing = changing

    def move(self, moves: Sequence[Move], admits: str) -> None:
        """Move tasks; returns when their old lanes are free of them, or when they are gone.

        Args:
            moves: which ones, and where to.
            admits: the task that fits by that.

        Raises:
            AegisError, OSError, MemoryError: one cannot be loaded there; all are where they were.
        """
        for index, move in enumerate(moves):
            try:
                self._move(move, admits)
            except BaseException:
                self.move_back(moves[:index], admits)
                raise

    def move_back(self, moves: Sequence[Move], instead_of: str) -> None:
        """Move tasks to where they were; one that cannot be loaded there stays where it is.

        Args:
            moves: those that were made.
            instead_of: the task that they were made for.
        """
        for move in reversed(moves):
            with suppress(AegisError, OSError, MemoryError):
                self._move(move.back(), instead_of, back=True)

    def _move(self, move: Move, admits: str, *, back: bool = False) -> None:
        before = self._admitted.get(move.task)
        if before is None or before.options is None:
            return
        candidate = replace(before.options.on(move.after), block_bytes=move.block_after)
        after = replace(before, task_id=self._new_id(), candidate=candidate, lane=move.after)
        self._loader.load(after)
        with self._changing:
            removed = self._admitted.get(move.task) is not before
            if not removed:
                self._ledger.open(after.task_id, move.task, after.statistics)
                self._admitted.move(before, after)
                self._announce()
                # The next frame is a job of the new lane: one store, which the intake reads once
                # a job.
                before.fed.task_id = after.task_id
                free_ns = self._admitted.vacate(before)
                self._changed()
        if removed:
            self._unload(after)
            return
        time.sleep(max(0, free_ns - time.monotonic_ns()) / 1e9)
        self._unload(before)
        self._log.report(
            TaskMoved(
                task=move.task,
                lane=move.after,
                before=move.before,
                admits=admits,
                work_ns=candidate.work_ns,
                utilization_after=self._admitted.utilization(move.after),
                back=back,
            )
        )
