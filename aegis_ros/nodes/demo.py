"""The `demo` program: real networks on real camera and lidar recordings, with a live table."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from aegis_ros.errors import AegisError
from aegis_ros.msg import ModelTask, OrchestratorStatus, TaskInput, TaskOutput
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.demo_config import NARRATOR, with_backend, with_narrator
from aegis_ros.nodes.demo_frames import FrameWriter
from aegis_ros.nodes.domains import unused_domain
from aegis_ros.nodes.ending import ENDING, end_on_signals, run_and_leave
from aegis_ros.nodes.monitor import Monitor
from aegis_ros.nodes.narrator import Narrator
from aegis_ros.nodes.resources import fastdds_profile, share_file
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.nodes.starting import starting
from aegis_ros.sandbox.children import child_environment
from aegis_ros.sandbox.ctrl_c import INTERRUPTED, kept_from_children
from aegis_ros.sandbox.descendants import end_with_this_process
from aegis_ros.srv import RegisterModel
from aegis_ros.views.narration import narration_line, render_narration
from aegis_ros.views.status import Snapshot, render_snapshot, summary_line

__all__ = ["main"]

_TARGET = "/orchestrator"
_LINE_S = 5.0  # between lines where there is no terminal
_EXAMPLES = """examples:
  make demo
  make demo ARGS="--seconds 0"        run until Ctrl+C
  make demo ARGS=--backend=NAME       on another runtime (aegis doctor lists them)
  make demo ARGS=--llm                beside a language model that says what they see (93 MB)
  ros2 run aegis_ros demo --output /tmp/frames
