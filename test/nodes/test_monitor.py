"""The program `monitor` ends when it is asked to, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context

from test.nodes.system import running

_WAIT_SECONDS = 100.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_monitor_that_is_ended_before_the_first_status_blames_nobody(
    number: signal.Signals,
) -> None:
    context = Context()
    rclpy.init(context=context)
    observer = rclpy.create_node("observer", context=context)
    program = subprocess.Popen(
        [sys.executable, "-m", "aegis_ros.nodes.monitor", "--target", "/nobody"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while not observer.count_subscribers("/nobody/status"):
            assert time.monotonic() < end and program.poll() is None
            time.sleep(0.05)
        program.send_signal(number)
        output, errors = program.communicate(timeout=_WAIT_SECONDS)
    finally:
        program.kill()
        observer.destroy_node()
        rclpy.try_shutdown(context=context)
    assert (program.returncode, output, errors) == (0, "", "")


def test_every_request_to_the_monitor_is_answered(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        program = subprocess.Popen(
            [sys.executable, "-m", "aegis_ros.nodes.monitor"], stdout=subprocess.DEVNULL
        )
        try:
            client = system.robot.create_client(SetParameters, "/aegis_monitor/set_parameters")
            assert client.wait_for_service(_WAIT_SECONDS)
            nonsense = Parameter(name="use_sim_time", value=ParameterValue(type=99))
            asked = client.call_async(SetParameters.Request(parameters=[nonsense]))
            (answer,) = system.wait_for(asked).results
            assert not answer.successful and answer.reason
        finally:
            program.send_signal(signal.SIGINT)
            assert program.wait(_WAIT_SECONDS) == 0
