"""The node's threads keep off the cores of lanes, and those a result waits for go first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from aegis_ros.nodes import realtime
from aegis_ros.nodes.realtime import FramePathPriority

_SCRIPT = """
import os, sys, threading
from aegis_ros.nodes.realtime import stay_off_lanes

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
    note, thread, main = _masks(cores[-1])
    assert note == thread == cores[:-1]
    assert main == cores


def test_where_lanes_have_every_core_threads_stay_where_they_are() -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert _masks(*cores) == [cores, cores, cores]


def test_a_lane_without_a_core_takes_none() -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert _masks() == [cores, cores, cores]


_FIRST = """
import os, sys, threading
from aegis_ros.nodes.realtime import FramePathPriority

end, named = threading.Event(), threading.Event()

def middleware():
    open("/proc/thread-self/comm", "w").write("dds.shm.7411")
    named.set()
    end.wait()

def started(target, name=None):
    thread = threading.Thread(target=target, name=name)
    thread.start()
    return thread

def classes(threads):
    for thread in threads:
        policy = os.sched_getscheduler(thread.native_id) & ~os.SCHED_RESET_ON_FORK
        print(policy, os.sched_getparam(thread.native_id).sched_priority)

threads = [started(end.wait, name) for name in ("intake", "unpack", "control")]
threads.append(started(middleware))
named.wait()
first = FramePathPriority(int(sys.argv[1]), [None] * int(sys.argv[2]))
print(first.claim())
classes(threads)
late = started(end.wait, "engine-results")
print(first.claim())
print(first.claim())
classes([late])
print(FramePathPriority(0, [None]).claim())
classes([*threads, late])
end.set()
"""
_NORMAL = f"{os.SCHED_OTHER} 0"


def _first(priority: int, lanes: int = 1) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST, str(priority), str(lanes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def test_threads_on_the_way_of_a_frame_go_first_where_that_is_allowed() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is but one core")
    note, intake, unpack, control, middleware, later, again, late, back, *after = _first(40)
    assert control == _NORMAL
    if "is refused" in note:
        assert intake == unpack == middleware == late == _NORMAL and "ulimit -r" in note
        pytest.skip("SCHED_FIFO is not allowed here")
    assert note == later == "threads for frames and results run as SCHED_FIFO 38"
    assert again == "", "no thread has come since"
    assert intake == middleware == late == f"{os.SCHED_FIFO} 38"
    assert unpack == f"{os.SCHED_FIFO} 37"
    assert (back, after) == ("", [_NORMAL] * 5), "a configuration without a priority undoes it"


@pytest.mark.parametrize(("priority", "lanes"), [(0, 1), (2, 1), (40, 4096)])
def test_they_do_not_go_before_lanes_in_the_normal_class(priority: int, lanes: int) -> None:
    note, *classes = _first(priority, lanes)
    assert note == ""
    assert classes[:4] == [_NORMAL] * 4


def test_memory_that_was_settled_is_collected_anew_the_next_time() -> None:
    import gc
    import weakref

    from aegis_ros.nodes.realtime import freeze_heap

    class Node:
        other: Node | None = None

    one, two = Node(), Node()
    one.other, two.other = two, one
    gone = threading.Event()
    weakref.finalize(one, gone.set)
    try:
        freeze_heap()
        assert gc.get_freeze_count() > 0
        del one, two
        assert not gone.is_set()
        freeze_heap()
        assert gone.is_set()
    finally:
        gc.unfreeze()


def test_a_thread_that_has_the_number_of_one_that_ended_gets_its_class_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    there = [[5, 6], [6], [5, 6]]
    monkeypatch.setattr(realtime, "_threads", lambda: there.pop(0))
    monkeypatch.setattr(realtime, "_set_class", lambda thread, priority: given.append(thread))
    claimed = FramePathPriority(40, [None])
    for _ in range(3):
        claimed.claim()
    assert given == [5, 6, 5]
