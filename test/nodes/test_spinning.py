"""Executors go on whatever a callback raises, and end before ROS is shut down under them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import rclpy
from rclpy.context import Context

from aegis_ros.nodes.spinning import spin_beside
from test.left_behind import threads_of
from test.waiting import until

_WAIT_SECONDS = 100.0


def test_ctrl_c_of_a_node_that_is_busy_ends_it_without_an_error(tmp_path: Path) -> None:
    """The whole process group gets it, as in a terminal."""
    config = tmp_path / "robot.yaml"
    config.write_text("device: {backend: onnxruntime, realtime_priority: 0}\n")
    command = [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
    command += ["-p", f"config:={config}", "-p", f"state_dir:={tmp_path / 'state'}"]
    command += ["-p", "status_period_s:=0.05", "-p", "diagnostics_period_s:=0.1"]
    log = tmp_path / "log"
    with log.open("wb") as said:
        node = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while "sensor topics are subscribed" not in log.read_text():
            assert time.monotonic() < end and node.poll() is None, log.read_text()
            time.sleep(0.01)
        os.killpg(node.pid, signal.SIGINT)
        code = node.wait(_WAIT_SECONDS)
    finally:
        node.kill()
        node.wait()
    text = log.read_text()
    assert code == 0, text
    assert not [word for word in ("ERROR", "RCLError", "Exception", "Traceback") if word in text]


def test_a_callback_that_raises_silences_no_other() -> None:
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("spun", context=context)
    went_on = threading.Event()
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("the first one, with half a character: \ud800")
        went_on.set()

    node.create_timer(0.01, call)
    before = threads_of("spin")
    spinning = spin_beside(node)
    assert went_on.wait(_WAIT_SECONDS)
    spinning.stop()
    until(lambda: threads_of("spin") <= before)
    after = len(calls)
    time.sleep(0.1)
    assert len(calls) == after  # nothing runs any more while ROS is shut down
    rclpy.try_shutdown(context=context)


def test_the_others_on_the_network_hear_that_a_node_leaves() -> None:
    there, here = Context(), Context()
    for context in (there, here):
        rclpy.init(context=context)
    seer = rclpy.create_node("seer", context=here)
    spinning = spin_beside(rclpy.create_node("leaver", context=there))

    def until(listed: bool) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while ("leaver" in seer.get_node_names()) is not listed:
            assert time.monotonic() < end
            time.sleep(0.01)

    until(listed=True)
    spinning.leave()
    until(listed=False)  # its context is still there: without that it would be listed for ever
    seer.destroy_node()
    for context in (there, here):
        rclpy.try_shutdown(context=context)
