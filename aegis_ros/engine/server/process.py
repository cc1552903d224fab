"""The engine process: opens backend and loop, and serves one node."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress

from aegis_ros.backends.registry import warm
from aegis_ros.engine.control_socket import receive, send
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import Begin, EngineSettings, decode_request, refusal
from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.server.composed import runtime_for
from aegis_ros.engine.server.control import ControlServer
from aegis_ros.engine.server.host import (
    claim_realtime,
    freeze_memory,
    stay_off_lanes,
)
from aegis_ros.engine.server.loop import EngineLoop
from aegis_ros.engine.server.tracing import LoopTrace
from aegis_ros.engine.types import EngineInfo
from aegis_ros.sandbox.parent import die_with_parent
from aegis_ros.trace import RingWriter

__all__ = ["serve"]

# How long another thread of this process may keep the interpreter lock once it is asked for.
_SWITCH_INTERVAL_S = 0.0001


def serve(argument: str) -> None:
    """Serve one node until it goes away.

    Args:
        argument: the settings, as :meth:`EngineSettings.to_argument` wrote them.
    """
    settings = EngineSettings.from_argument(argument)
    die_with_parent(settings.parent)
    # Ctrl+C in a terminal reaches the whole group; the node decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = socket.socket(fileno=settings.frames_fd)
    control = socket.socket(fileno=settings.control_fd)
    frames.setblocking(False)
    try:
        loop = _begun(settings, frames, control)
    except Exception as error:
        traceback.print_exc()
        with suppress(OSError, ValueError):  # the node is gone
            send(control, refusal(error))
        # What has been opened may hang when it is closed, and the node waits.
        os._exit(1)
    if loop is None:
        return
    code = 0
    try:
        loop.run()
    except BaseException:
        traceback.print_exc()
        code = 1
    # Lanes may hang inside a runtime; nothing here is worth waiting for.
    os._exit(code)


def _begun(
    settings: EngineSettings, frames: socket.socket, control: socket.socket
) -> EngineLoop | None:
    """Wait until the node wants the engine, and open it; return ``None`` where it never does."""
    # A process that stands by waits here, with everything imported and nothing opened. Until then
    # it has the cores of the thread that started it, which keeps off lanes.
    warm(settings.warm)
    freeze_memory()
    received = receive(control)
    if received is None:
        return None
    os.sched_setaffinity(0, settings.cores)
    begin, fds = decode_request(received[0]), received[1]
    assert isinstance(begin, Begin)
    lanes = begin.lanes
    page = EnginePage(len(lanes), fds[0])
    backend, backend_names = runtime_for(settings.backend, lanes)
    priority = settings.priority
    loop = EngineLoop(backend, frames, page, len(lanes))
    # Lanes just below the loop: a release must be able to interrupt a computation.
    backend.open(lanes, loop.ended, max(priority - 1, 0))
    affinity = stay_off_lanes(lanes)
    if begin.trace_bytes:
        loop.trace = LoopTrace(RingWriter(SharedMemory(begin.trace_bytes, fds[1]).bytes.data))
    server = ControlServer(control, backend, loop, [lane.cpu for lane in lanes])
    # Its first answer waits for `ready`. Started before the loop's thread becomes a real-time
    # one, since threads inherit that: loading a network must not compete with dispatching.
    ready = threading.Event()
    thread = threading.Thread(
        target=_serve_then_exit, args=(server, ready), name="control", daemon=True
    )
    thread.start()
    granted = claim_realtime(priority, affinity, awake=settings.keep_awake)
    server.info = EngineInfo(
        os.getpid(),
        backend_names,
        backend.device_name(),
        f"{granted}; {backend.determinism()}",
    )
    freeze_memory()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    if settings.stderr_fd >= 0:  # what was said so far is the node's to pass on
        os.dup2(settings.stderr_fd, 2)
        os.close(settings.stderr_fd)
    page.beat(time.monotonic_ns())
    ready.set()
    return loop


def _serve_then_exit(server: ControlServer, ready: threading.Event) -> None:
    """Outlive the node by two seconds at most, even if the loop is stuck in a runtime."""
    ready.wait()
    server.serve()
    time.sleep(2.0)
    os._exit(0)
