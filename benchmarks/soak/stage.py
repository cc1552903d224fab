"""The robot's processes: the node and the driver, started, hurt and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from benchmarks.compare.workload import Task
from benchmarks.processes import last_lines, start, wait
from benchmarks.soak.ledger import SEQS_OF_A_LIFE
from benchmarks.soak.listener import Listener
from benchmarks.soak.record import Record
from benchmarks.stack.workload import FRAME

__all__ = ["ENGINE_PRIORITY", "Stage"]

_END_S = 15.0
# Above other orchestrators on this machine. The threads of the node between a frame and its result
# have two less than the engine; these are those of the driver and of the node's other threads.
ENGINE_PRIORITY = 80
_DRIVER_PRIORITY = 70
_NODE_PRIORITY = 50


class Stage:
    """Starts and ends the processes; to be used in a ``with``.

    Args:
        tasks: what runs; the place of each is its number.
        config: of the orchestrator.
        state: its state directory.
        folder: for logs.
        listener: hears the node.
        record: gets the lives of the node.
        realtime: whether driver and node run in a real-time class, because others compute beside.

    Attributes:
        life: number of the node's life, from 0.
        sent: where the cameras write what they send.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        config: Path,
        state: Path,
        folder: Path,
        listener: Listener,
        record: Record,
        realtime: bool,
    ) -> None:
        """Start nothing yet."""
        self._tasks = list(tasks)
        self._config = config
        self._state = state
        self._folder = folder
        self._listener = listener
        self._record = record
        self._realtime = realtime
        self._node: subprocess.Popen[bytes] | None = None
        self._driver: subprocess.Popen[bytes] | None = None
        self._drivers = 0
        self.life = -1
        # In memory: a disk that is busy must not make a camera late.
        memory = Path("/dev/shm")
        self._scratch = tempfile.TemporaryDirectory(
            prefix="soak_", dir=memory if os.access(memory, os.W_OK) else None
        )
        self.sent = Path(self._scratch.name) / "sent.bin"

    def __enter__(self) -> Stage:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes."""
        self.end_node()
        if self._driver is not None:
            self._driver.kill()
            self._driver.wait()
        self._record.keep(self.sent)
        self._scratch.cleanup()

    @property
    def node_pid(self) -> int:
        """Process id of the node; 0 for none."""
        return 0 if self._node is None or self._node.poll() is not None else self._node.pid

    @property
    def driver_pid(self) -> int:
        """Process id of the driver."""
        assert self._driver is not None
        return self._driver.pid

    @property
    def node_log(self) -> Path:
        """What the node said."""
        return self._folder / "node.log"

    def start_node(self) -> None:
        """Start the node; returns at once."""
        self._listener.begin_life()
        self.life += 1
        self._node = self._started(
            "aegis_ros.nodes.orchestrator_main",
            *("--ros-args", "-p", f"config:={self._config}", "-p", f"state_dir:={self._state}"),
            *("-p", "status_period_s:=0.2"),
            log=self.node_log,
            priority=_NODE_PRIORITY,
        )
        self._record.note("life", pid=self._node.pid, at_ns=time.time_ns())

    def wait_for_node(self) -> None:
        """Wait until the node runs all tasks.

        Raises:
            SystemExit: it does not.
        """
        names = {task.name for task in self._tasks}
        wait(
            lambda: (
                self._listener.status.state == "active"
                and names <= {each.spec.name for each in self._listener.status.tasks}
            ),
            "the node does not run all tasks",
            self._node,
            log=self.node_log,
            refused=lambda: "; ".join(self._listener.rejected),
        )

    def kill_node(self) -> None:
        """Kill the node and wait for its end."""
        assert self._node is not None
        self._node.kill()
        self._node.wait()

    def end_node(self) -> None:
        """Ask the node to end, and make it."""
        if self._node is None or self._node.poll() is not None:
            return
        self._node.send_signal(signal.SIGINT)
        try:
            self._node.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._record.note("remark", text=f"the node did not end within {_END_S:g} s")
            self.kill_node()

    def node_ended(self) -> str:
        """Return why the node has ended by itself; empty while it runs."""
        code = None if self._node is None else self._node.poll()
        if code is None:
            return ""
        return f"the node ended by itself with code {code}: {last_lines(self.node_log)}"

    def start_driver(self) -> None:
        """Start the cameras; returns at once."""
        height, width = FRAME
        first = self._drivers * SEQS_OF_A_LIFE
        self._drivers += 1
        values = json.dumps([task.as_values() for task in self._tasks])
        priority = _DRIVER_PRIORITY if self._realtime else 0
        self._driver = self._started(
            "benchmarks.soak.camera",
            *(values, str(self.sent), str(first), str(height), str(width), str(priority)),
            log=self._folder / "driver.log",
        )

    def kill_driver(self) -> None:
        """Kill the cameras and wait for their end."""
        assert self._driver is not None
        self._driver.kill()
        self._driver.wait()

    def command(self, text: str) -> None:
        """Command the cameras (see ``camera``)."""
        assert self._driver is not None and self._driver.stdin is not None
        with suppress(BrokenPipeError):
            self._driver.stdin.write(f"{text}\n".encode())
            self._driver.stdin.flush()

    def _started(
        self, module: str, *arguments: str, log: Path, priority: int = 0
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            made: subprocess.Popen[bytes] = start(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._realtime and priority:  # before it has threads or children, which inherit it
            os.sched_setscheduler(made.pid, os.SCHED_RR, os.sched_param(priority))
        return made
