"""The node's threads keep off the cores of lanes; its engine and its main thread do not have to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

_SCRIPT = """
import os, sys, threading
from aegis_ros.nodes.steadying import stay_off_lanes

asked = [int(text) for text in sys.argv[1:]]
early = threading.Event()
thread = threading.Thread(target=early.wait)
thread.start()
print(*sorted(stay_off_lanes(asked)), sep=",")
print(*sorted(os.sched_getaffinity(thread.native_id)), sep=",")
print(*sorted(os.sched_getaffinity(os.getpid())), sep=",")
early.set()
"""


def _masks(*lanes: int) -> list[list[int]]:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, lanes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [[int(core) for core in line.split(",")] for line in ran.stdout.split()]


def test_threads_leave_the_cores_of_lanes_and_the_main_thread_keeps_them() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is but one core")
    told, thread, main = _masks(cores[-1])
    assert told == thread == cores[:-1]
    assert main == cores


def test_where_lanes_have_every_core_threads_stay_where_they_are() -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert _masks(*cores) == [cores, cores, cores]


def test_a_lane_without_a_core_takes_none() -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert _masks() == [cores, cores, cores]


def test_memory_that_was_settled_is_collected_anew_the_next_time() -> None:
    import gc
    import weakref

    from aegis_ros.nodes.steadying import settle_memory

    class Node:
        other: Node | None = None

    one, two = Node(), Node()
    one.other, two.other = two, one
    gone = threading.Event()
    weakref.finalize(one, gone.set)
    try:
        settle_memory()
        assert gc.get_freeze_count() > 0
        del one, two
        assert not gone.is_set()
        settle_memory()
        assert gone.is_set()
    finally:
        gc.unfreeze()
