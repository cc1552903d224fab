"""The engine process. Started by the client; not meant to be run by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from aegis_ros.backends.registry import create_backend
from aegis_ros.engine.control import ControlServer, receive_message
from aegis_ros.engine.host import claim_realtime, freeze_memory
from aegis_ros.engine.loop import EngineLoop
from aegis_ros.engine.page import EnginePage
from aegis_ros.spec import LaneSpec

__all__ = ["main"]


def main() -> int:
    """Serve one node until it goes away."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    # Ctrl+C in a terminal reaches the whole group; the node decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = socket.socket(fileno=settings["frames_fd"])
    control = socket.socket(fileno=settings["control_fd"])
    frames.setblocking(False)
    received = receive_message(control)
    if received is None:
        return 0
    lanes = [LaneSpec(item["name"], item["cpu"]) for item in received[0]["lanes"]]
    page = EnginePage(len(lanes), received[1][0])
    backend = create_backend(settings["backend"])
    event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    priority = settings["priority"]
    # Lanes just below the loop: a dispatch must be able to interrupt a computation.
    backend.open(lanes, event_fd, max(priority - 1, 0))
    info = {
        "pid": os.getpid(),
        "backend": backend.name,
        "device": backend.device_name(),
        "determinism": f"{claim_realtime(priority)}; {backend.determinism()}",
    }
    loop = EngineLoop(backend, event_fd, frames, page, len(lanes))
    server = ControlServer(control, backend, loop, info)
    thread = threading.Thread(target=_serve_then_exit, args=(server,), name="control", daemon=True)
    thread.start()
    freeze_memory()
    sys.setswitchinterval(0.0005)
    try:
        loop.run()
    finally:
        # Lanes may hang inside a runtime; nothing here is worth waiting for.
        os._exit(0)


def _serve_then_exit(server: ControlServer) -> None:
    """Outlive the node by two seconds at most, even if the loop is stuck in a runtime."""
    server.serve()
    time.sleep(2.0)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
