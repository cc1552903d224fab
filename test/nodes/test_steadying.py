"""The node's threads keep off the cores of lanes, and those a result waits for go first."""

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


_FIRST = """
import os, subprocess, sys, threading
from aegis_ros.nodes.steadying import go_first

end = threading.Event()
threads = [threading.Thread(target=end.wait, name=name) for name in ("intake", "control")]
def middleware():
    open("/proc/thread-self/comm", "w").write("dds.shm.7411")
    named.set()
    end.wait()
named = threading.Event()
threads.append(threading.Thread(target=middleware))
for thread in threads:
    thread.start()
named.wait()
print(go_first(int(sys.argv[1])))
for thread in threads:
    policy = os.sched_getscheduler(thread.native_id) & ~os.SCHED_RESET_ON_FORK
    print(policy, os.sched_getparam(thread.native_id).sched_priority)
end.set()
"""


def _first(priority: int) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST, str(priority)], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


@pytest.mark.parametrize(("engine", "given"), [(40, 38), (1, 1)])
def test_threads_on_the_way_of_a_frame_go_first_where_that_is_allowed(
    engine: int, given: int
) -> None:
    told, intake, control, middleware = _first(engine)
    assert control == f"{os.SCHED_OTHER} 0"
    if "wait behind" in told:
        assert intake == middleware == control
        pytest.skip("SCHED_FIFO is not allowed here")
    assert told == f"frames and results go before other programs: SCHED_FIFO {given}"
    assert intake == middleware == f"{os.SCHED_FIFO} {given}"


def test_without_a_priority_threads_stay_in_the_normal_class() -> None:
    told, *threads = _first(0)
    assert told == ""
    assert threads == [f"{os.SCHED_OTHER} 0"] * 3


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
