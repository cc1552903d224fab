"""`aegis check` counts the jitter that a chain causes, as the orchestrator does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.planning.answer import judge
from aegis_ros.planning.task_set import TaskSet
from aegis_ros.simulation import Workload, simulate

DETECTOR = AnalysisTask("detector", (10,), 100, 60)
CLASSIFIER = AnalysisTask("classifier", (10,), 100, 98)
OTHER = AnalysisTask("other", (30,), 100, 100)


def asked(classifier: AnalysisTask = CLASSIFIER, *, chained: bool = True) -> TaskSet:
    follows = {"classifier": "detector"} if chained else {}
    return TaskSet((DETECTOR, classifier, OTHER), ("main",), follows=follows)


def test_the_response_of_a_chain_counts_from_the_frame_of_its_first_stage() -> None:
    answer = judge(asked())
    assert answer.schedulable
    detector, classifier = answer.bound_of("detector"), answer.bound_of("classifier")
    assert detector is not None and classifier is not None
    assert detector.bound_ns == 49  # behind the other, and a classifier of the frame before
    assert classifier.bound_ns >= detector.bound_ns + 10
    # The worst that can happen to a chain in one period: both stages are blocked.
    jobs = Workload.of(
        np.array([2, 0, 2, 1]),
        np.array([-1, 0, 38, 0]),
        np.array([-1, 0, 38, 39]),
        [(30,), (10,), (30,), (10,)],
    )
    worst = simulate([DETECTOR, CLASSIFIER, OTHER], jobs).worst_response_ns()
    assert worst[1] <= classifier.bound_ns


def test_a_follower_goes_to_the_lane_on_which_its_chain_is_not_late() -> None:
    tight = replace(CLASSIFIER, deadline_ns=80)
    tasks = (replace(DETECTOR, lane="main"), tight, replace(OTHER, lane="main"))
    follows = {"classifier": "detector"}
    answer = judge(TaskSet(tasks, ("main", "side"), follows=follows))
    assert answer.schedulable and answer.assignment.lane_of["classifier"] == "side"
    assert not judge(TaskSet(tasks, ("main",), follows=follows)).schedulable


def test_a_set_that_holds_without_its_chain_is_rejected_with_it() -> None:
    tight = replace(CLASSIFIER, deadline_ns=80)
    assert judge(asked(tight, chained=False)).schedulable
    answer = judge(asked(tight))
    assert not answer.schedulable and answer.bound_of("classifier") is None
