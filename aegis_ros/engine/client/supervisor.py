"""Keeps an engine process alive: starts it, watches it, and replaces it when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.contents import Contents
from aegis_ros.engine.client.history import GIVE_UP_LOSSES, GIVE_UP_WITHIN_NS, CrashHistory
from aegis_ros.engine.client.in_flight import InFlight
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.watch import Trouble, trouble
from aegis_ros.engine.events import EngineEvent, JobSkip
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.rationale.engine import EngineBack, EngineGivenUp, EngineLost, EngineNotBack
from aegis_ros.spec import DeviceSpec

__all__ = ["Supervisor"]

_WATCH_INTERVAL_S = 0.1
_READER_GRACE_S = 0.5
_STOP_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outage:
    lost_ns: int
    retry_ns: int
    trouble: Trouble


class Supervisor:
    """One thread, that lives as long as the engine is wanted.

    Args:
        device: backend, lanes and priority.
        trace: ring that every process writes its trace to.
        contents: what every process must hold.
        in_flight: gets the link to the process; its jobs are lost with it.
        callbacks: hear of losses and recoveries.
        read: reads the records of a process until it is gone; runs on a thread of its own.

    Attributes:
        restarts: how often the engine came back.
        restart_ns: how long that took the last time.
    """

    def __init__(
        self,
        device: DeviceSpec,
        *,
        trace: SharedMemory | None,
        contents: Contents,
        in_flight: InFlight,
        callbacks: Callbacks,
        read: Callable[[EngineProcess], None],
    ) -> None:
        """Start nothing yet."""
        self._device = device
        self._trace = trace
        self._contents = contents
        self._in_flight = in_flight
        self._callbacks = callbacks
        self._read = read
        self._thread: threading.Thread | None = None
        self._reader: threading.Thread | None = None
        self._life = threading.Lock()  # start, stop: one at a time
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._history = CrashHistory()
        self._outage: _Outage | None = None
        self._loading: tuple[int, ...] = ()
        self._doubted = False
        self.restarts = 0
        self.restart_ns = 0

    @property
    def wanted(self) -> bool:
        """Whether the engine runs, or will again."""
        return self._thread is not None

    @property
    def stopping(self) -> bool:
        """Whether the engine is being stopped."""
        return self._stopping.is_set()

    @property
    def quarantined(self) -> frozenset[int]:
        """Ids of the tasks that crashed the engine too often."""
        return self._history.quarantined

    def forgive(self, task_id: int) -> None:
        """Forget the crashes of a task that is there no more."""
        self._history.forget(task_id)

    def start(self) -> None:
        """Start an engine process.

        Raises:
            EngineError: it does not start, or runs already.
        """
        with self._life:
            if self._thread is not None:
                raise EngineError("the engine is already running")
            self._stopping = threading.Event()
            self._wake.clear()
            self._history = CrashHistory()
            self._outage = None
            started: Future[None] = Future()
            thread = threading.Thread(
                target=self._supervise, args=(started,), name="engine-supervisor", daemon=True
            )
            thread.start()
            started.result()
            self._thread = thread

    def stop(self) -> None:
        """End the engine; always returns, from any thread."""
        with self._life:
            thread, self._thread = self._thread, None
            self._stopping.set()
            self._wake.set()
        process = self._in_flight.process
        if process is not None:
            process.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_STOP_TIMEOUT_S)
        self.stopped()

    def stopped(self) -> None:
        """Report all jobs in flight as skipped because the engine was stopped."""
        for (task_id, seq), job in self._in_flight.take_all():
            text = "the engine was stopped"
            self._callbacks.skip(JobSkip(task_id, seq, Rule.OPERATOR, text, job.origin))

    def _supervise(self, started: Future[None]) -> None:
        stopping = self._stopping  # of this start: a later one has its own
        try:
            self._bring_up()
        except Exception as error:  # whatever it is, start() must raise it
            started.set_exception(error)
            return
        started.set_result(None)
        while not stopping.is_set():
            self._wake.wait(_WATCH_INTERVAL_S)
            self._wake.clear()
            if stopping.is_set():
                break
            try:
                self._look_after()
            except Exception:  # the one thread that must not end
                _log.exception("the engine's supervisor continues after an error")
        process = self._in_flight.process
        if process is not None:
            process.stop()
            self._retire(process)

    def _look_after(self) -> None:
        process = self._in_flight.process
        if process is not None:
            if process.disconnected and process.ended() is None:
                process.kill()
            code = process.ended()
            loaded = self._contents.networks()
            found = trouble(code, process.page, loaded, time.monotonic_ns())
            # A machine that stood still as a whole looks like a hang, once.
            certain = code is not None or self._doubted
            self._doubted = found is not None and not certain
            if found is None:
                process.flush()
            elif certain:
                self._lose(process, found)
        if self._outage is not None and time.monotonic_ns() >= self._outage.retry_ns:
            self._come_back(self._outage)

    def _bring_up(self) -> tuple[tuple[int, str], ...]:
        """Start a process and load everything; return (task, reason) of what failed to load."""
        with self._contents.changing:
            process = EngineProcess(self._device, self._trace)
            try:
                self._contents.open_in(process)
                reader = threading.Thread(
                    target=self._read_then_wake, args=(process,), name="engine-results", daemon=True
                )
                reader.start()
                self._reader = reader
                self._in_flight.connect(process)
                # Results flow as soon as they can: before everything is loaded.
                return self._contents.load_into(
                    process, without=self._history.quarantined, loading=self._note_loading
                )
            except (EngineError, OSError) as error:
                process.kill()
                self._retire(process)
                raise EngineError(f"the engine cannot be made ready ({error})") from error

    def _read_then_wake(self, process: EngineProcess) -> None:
        self._read(process)
        self._wake.set()

    def _note_loading(self, task_ids: tuple[int, ...]) -> None:
        self._loading = task_ids

    def _lose(self, process: EngineProcess, found: Trouble) -> None:
        lost_ns = time.monotonic_ns()
        process.kill()
        self._retire(process)
        if self._stopping.is_set():
            self.stopped()
            return
        lost = tuple(key for key, _ in self._in_flight.take_all())
        guilty = self._history.note(lost_ns, found.suspects)
        self._callbacks.event(
            EngineEvent(
                EngineLost(found.cause, len(lost), tuple(self._contents.names(guilty))),
                lost,
                quarantined=guilty,
                cause=found.cause,
                lane=found.lane,
                stood_ns=max(0, lost_ns - found.since_ns),
            )
        )
        self._plan(lost_ns, lost_ns, found)

    def _plan(self, lost_ns: int, now_ns: int, found: Trouble) -> None:
        """Decide when to start again, if at all."""
        if self._history.hopeless(now_ns):
            self._outage = None
            self._callbacks.event(EngineEvent(EngineGivenUp(GIVE_UP_LOSSES, GIVE_UP_WITHIN_NS)))
            return
        self._outage = _Outage(lost_ns, now_ns + self._history.delay_ns(now_ns), found)

    def _come_back(self, outage: _Outage) -> None:
        try:
            failed = self._bring_up()
        except EngineError as error:
            if self._stopping.is_set():
                return
            now = time.monotonic_ns()
            lost = tuple(key for key, _ in self._in_flight.take_all())
            guilty = self._history.note(now, self._loading)
            self._loading = ()
            event = EngineEvent(EngineNotBack(str(error)), lost, quarantined=guilty)
            self._callbacks.event(event)
            self._plan(outage.lost_ns, now, outage.trouble)
            return
        self._outage = None
        duration = time.monotonic_ns() - outage.lost_ns
        self.restarts += 1
        self.restart_ns = duration
        self._callbacks.event(
            EngineEvent(
                self._recovery(duration, failed),
                recovered=True,
                duration_ns=duration,
                quarantined=tuple(sorted(self._history.quarantined)),
                failed=failed,
                cause=outage.trouble.cause,
                lane=outage.trouble.lane,
                stood_ns=max(0, outage.lost_ns - outage.trouble.since_ns),
            )
        )

    def _recovery(self, duration_ns: int, failed: tuple[tuple[int, str], ...]) -> EngineBack:
        """Return what is there again and what is not."""
        process = self._in_flight.process
        loaded = self._contents.networks()
        return EngineBack(
            duration_ns,
            0 if process is None else len(process.outputs),
            tuple(spec.name for task, spec in loaded.items() if task in self._history.quarantined),
            tuple((loaded[task].name, reason) for task, reason in failed if task in loaded),
        )

    def _retire(self, process: EngineProcess) -> None:
        """Let go of a dead process once its last records are read."""
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            reader.join(timeout=_READER_GRACE_S)
        self._in_flight.disconnect(process)
        process.close()
