"""Starts one engine process and talks to it; knows nothing of restarts."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from aegis_ros.engine.control import receive_message, send_message
from aegis_ros.engine.page import EnginePage
from aegis_ros.errors import EngineError
from aegis_ros.network.prepare import child_environment
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineProcess"]

_START_TIMEOUT_S = 60.0
_SOCKET_BYTES = 4 * 1024 * 1024


class EngineProcess:
    """A running engine: its pid, its two sockets and its page.

    Raises:
        EngineError: it does not start.
    """

    def __init__(self, device: DeviceSpec) -> None:
        """Start the process and wait for its first answer."""
        frames, theirs_frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, theirs_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (frames, theirs_frames):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self.page = EnginePage(len(device.lanes))
        settings = {
            "backend": device.backend,
            "priority": device.realtime_priority,
            "frames_fd": theirs_frames.fileno(),
            "control_fd": theirs_control.fileno(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aegis_ros.engine", json.dumps(settings)],
            pass_fds=(theirs_frames.fileno(), theirs_control.fileno()),
            env=child_environment(),
            stdin=subprocess.DEVNULL,
        )
        theirs_frames.close()
        theirs_control.close()
        self.frames = frames
        self._control = control
        self._lock = threading.Lock()
        control.settimeout(_START_TIMEOUT_S)
        lanes = [{"name": lane.name, "cpu": lane.cpu} for lane in device.lanes]
        try:
            send_message(control, {"lanes": lanes}, (self.page.memory.fd,))
            self.info = self.ask({"do": "hello"})
        except (OSError, EngineError) as error:
            self.kill()
            raise EngineError(
                f"the engine did not start (exit code {self._process.returncode})",
                mend="Its own words are on stderr of this process; "
                f"try: {sys.executable} -c 'import aegis_ros.engine.__main__'",
            ) from error
        control.settimeout(None)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(
        self,
        message: dict[str, Any],
        fds: tuple[int, ...] = (),
        on_progress: Callable[[dict[str, Any]], bool] | None = None,
    ) -> dict[str, Any]:
        """Send one request and return the answer; one request at a time.

        Raises:
            EngineError: the engine is gone, or says no.
        """
        with self._lock:
            try:
                send_message(self._control, message, fds)
                while True:
                    received = receive_message(self._control)
                    if received is None:
                        raise EngineError("the engine is gone", code="gone")
                    answer = received[0]
                    if "progress" not in answer:
                        break
                    go_on = on_progress(answer) if on_progress is not None else True
                    send_message(self._control, {"go_on": go_on})
            except OSError as error:
                raise EngineError(f"the engine is gone ({error})", code="gone") from error
        if "problem" in answer:
            raise EngineError(answer["problem"], mend=answer.get("mend", ""))
        return answer

    def ended(self) -> int | None:
        """Return the exit code, ``None`` while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process now, and wait for its end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        # Whoever waits in recv on these sockets must wake up before they are closed.
        for each in (self.frames, self._control):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def stop(self, timeout_s: float = 2.0) -> None:
        """Ask the process to end, and make it."""
        if self._process.poll() is None and self._lock.acquire(timeout=timeout_s):
            try:
                send_message(self._control, {"do": "stop"})
                self._process.wait(timeout_s)
            except (OSError, subprocess.TimeoutExpired):
                pass
            finally:
                self._lock.release()
        self.kill()

    def close(self) -> None:
        """Close sockets and page; only once no thread reads them."""
        self.frames.close()
        self._control.close()
        self.page.close()
