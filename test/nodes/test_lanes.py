"""Lanes of two backends behind one node; subscribers do not notice that a task moves."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.srv import RegisterModel

from test.nodes.system import running

TWO = "{name: main}, {name: spare, backend: simulated}"


def test_results_go_on_when_a_task_moves_to_a_lane_of_another_backend(tmp_path: Path) -> None:
    with running(tmp_path, lanes=TWO) as system:
        first = system.task("map", wcet_ms=60.0, period_ms=200.0)
        answer = system.call(RegisterModel, task=first)
        assert answer.admitted, answer.rationale
        system.listen("map")
        camera = system.camera("map")
        system.until(lambda: camera.get_subscription_count() > 0)
        system.until(
            lambda: system.results_of("map"), lambda: camera.publish(system.image(value=100))
        )
        urgent = system.task("urgent", wcet_ms=70.0, period_ms=100.0, lane="main")
        answer = system.call(RegisterModel, task=urgent)
        assert answer.admitted, answer.rationale.sentence
        assert "map moves from lane main to spare" in answer.rationale.sentence
        before = len(system.results_of("map"))
        system.until(
            lambda: len(system.results_of("map")) > before + 1,
            lambda: camera.publish(system.image(value=100)),
        )
        # The same publisher, and jobs that are counted on.
        assert camera.get_subscription_count() == 1
        jobs = [result.job for result in system.results_of("map")]
        assert jobs == sorted(set(jobs)) and jobs[0] == 0
        moved = [each.sentence for each in system.rationales if "moved from" in each.sentence]
        assert len(moved) == 1 and "so that urgent fits" in moved[0]
