"""The program `orchestrator`: starts the node and always ends."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from aegis_ros.nodes.allocator import tune_allocator
from aegis_ros.nodes.ending import ENDING, end_on_signals, run_and_leave, wait_for
from aegis_ros.sandbox.ctrl_c import end_at_once

__all__ = ["main", "program"]

_END_SECONDS = 8.0
_JOIN_SECONDS = 2.0


def program() -> NoReturn:
    """Run :func:`main`, and end the process with what it returns."""
    run_and_leave(main)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is asked to end.

    Returns:
        0 after a signal, 1 when autostart was asked for and failed, 2 when a parameter cannot be
        used, or security refuses the node.

    Raises:
        SystemExit: after help, or an argument that is none of ROS.
    """
    end_at_once(0, ENDING)  # imports take seconds on a busy machine
    if os.environ.get("AEGIS_TUNE_ALLOCATOR", "1") != "0":
        tune_allocator()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from aegis_ros.errors import AegisError
    from aegis_ros.nodes.command_line import take_ros_arguments
    from aegis_ros.nodes.dds_leftovers import remove_leftovers
    from aegis_ros.nodes.orchestrator import PARAMETERS, OrchestratorNode
    from aegis_ros.nodes.realtime import shorten_switch_interval
    from aegis_ros.nodes.spinning import Spinning
    from aegis_ros.nodes.starting import starting
    from aegis_ros.nodes.starting_again import may_start_again, start_again

    take_ros_arguments(
        "orchestrator", "Runs networks so that every deadline holds.", PARAMETERS, args
    )
    shorten_switch_interval()
    leftovers, leftover_bytes = remove_leftovers()
    end, failed, again = threading.Event(), threading.Event(), threading.Event()
    end_on_signals(end)

    def leave() -> NoReturn:
        if again.is_set() and not end.is_set():
            start_again()
        os._exit(int(failed.is_set()))

    for event in (end, again):
        threading.Thread(
            target=_watchdog, args=(event, leave), name="watchdog", daemon=True
        ).start()
    try:
        with starting():
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
            node = OrchestratorNode()
    except AegisError as error:
        print(f"orchestrator: {error}", file=sys.stderr)
        failed.set()
        end.set()
        rclpy.try_shutdown()
        return 2
    if leftovers:
        node.get_logger().info(
            f"removed {leftovers} shared-memory segments of Fast DDS "
            f"({leftover_bytes / 2**20:.0f} MiB) whose processes were killed"
        )

    def autostart() -> None:
        # What a signal interrupts has not failed.
        if not node.autostart() and not (end.is_set() or again.is_set()):
            failed.set()
            end.set()

    def begin_again() -> bool:
        if may_start_again():
            again.set()
        return again.is_set()

    node.control_executor.add_node(node)
    node.intake_executor.add_node(node.intake_node)
    spinning = Spinning(
        {"control": node.control_executor, "intake": node.intake_executor},
        lambda text: node.get_logger().error(text),
    )
    start = threading.Thread(target=autostart, name="autostart", daemon=True)
    if node.get_parameter("autostart").value:
        node.reachable.begin_again = begin_again
        start.start()
    wait_for(end, again)
    node.close()
    if start.ident is not None:
        start.join(timeout=_JOIN_SECONDS)
    spinning.stop()
    if not start.is_alive():  # else it may be in the middle of something
        node.leave()
    rclpy.try_shutdown()
    if again.is_set():
        leave()
    return int(failed.is_set())


def _watchdog(end: threading.Event, leave: Callable[[], NoReturn]) -> NoReturn:
    """Leave the process some seconds after it was asked to end, wherever it hangs.

    DDS now and then does, on the way out, and while a node is made as well; nobody should have to
    kill this process.
    """
    end.wait()
    time.sleep(_END_SECONDS)
    leave()


if __name__ == "__main__":
    program()
