"""Lanes of two backends behind one node; subscribers do not notice that a task moves."""

from __future__ import annotations

from pathlib import Path

import pytest
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


def test_lanes_are_chosen_and_reported_before_the_first_task_is_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_off: list[list[int]] = []
    monkeypatch.setattr(
        "aegis_ros.nodes.orchestrator.stay_off_lanes",
        lambda cores: kept_off.append(sorted(cores)),
    )
    tasks = "".join(
        f"  - {{name: {name}, model: '{tmp_path}/identity.onnx', period_ms: 20000, segments: 1,\n"
        f"     input: {{topic: /{name}, max_size: [24, 32]}}, preprocess: {{size: [12, 16]}},\n"
        f"     output: {{topic: /{name}/out}}}}\n"
        for name in ("near", "far")
    )
    with running(tmp_path, tasks, lanes="auto") as system:
        decisions = system.until(
            lambda: (
                system.rationales
                if sum(each.decision == "admitted" for each in system.rationales) == 2
                else []
            )
        )
        rules = [each.rule for each in decisions if each.rule == "lane_choice"]
        assert len(rules) == 1
        chosen = next(each for each in decisions if each.rule == "lane_choice")
        first = next(each for each in decisions if each.decision == "admitted")
        assert decisions.index(chosen) < decisions.index(first)
        assert "1 lane" in chosen.sentence
        # Two networks that are hardly ever asked for: whatever was chosen is what runs.
        lanes = {each.lane for each in decisions if each.decision == "admitted"}
        assert lanes <= {"main", "lane1", "lane2", "lane3", "lane4"}
        assert all(f"lane {lane}: " in chosen.sentence for lane in lanes)
        # For each set of lanes that networks were measured on, and then for what was chosen.
        assert len(kept_off) >= 2 and all(kept_off)
        numbers = [each.id for each in decisions]
        assert numbers == sorted(set(numbers))
