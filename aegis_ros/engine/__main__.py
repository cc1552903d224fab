"""The engine process. Started by the client; not meant to be run by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

from aegis_ros.backends.registry import create_backend
from aegis_ros.engine.control import ControlServer, receive_message
from aegis_ros.engine.host import (
    claim_realtime,
    die_with_parent,
    freeze_memory,
    stay_off_lanes,
)
from aegis_ros.engine.loop import EngineLoop
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.tracing import LoopTrace
from aegis_ros.spec import LaneSpec
from aegis_ros.trace import RingWriter

__all__ = ["main"]

# How long another thread of this process may keep the interpreter lock once it is asked for.
_SWITCH_INTERVAL_S = 0.0001


def main() -> None:
    """Serve one node until it goes away."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    die_with_parent(settings["parent"])
    os.sched_setaffinity(0, settings["cores"])
    # Ctrl+C in a terminal reaches the whole group; the node decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = socket.socket(fileno=settings["frames_fd"])
    control = socket.socket(fileno=settings["control_fd"])
    frames.setblocking(False)
    received = receive_message(control)
    if received is None:
        return
    lanes = [LaneSpec(item["name"], item["cpu"], item["sms"]) for item in received[0]["lanes"]]
    page = EnginePage(len(lanes), received[1][0])
    backend = create_backend(settings["backend"])
    priority = settings["priority"]
    loop = EngineLoop(backend, frames, page, len(lanes))
    # Lanes just below the loop: a release must be able to interrupt a computation.
    backend.open(lanes, loop.ended, max(priority - 1, 0))
    affinity = stay_off_lanes(lanes)
    info = {"pid": os.getpid(), "backend": backend.name, "device": backend.device_name()}
    trace_bytes = received[0].get("trace_bytes", 0)
    if trace_bytes:
        loop.trace = LoopTrace(RingWriter(SharedMemory(trace_bytes, received[1][1]).bytes.data))
    server = ControlServer(control, backend, loop, info, [lane.cpu for lane in lanes])
    # Its first answer waits for `begin`. Started before the loop's thread becomes a real-time
    # one, since threads inherit that: loading a network must not compete with dispatching.
    begin = threading.Event()
    thread = threading.Thread(
        target=_serve_then_exit, args=(server, begin), name="control", daemon=True
    )
    thread.start()
    granted = claim_realtime(priority, affinity, awake=settings["keep_awake"])
    info["determinism"] = f"{granted}; {backend.determinism()}"
    freeze_memory()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    page.beat(time.monotonic_ns())
    begin.set()
    code = 0
    try:
        loop.run()
    except BaseException:
        traceback.print_exc()
        code = 1
    # Lanes may hang inside a runtime; nothing here is worth waiting for.
    os._exit(code)


def _serve_then_exit(server: ControlServer, begin: threading.Event) -> None:
    """Outlive the node by two seconds at most, even if the loop is stuck in a runtime."""
    begin.wait()
    server.serve()
    time.sleep(2.0)
    os._exit(0)


if __name__ == "__main__":
    main()
