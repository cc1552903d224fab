"""Starts one engine process and talks to it; knows nothing of restarts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TypeVar

import msgspec

from aegis_ros.backends.lanes import lanes_to_open
from aegis_ros.engine.client.last_words import LastWords
from aegis_ros.engine.control_socket import receive, send
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import (
    Answer,
    Begin,
    EngineSettings,
    Hello,
    Info,
    Refused,
    Request,
    decode_answer,
)
from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import EngineInfo
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.children import child_environment
from aegis_ros.sandbox.ctrl_c import kept_from_children
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineProcess"]

_START_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 120.0
_LAST_WORDS_S = 5.0  # for an engine that cannot start to say why, and end
# A person sent it, or the kernel because memory ran out.
_FROM_OUTSIDE = frozenset([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
_SOCKET_BYTES = 4 * 1024 * 1024
# glibc: never give memory back to the kernel between runs, so that no run pays to get it again.
_ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(16 * 1024 * 1024),
}
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_Wanted = TypeVar("_Wanted", bound=Answer)


class EngineProcess:
    """An engine: its pid, its two sockets, its page and the output slots it writes to.

    It stands by, with everything imported and no device opened, until :meth:`begin`. It dies with
    the thread that makes this object, so that thread must live on.

    Args:
        device: backend, lanes and priority.
        standby: whether it gives way to this process until it begins, since another engine runs.

    Attributes:
        info: what it said of itself, after :meth:`begin`.

    Raises:
        EngineError: it cannot be started.
    """

    info: EngineInfo

    def __init__(self, device: DeviceSpec, *, standby: bool = False) -> None:
        """Start the process."""
        self._lanes = lanes_to_open(device)
        frames, theirs_frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, theirs_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (frames, theirs_frames):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self.page = EnginePage(len(device.lanes))
        self.outputs: dict[int, OutputSlots] = {}
        self.generators: set[int] = set()  # language models it has loaded
        self.frames = frames
        self.disconnected = False  # set by whoever reads `frames` to its end
        self._control = control
        self._killed = False  # by this side
        self._given: tuple[int, os.sched_param] | None = None  # its class before it gave way
        self._asking = threading.Lock()
        self._unsent: deque[bytes] = deque()
        self._words = LastWords()
        settings = EngineSettings.of(
            device,
            # Those of the process: the thread that starts the engine may keep off lanes.
            cores=tuple(sorted(os.sched_getaffinity(os.getpid()))),
            frames_fd=theirs_frames.fileno(),
            control_fd=theirs_control.fileno(),
            parent=os.getpid(),
            stderr_fd=self._words.stderr_fd,
        )
        given = [theirs_frames.fileno(), theirs_control.fileno(), self._words.stderr_fd]
        try:
            # -S: the paths are handed over, and site's start-up hooks (which may execute the
            # interpreter anew) are not needed.
            with kept_from_children():
                self._process = subprocess.Popen(
                    [sys.executable, "-S", "-m", "aegis_ros.engine", settings.to_argument()],
                    pass_fds=[each for each in given if each >= 0],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stderr=self._words.fileno(),
                    process_group=0,
                )
        except OSError as error:
            for each in (frames, control):
                each.close()
            self.page.close()
            self._words.pass_on()
            raise EngineError("the engine cannot be started", value=error) from error
        finally:
            self._words.handed_over()
            theirs_frames.close()
            theirs_control.close()
        self._give_way(standby)

    def begin(self, trace: SharedMemory | None = None) -> None:
        """Have it open its lanes, and wait until it can take requests.

        Args:
            trace: ring its loop writes its trace to.

        Raises:
            EngineError: it cannot; the process is gone.
        """
        self._resume()
        try:
            begin = Begin(self._lanes, 0 if trace is None else trace.size)
            shared = [self.page.memory] + ([] if trace is None else [trace])
            send(self._control, begin, [memory.fd for memory in shared])
            self.info = self.ask(Hello(), Info, timeout_s=_START_TIMEOUT_S).info
        except (OSError, EngineError) as error:
            raise self._not_started(error) from error
        self._words.pass_on()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(
        self,
        request: Request,
        wanted: type[_Wanted],
        fds: tuple[int, ...] = (),
        timeout_s: float = _ANSWER_TIMEOUT_S,
    ) -> _Wanted:
        """Send one request and return the answer, of the kind that is wanted; one at a time.

        An engine that does not answer in time is killed: what it would answer later could not
        be distinguished from the answer to the next request.

        Raises:
            EngineError: the engine says no; by ``Rule.ENGINE_RESTART`` when it is no longer there.
        """
        with self._asking:
            try:
                self._control.settimeout(timeout_s)
                send(self._control, request, fds)
                received = receive(self._control)
            except TimeoutError as error:
                self._signal()
                raise EngineError(
                    f"the engine did not answer {type(request).__name__} within {timeout_s:.0f} s",
                    rule=Rule.ENGINE_RESTART,
                ) from error
            except OSError as error:
                raise EngineError(
                    f"the engine is gone ({error})", rule=Rule.ENGINE_RESTART
                ) from error
            except ValueError as error:
                raise EngineError(f"the request cannot be exchanged ({error})") from error
        if received is None:
            raise EngineError("the engine is gone", rule=Rule.ENGINE_RESTART)
        try:
            answer = decode_answer(received[0])
        except msgspec.DecodeError as error:
            raise EngineError(f"the engine's answer cannot be read ({error})") from error
        if isinstance(answer, Refused):
            raise answer.error()
        if not isinstance(answer, wanted):
            raise EngineError(
                "the engine sent an unexpected answer",
                value=type(answer).__name__,
                expected=wanted.__name__,
            )
        return answer

    def submit(self, record: bytes) -> None:
        """Send one frame record; never waits.

        Raises:
            BlockingIOError: the engine does not keep up.
            OSError: the engine is gone.
        """
        self.frames.send(record, socket.MSG_DONTWAIT)

    def give_back(self, record: bytes) -> None:
        """Send a record that must not be lost, now or with the next :meth:`flush`."""
        self._unsent.append(record)
        self.flush()

    def flush(self) -> None:
        """Send what :meth:`give_back` could not."""
        while self._unsent:
            try:
                record = self._unsent.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                self.frames.send(record, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._unsent.appendleft(record)
                return
            except OSError:
                self._unsent.clear()  # the engine is gone, and its slots with it
                return

    def ended(self) -> int | None:
        """Return the exit code, ``None`` while it runs."""
        return self._process.poll()

    def killed_from_outside(self) -> bool:
        """Return whether a signal that no fault of a program raises ended it, and not from here."""
        code = self.ended()
        return code is not None and -code in _FROM_OUTSIDE and not self._killed

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; return the exit code, ``None`` when it still runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process now, wait for its end, and wake whoever waits on its sockets."""
        self._signal()
        self._process.wait()
        self._shut()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Let the process end by itself, and make it if it does not."""
        self._shut()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """Close sockets and memory; views that are still held keep their memory."""
        self.frames.close()
        with self._asking:
            self._control.close()
        for slots in self.outputs.values():
            slots.close()
        self.outputs.clear()
        self.page.close()
        self._words.pass_on()

    def _not_started(self, error: Exception) -> EngineError:
        """End the process, once it has said why it ends; return what it said."""
        said = error if _is_said(error) else self._left_behind()
        if not self._killed:
            self.wait(_LAST_WORDS_S)
        self.kill()
        code, words = self._process.returncode, self._words.pass_on()
        self.close()
        problem = f"the engine did not start (exit code {code})"
        if isinstance(said, EngineError):
            return EngineError(
                f"{problem}: {said.problem}",
                where=said.where,
                value=said.value or None,
                expected=said.expected,
                hint=said.hint,
            )
        return EngineError(
            f"{problem}: {words}" if words else problem,
            hint="Its error output is on stderr of this process; "
            f"to reproduce it: {sys.executable} -c 'import aegis_ros.engine.server.process'",
        )

    def _left_behind(self) -> EngineError | None:
        """Return why an engine ended that could not even be asked, if it said so."""
        self._control.settimeout(0.0)
        try:
            received = receive(self._control)
            answer = None if received is None else decode_answer(received[0])
        except (OSError, ValueError, msgspec.DecodeError):
            return None
        return answer.error() if isinstance(answer, Refused) else None

    def _give_way(self, standby: bool) -> None:
        """Have it run after the threads of this process, whose class it inherits.

        Of two threads of one real-time priority each runs for 100 ms before the other has its turn.
        A thread of this process that waits so while the engine loads a network may hold the
        interpreter lock, and no frame is taken for as long: so the engine is one below. While it
        stands by, it imports in the normal class, after others there.
        """
        with suppress(OSError):  # it has ended, which is found out soon enough
            given = os.sched_getscheduler(self.pid)
            below = os.sched_param(max(1, os.sched_getparam(self.pid).sched_priority - 1))
            realtime = given & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)
            if standby and given != os.SCHED_IDLE:
                self._given = given, below if realtime else os.sched_param(0)
                os.sched_setscheduler(self.pid, os.SCHED_BATCH, os.sched_param(0))
            elif realtime:
                os.sched_setscheduler(self.pid, given, below)

    def _resume(self) -> None:
        """Give it back the class that it was started in, one below this process."""
        if self._given is not None and self.ended() is None:
            with suppress(OSError):  # not permitted, or ended
                os.sched_setscheduler(self.pid, *self._given)

    def _signal(self) -> None:
        if self._process.poll() is None:
            self._killed = True
            self._process.send_signal(signal.SIGKILL)

    def _shut(self) -> None:
        for each in (self.frames, self._control):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _is_said(error: Exception) -> bool:
    """Return whether it is the engine that says so, and not this side that misses it."""
    return isinstance(error, EngineError) and error.rule is not Rule.ENGINE_RESTART


def _environment() -> dict[str, str]:
    """Return the environment of an engine: our search path, one thread, a lazy allocator."""
    environment = child_environment()
    known = environment["PYTHONPATH"].split(os.pathsep)
    rest = [path for path in sys.path if path and path not in known]
    environment["PYTHONPATH"] = os.pathsep.join([*known, *rest])
    for name in _ONE_THREAD:
        environment.setdefault(name, "1")
    for name, value in _ALLOCATOR.items():
        environment.setdefault(name, value)
    return environment
