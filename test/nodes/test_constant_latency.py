"""Results of constant latency over DDS: never early, in order, and gone with their task."""

from __future__ import annotations

from pathlib import Path

import pytest
from aegis_ros.srv import UnregisterModel

from test.left_behind import threads_of
from test.nodes.system import System, running

_TASK = """  - {{name: {name}, model: {model}, period_ms: {period}, deadline_ms: {deadline},
     jitter_ms: 5, wcet_ms: 1,
     input: {{topic: /{name}/image, max_size: [64, 64]}},
     preprocess: {{size: [12, 16], resize: stretch}},
     output: {{topic: /{name}/result, constant_latency_ms: {constant}}}}}
"""


def _tasks(folder: Path, *tasks: tuple[str, float, float, float]) -> str:
    model = folder / "identity.onnx"
    return "".join(
        _TASK.format(name=name, model=model, period=period, deadline=deadline, constant=constant)
        for name, period, deadline, constant in tasks
    )


def _feed(system: System, name: str, count: int) -> None:
    """Publish frames until that many results are there."""
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    system.until(
        lambda: len(system.results_of(name)) >= count, lambda: camera.publish(system.image())
    )


def test_no_result_comes_before_its_constant_latency_and_each_says_so(tmp_path: Path) -> None:
    with running(tmp_path, _tasks(tmp_path, ("steady", 50, 500, 120))) as system:
        _feed(system, "steady", 5)
        results = system.results_of("steady")
        assert [each.job for each in results] == sorted(each.job for each in results)
        for each in results:
            timing = each.timing
            stamped, published, finished = (
                at.sec * 10**9 + at.nanosec
                for at in (timing.stamped, timing.published, timing.finished)
            )
            assert each.header.stamp == timing.stamped
            assert finished < published
            assert published - stamped >= 120_000_000
            assert abs(timing.response_ms - (published - stamped) / 1e6) < 1e-6
            assert timing.met == (timing.response_ms <= 500.0)
            assert len(each.tensors) == 1 and len(each.tensors[0].data) == 4 * 3 * 12 * 16
        said = system.rationale("demand_bound", "steady").sentence
        assert "120 ms old (output.constant_latency_ms)" in said


@pytest.mark.parametrize("ends", ["task", "node"])
def test_a_result_that_is_kept_keeps_no_other_task_waiting_nor_the_end(
    ends: str, tmp_path: Path
) -> None:
    tasks = _tasks(tmp_path, ("slow", 60_000, 1500_000, 600_000), ("quick", 50, 500, 0))
    with running(tmp_path, tasks) as system:
        system.listen("slow")
        slow = system.camera("slow")
        system.until(lambda: slow.get_subscription_count() > 0)
        before = threads_of("hold")
        slow.publish(system.image())
        # It waits: the thread that sends it begins with the first.
        system.until(lambda: threads_of("hold") - before)
        _feed(system, "quick", 2)
        assert not system.results_of("slow")
        if ends == "task":
            assert system.call(UnregisterModel, name="slow").success
    # Had the end waited for it, this test would have run out of time.