"""


@dataclass
class _Processes:
    """The nodes the demo started; every one is ended, whatever happens."""

    log_dir: Path
    running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self, name: str, module: str, *parameters: str) -> None:
        """Start ``python -m module`` with ROS parameters ``key:=value``; its log goes to a file."""
        command = [sys.executable, "-m", module, "--ros-args"]
        for parameter in parameters:
            command += ["-p", parameter]
        with (self.log_dir / f"{name}.log").open("wb") as log, kept_from_children():
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=child_environment(),
            )
        self.running.append((name, process))

    def dead(self) -> str:
        """Return the name of a node that has ended, empty for none."""
        return next((name for name, process in self.running if process.poll() is not None), "")

    def stop(self) -> None:
        """Ask every node to end, and make it."""
        for _, process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5.0
        for _, process in self.running:
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _greedy_task(status: OrchestratorStatus) -> ModelTask:
    """Return a second, much faster instance of the most expensive network that is running."""
    heaviest = max(status.tasks, key=lambda task: float(task.wcet_ms))
    spec = heaviest.spec
    period_ms = float(max(1, round(float(heaviest.wcet_ms) * 1.2)))
    return ModelTask(
        name=f"{spec.name}_rear",
        model=spec.model,
        sha256=spec.sha256,
        input=TaskInput(
            topic="/camera/rear/image_raw",
            type=spec.input.type,
            qos=spec.input.qos,
            max_size=spec.input.max_size,
            max_points=spec.input.max_points,
        ),
        preprocess=spec.preprocess,
        period_ms=period_ms,
        deadline_ms=period_ms,
        criticality="high",
        output=TaskOutput(
            topic="/perception/rear", decoder=spec.output.decoder, options=spec.output.options
        ),
    )


def _begun(progress: str) -> str:
    """Return which request and stage a line of progress is about, without how far that is."""
    return progress.rpartition(",")[0] or progress


def _decision_card(response: Any) -> Panel:
    rationale = response.rationale
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("asked for", rationale.task)
    grid.add_row("answer", f"[red]{rationale.decision}[/red] by rule [bold]{rationale.rule}[/bold]")
    grid.add_row("because", escape(rationale.sentence))
    if rationale.relation:
        grid.add_row(
            "test",
            f"{rationale.left:.2f} {rationale.relation} {rationale.right:.2f} {rationale.unit}",
        )
    if rationale.witness.lane:
        witness = rationale.witness
        blocker = f" ({witness.blocking_task})" if witness.blocking_task else ""
        grid.add_row(
            "witness",
            f"in any {witness.t_ms:.1f} ms: demand {witness.demand_ms:.1f} + blocking "
            f"{witness.blocking_ms:.1f}{blocker}, slack {witness.slack_ms:.1f} ms",
        )
    for counterfactual in rationale.counterfactuals:
        grid.add_row("would pass", escape(counterfactual.sentence))
    return Panel(grid, title="a registration that cannot be admitted", title_align="left")


class _Demo:
    """One run of the demo."""

    def __init__(
        self,
        node: Node,
        console: Console,
        processes: _Processes,
        end: threading.Event,
        *,
        narrated: bool,
    ) -> None:
        self._console = console
        self._processes = processes
        self._end = end  # asked for with a signal
        self._monitor = Monitor(node, _TARGET, decisions=6)
        self._writer = FrameWriter(node, processes.log_dir)
        self._narrator = Narrator(node, _TARGET, NARRATOR) if narrated else None
        self._register = node.create_client(RegisterModel, f"{_TARGET}/register_model")
        self._answer: Any = None

    def run(self, seconds: float) -> int:
        """Wait until active, show the table, try the greedy task; return the exit code."""
        if not self._wait_until_active():
            return 1
        self._show(seconds)
        return INTERRUPTED if self._end.is_set() else self._conclude()

    def _wait_until_active(self, timeout_s: float = 300.0) -> bool:
        deadline, shown = time.monotonic() + timeout_s, ""
        with self._console.status("starting, and measuring the networks (first time only)") as line:
            while time.monotonic() < deadline:
                if self._end.wait(0.1):
                    return False
                dead = self._processes.dead()
                if dead:
                    self._explain_death(dead)
                    return False
                status = self._monitor.status
                if status is not None and status.state == "active":
                    return True
                snapshot = self._monitor.snapshot()
                news = "" if snapshot is None else snapshot.progress
                if news and news != shown:
                    if not self._console.is_terminal and _begun(news) != _begun(shown):
                        self._console.print(escape(news), soft_wrap=True)
                    shown = news
                    line.update(escape(f"starting; {news}"))
        self._console.print(f"[red]not active after {timeout_s:.0f} s[/red]; see {self._log_dir}")
        return False

    @property
    def _log_dir(self) -> Path:
        return self._processes.log_dir

    def _explain_death(self, name: str) -> None:
        path = self._log_dir / f"{name}.log"
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-15:])
        self._console.print(f"[red]{name} ended early[/red]; the end of {path}:")
        self._console.print(escape(tail))

    def _show(self, seconds: float) -> None:
        started = time.monotonic()
        asked = False
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            last_line = -_LINE_S
            while seconds <= 0 or time.monotonic() - started < seconds:
                if self._end.wait(0.25) or self._processes.dead():
                    return
                status = self._monitor.status
                snapshot = self._monitor.snapshot()
                if status is None or snapshot is None:
                    continue
                self._writer.follow(status)
                if self._narrator is not None:
                    self._narrator.follow(status)
                if not asked and time.monotonic() - started > min(8.0, seconds / 2 or 8.0):
                    asked = True
                    self._ask(status)
                if self._console.is_terminal:
                    live.update(self._picture(snapshot))
                elif time.monotonic() - last_line > _LINE_S:
                    last_line = time.monotonic()
                    self._console.print(summary_line(snapshot), soft_wrap=True)
                    if self._narrator is not None:
                        line = narration_line(self._narrator.narration(), NARRATOR)
                        self._console.print(escape(line), soft_wrap=True)

    def _picture(self, snapshot: Snapshot) -> RenderableType:
        picture = render_snapshot(snapshot, self._console.width)
        if self._narrator is None:
            return picture
        return Group(picture, render_narration(self._narrator.narration(), NARRATOR))

    def _ask(self, status: OrchestratorStatus) -> None:
        if status.tasks and self._register.service_is_ready():
            future = self._register.call_async(RegisterModel.Request(task=_greedy_task(status)))
            future.add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:
        self._answer = future.result()

    def _conclude(self) -> int:
        dead = self._processes.dead()
        if dead:
            self._explain_death(dead)
            return 1
        snapshot = self._monitor.snapshot()
        assert snapshot is not None
        self._console.print(self._picture(snapshot))
        if self._answer is None:
            self._console.print(
                "[red]the orchestrator did not answer the registration[/red]; see "
                f"{escape(str(self._log_dir / 'orchestrator.log'))}, or give it more time: "
                "--seconds 60",
                soft_wrap=True,
            )
            return 1
        self._console.print(_decision_card(self._answer))
        sheet = self._writer.overview()
        if sheet is not None:
            self._console.print(f"annotated frames: {sheet} and its folder", soft_wrap=True)
        silent = [task.name for task in snapshot.tasks if not task.completed]
        if self._narrator is not None:
            narration = self._narrator.narration()
            self._console.print(
                f"{NARRATOR}: {narration.answers} answers, {narration.tokens} tokens, "
                f"{narration.tokens_per_s:.1f} tokens/s"
            )
            silent += [NARRATOR] if not narration.tokens else []
        if silent:
            self._console.print(f"[red]no result from {', '.join(silent)}[/red]")
        late = sum(task.missed for task in snapshot.tasks)
        done = sum(task.completed for task in snapshot.tasks)
        self._console.print(f"{done} results, {late} late. Logs: {self._log_dir}", soft_wrap=True)
        return 1 if silent or self._answer.admitted else 0


def main(args: list[str] | None = None) -> int:
    """Run the demo; return the exit code.

    Returns:
        0 when all networks gave results, 130 after Ctrl+C, 1 otherwise.
    """
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Real networks on real camera and lidar recordings, with a live table.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="0: until Ctrl+C (default 30)")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder to write")
    parser.add_argument("--config", type=Path, default=None, help="default: the shipped demo.yaml")
    parser.add_argument(
        "--backend", default="", help="runtime of all lanes (default: as configured)"
    )
    parser.add_argument(
        "--llm",
        action="store_true",
        help="beside a language model that says what the networks see (SmolLM2-135M, 93 MB)",
    )
    options = parser.parse_args(args)
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # The demo must not meet, or be met by, a robot that runs on the same network.
    os.environ.setdefault("ROS_DOMAIN_ID", str(unused_domain()))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(fastdds_profile()))
    end = threading.Event()
    end_on_signals(end, (*ENDING, signal.SIGHUP))
    end_with_this_process()
    console = Console()
    processes = _Processes(folder)
    try:
        config = options.config or share_file("config/demo.yaml")
        if options.backend:
            config = with_backend(config, options.backend, folder)
        if options.llm:
            config = with_narrator(config, folder)
        with starting():
            # Ours: rclpy's handlers would end the subscriptions, and leave this waiting.
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
            node = rclpy.create_node("aegis_demo")
            answer_always(node)
    except AegisError as error:
        print(f"demo: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    spinner = spin_beside(node)
    try:
        processes.start(
            "orchestrator",
            "aegis_ros.nodes.orchestrator_main",
            f"config:={config}",
            f"state_dir:={folder / 'state'}",
        )
        processes.start(
            "replay", "aegis_ros.nodes.replay", f"config:={share_file('config/demo_replay.yaml')}"
        )
        code = _Demo(node, console, processes, end, narrated=options.llm).run(options.seconds)
    finally:
        processes.stop()
        spinner.leave()
        rclpy.try_shutdown()
    return INTERRUPTED if end.is_set() else code


if __name__ == "__main__":
    run_and_leave(main)
