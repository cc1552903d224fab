"""Keeps an engine process alive: starts it, watches it, and replaces it when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.contents import Contents
from aegis_ros.engine.client.history import GIVE_UP_LOSSES, GIVE_UP_WITHIN_NS, CrashHistory
from aegis_ros.engine.client.in_flight import InFlight
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.speeches import Speeches
from aegis_ros.engine.client.watch import Trouble, trouble
from aegis_ros.engine.events import EngineEvent, JobSkip
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.speech import Ending
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.rationale.engine import EngineBack, EngineGivenUp, EngineLost, EngineNotBack
from aegis_ros.spec import DeviceSpec

__all__ = ["Supervisor"]

_WATCH_INTERVAL_S = 0.1
_READER_GRACE_S = 0.5
_STOP_TIMEOUT_S = 10.0
_END_S = 0.5
_STANDBY_AFTER_NS = 2_000_000_000  # when what was lost has been loaded again, if all goes well
_STANDBY_RETRY_NS = 10_000_000_000

_log = logging.getLogger(__name__)


class _Killed(EngineError):
    """Somebody else ended the engine before it was ready."""


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
        speeches: what language models are asked; their answers are lost with it.
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
        speeches: Speeches,
        callbacks: Callbacks,
        read: Callable[[EngineProcess], None],
    ) -> None:
        """Start nothing yet."""
        self._device = device
        self._trace = trace
        self._contents = contents
        self._in_flight = in_flight
        self._speeches = speeches
        self._callbacks = callbacks
        self._read = read
        self._thread: threading.Thread | None = None
        self._reader: threading.Thread | None = None
        self._life = threading.Lock()  # start, stop: one at a time
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._once_more = threading.Event()
        self._history = CrashHistory()
        self._outage: _Outage | None = None
        self._given_up: _Outage | None = None
        self._loading: tuple[int, ...] = ()
        self._doubted = False
        self._standby: EngineProcess | None = None
        self._standby_at_ns = 0
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
    def given_up(self) -> bool:
        """Whether the engine was lost too often, and stays away until :meth:`try_again`."""
        return self._given_up is not None

    @property
    def standby_pid(self) -> int:
        """Process id of the engine that waits to take over, 0 for none."""
        standby = self._standby
        return 0 if standby is None else standby.pid

    @property
    def quarantined(self) -> frozenset[int]:
        """Ids of the tasks that crashed the engine too often."""
        return self._history.quarantined

    def forgive(self, task_id: int) -> None:
        """Forget the crashes of a task that is there no more."""
        self._history.forget(task_id)

    def try_again(self) -> None:
        """Have an engine that was given up started once more; returns at once."""
        self._once_more.set()
        self._wake.set()

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
            self._once_more.clear()
            self._history = CrashHistory()
            self._outage = self._given_up = None
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
        self._speeches.end_all(Ending.REMOVED, "the engine was stopped")

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
        self._dismiss_standby()

    def _look_after(self) -> None:
        self._speeches.settle()
        process = self._in_flight.process
        if process is not None:
            # Sockets close a moment before a process has ended.
            if process.disconnected and process.wait(_END_S) is None:
                process.kill()
            code = process.ended()
            found = trouble(
                code,
                process.page,
                self._contents.loaded(),
                time.monotonic_ns(),
                outside=process.killed_from_outside(),
            )
            # A machine that stood still as a whole looks like a hang, once.
            certain = code is not None or self._doubted
            self._doubted = found is not None and not certain
            if found is None:
                process.flush()
                self._keep_standby()
            elif certain:
                self._lose(process, found)
        if self._once_more.is_set():
            self._once_more.clear()
            if self._given_up is not None:
                self._outage, self._given_up = self._given_up, None
                self._history.start_over()
        if self._outage is not None and time.monotonic_ns() >= self._outage.retry_ns:
            self._come_back(self._outage)

    def _bring_up(self) -> tuple[tuple[int, str], ...]:
        """Start a process and load everything; return (task, reason) of what failed to load."""
        with self._contents.changing:
            process = self._begun()
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
                process.wait(_END_S)
                kind = _Killed if process.killed_from_outside() else EngineError
                process.kill()
                self._retire(process)
                raise kind(f"the engine cannot be made ready ({error})") from error

    def _begun(self) -> EngineProcess:
        """Return a process that can take requests: the one that stands by, or a new one."""
        self._standby_at_ns = time.monotonic_ns() + _STANDBY_AFTER_NS
        standby, self._standby = self._standby, None
        if standby is not None:
            with suppress(EngineError):  # it died, or cannot begin: a new one may
                standby.begin(self._trace)
                return standby
        process = EngineProcess(self._device)
        process.begin(self._trace)
        return process

    def _keep_standby(self) -> None:
        """Have a process stand by while the engine runs: starting Python is most of a restart."""
        standby, now = self._standby, time.monotonic_ns()
        if standby is not None:
            if standby.ended() is None:
                return
            self._dismiss_standby()
            self._standby_at_ns = now + _STANDBY_RETRY_NS
        if not self._device.standby or now < self._standby_at_ns:
            return
        self._standby_at_ns = now + _STANDBY_RETRY_NS
        self._standby = EngineProcess(self._device, standby=True)

    def _dismiss_standby(self) -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.kill()
            standby.close()

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
        self._speeches.end_all(Ending.LOST, "the engine was lost")
        # Who was killed from outside says nothing about the tasks that ran, or about the next one.
        outside = process.killed_from_outside()
        guilty = () if outside else self._history.note(lost_ns, found.suspects)
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
        self._plan(lost_ns, lost_ns, found, outside=outside)

    def _plan(self, lost_ns: int, now_ns: int, found: Trouble, *, outside: bool) -> None:
        """Decide when to start again, if at all."""
        if not outside and self._history.hopeless(now_ns):
            self._outage, self._given_up = None, _Outage(lost_ns, now_ns, found)
            self._callbacks.event(EngineEvent(EngineGivenUp(GIVE_UP_LOSSES, GIVE_UP_WITHIN_NS)))
            return
        delay_ns = 0 if outside else self._history.delay_ns(now_ns)
        self._outage = _Outage(lost_ns, now_ns + delay_ns, found)

    def _come_back(self, outage: _Outage) -> None:
        try:
            failed = self._bring_up()
        except EngineError as error:
            if self._stopping.is_set():
                return
            now = time.monotonic_ns()
            lost = tuple(key for key, _ in self._in_flight.take_all())
            self._speeches.end_all(Ending.LOST, "the engine was lost")
            outside = isinstance(error, _Killed)
            guilty = () if outside else self._history.note(now, self._loading)
            self._loading = ()
            event = EngineEvent(EngineNotBack(str(error)), lost, quarantined=guilty)
            self._callbacks.event(event)
            self._plan(outage.lost_ns, now, outage.trouble, outside=outside)
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
        loaded = self._contents.loaded()
        return EngineBack(
            duration_ns,
            0 if process is None else len(process.outputs) + len(process.generators),
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
