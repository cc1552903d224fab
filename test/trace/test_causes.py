"""Blame: a job made late on purpose is late because of what was done to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.trace import RECORD, RecordKind
from aegis_ros.trace.causes import Cause, CauseKind, Causes
from aegis_ros.trace.history import Trace
from test.trace.made import Release, traced

_MS = 1_000_000
_CAMERA = AnalysisTask("camera", (4 * _MS,), 20 * _MS, 15 * _MS, 2 * _MS)
_LIDAR = AnalysisTask("lidar", (3 * _MS,), 20 * _MS, 12 * _MS)
_SLAM = AnalysisTask("slam", (9 * _MS, 9 * _MS), 100 * _MS, 90 * _MS)
_TASKS = [_CAMERA, _LIDAR, _SLAM]
_VICTIM = 5  # of the camera's jobs


def _usual() -> list[Release]:
    """Ten rounds in which nothing is late."""
    releases: list[Release] = []
    for n in range(10):
        at = n * 20 * _MS
        releases.append((0, at, at, (4 * _MS,)))
        releases.append((1, at, at, (3 * _MS,)))
    return releases


def _late(trace: Trace, *, name: str = "camera") -> tuple[Cause, ...]:
    late = [job for job in trace.jobs.values() if job.late_ns > 0]
    assert [trace.task_name(job.task) for job in late] == [name], "just the one job is late"
    return Causes(trace).of(late[0])


def test_nothing_is_late_in_the_usual_rounds() -> None:
    trace = traced(_TASKS, _usual())
    assert all(job.late_ns <= 0 for job in trace.jobs.values())


def test_a_blocker_is_blamed_for_blocking() -> None:
    blocker = replace(_SLAM, segments_ns=(18 * _MS,))
    at = _VICTIM * 20 * _MS
    releases = [item for item in _usual() if item[:2] != (1, at)]
    releases.append((2, at - _MS, at - _MS, (18 * _MS,)))
    cause = _late(traced([_CAMERA, _LIDAR, blocker], releases))[0]
    assert cause.kind is CauseKind.BLOCKING and cause.task == 2 and cause.enough
    assert not cause.breach, "it is as long as it declared to be"
    assert "slam#" in cause.sentence and "17 ms" in cause.sentence


def test_an_overrun_of_another_task_is_blamed_on_that_task() -> None:
    at = _VICTIM * 20 * _MS
    releases = [(1, at, at, (13 * _MS,)) if item[:2] == (1, at) else item for item in _usual()]
    trace = traced([_CAMERA, replace(_LIDAR, deadline_ns=14 * _MS), _SLAM], releases)
    cause = _late(trace)[0]
    assert cause.kind is CauseKind.OTHERS_OVERRUN and cause.task == 1 and cause.breach
    assert cause.excess_ns == 10 * _MS


def test_its_own_overrun_is_blamed_on_itself() -> None:
    at = _VICTIM * 20 * _MS
    releases = [(0, at, at, (13 * _MS,)) if item[:2] == (0, at) else item for item in _usual()]
    cause = _late(traced(_TASKS, releases))[0]
    assert cause.kind is CauseKind.OWN_OVERRUN and cause.breach
    assert cause.excess_ns == 9 * _MS


def test_a_burst_is_blamed_on_the_task_that_came_too_often() -> None:
    at = _VICTIM * 20 * _MS
    releases = _usual() + [(1, at + n, at + n, (3 * _MS,)) for n in range(1, 4)]
    cause = _late(traced(_TASKS, releases))[0]
    assert cause.kind is CauseKind.BURST and cause.task == 1 and cause.breach
    assert len(cause.jobs) == 3 and cause.excess_ns == 9 * _MS


def test_a_frame_that_came_late_is_blamed_on_the_way_it_came() -> None:
    at = _VICTIM * 20 * _MS
    releases = [
        (0, at, at + 12 * _MS, (4 * _MS,)) if item[:2] == (0, at) else item for item in _usual()
    ]
    cause = _late(traced(_TASKS, releases))[0]
    assert cause.kind is CauseKind.LATE_FRAME and cause.excess_ns == 10 * _MS
    assert "declared jitter 2 ms" in cause.sentence


def test_a_late_frame_is_seen_by_its_stamp_where_the_gate_saw_it_in_time() -> None:
    trace = traced(_TASKS, _usual())
    job = trace.by_task[0][_VICTIM]
    row = (RecordKind.FRAME, 0, 0, 0, job.seq, job.arrival_ns, [job.arrival_ns - 12 * _MS, 0, 0, 0])
    records = np.concatenate([trace.records, np.array([(*row, 0)], RECORD)])
    cause = _late(Trace(records, trace.tasks, trace.lanes))[0]
    assert cause.kind is CauseKind.LATE_FRAME and cause.excess_ns == 10 * _MS
    assert cause.breach and cause.enough


@pytest.mark.parametrize("declared_ns", [0, 3 * _MS])
def test_a_slow_publisher_is_blamed_for_publishing(declared_ns: int) -> None:
    trace = _published(traced(_TASKS, _usual()), declared_ns, slow=True)
    cause = _late(trace)[0]
    assert cause.kind is CauseKind.PUBLISH
    assert cause.breach == bool(declared_ns)
    assert "publishing its result took 14 ms" in cause.sentence


def test_a_slow_decoder_is_distinguished_from_a_slow_publisher() -> None:
    trace = _published(traced(_TASKS, _usual()), 3 * _MS, slow=False)
    assert _late(trace)[0].kind is CauseKind.OUTPUT


def _published(trace: Trace, declared_ns: int, *, slow: bool) -> Trace:
    """Let the camera's results be decoded and published; one of them takes 14 ms."""
    rows = []
    for index, job in enumerate(trace.by_task[0]):
        decoded = published = _MS // 10
        if index == _VICTIM:
            decoded, published = (decoded, 14 * _MS) if slow else (14 * _MS, published)
        handed = job.finished_ns
        rows.append(
            (RecordKind.PUBLISHED, 0, 0, 0, job.seq, handed + decoded + published,
             [handed, handed + decoded, 0, 0], 0)
        )  # fmt: skip
    records = np.concatenate([trace.records, np.array(rows, RECORD)])
    tasks = {**trace.tasks, 0: replace(trace.tasks[0], publish_ns=declared_ns)}
    return Trace(records, tasks, trace.lanes)


def test_what_is_usual_is_not_to_blame() -> None:
    trace = traced(_TASKS, _usual())
    job = trace.by_task[0][_VICTIM]
    assert job.latency_ns == 7 * _MS, "the lidar runs first, as always"
    assert Causes(trace).of(job) == ()
