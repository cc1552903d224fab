from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="the extra `dashboard` is not installed")

from prometheus_client.parser import text_string_to_metric_families

from aegis_ros.dashboard import Feed, RejectedView
from aegis_ros.dashboard.metrics import Metrics
from test.dashboard.robot import a_decision, a_generator, a_job, a_status, a_task, fill

_OLDER = (
    "model_arena_usage_bytes",
    "model_arena_capacity_bytes",
    "inference_latency_ms",
    "exit_level",
    "quota_exceeded_count",
)
ROOT = Path(__file__).resolve().parents[2]


def _read(feed: Feed) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    text = Metrics(feed, "/robot/orchestrator").render().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _names() -> set[str]:
    feed = Feed()
    fill(feed, 0.0)
    assert feed.status is not None
    feed.put_status(replace(feed.status, generators=(a_generator(),)))
    return set(_read(feed))


def test_before_the_first_status_only_its_absence_is_reported() -> None:
    found = _read(Feed())
    assert found == {"aegis_up": [({"orchestrator": "/robot/orchestrator"}, 0.0)]}


def test_durations_are_seconds_and_counts_end_in_total() -> None:
    feed = Feed()
    feed.put_status(a_status((a_task(deadline_ms=80.0, missed=7, response_p99_ms=48.0),)))
    found = _read(feed)
    labels = {"orchestrator": "/robot/orchestrator", "task": "face_detector", "lane": "main"}
    assert found["aegis_task_deadline_seconds"] == [(labels, 0.08)]
    assert found["aegis_task_deadline_misses_total"] == [(labels, 7.0)]
    assert ({**labels, "quantile": "0.99"}, 0.048) in found["aegis_task_response_seconds"]
    assert found["aegis_up"][0][1] == 1.0


def test_tasks_that_were_not_admitted_are_counted() -> None:
    feed = Feed()
    gone = RejectedView("map", "from the configuration file", "no such file")
    feed.put_status(a_status(rejected=(gone,)))
    assert _read(feed)["aegis_tasks_rejected"][0][1] == 1.0


def test_frames_left_out_and_early_exits_are_counted() -> None:
    feed = Feed()
    feed.put_status(a_status((a_task(decimation=3, decimated=20, early_exits=4),)))
    found = _read(feed)
    assert found["aegis_task_every_nth"][0][1] == 3.0
    assert found["aegis_task_frames_thinned_total"][0][1] == 20.0
    assert found["aegis_task_early_exits_total"][0][1] == 4.0


def test_generators_have_their_own_metrics() -> None:
    feed = Feed()
    feed.put_status(a_status(generators=(a_generator(), a_generator(name="b", device_use=-1.0))))
    found = _read(feed)
    labels = {"orchestrator": "/robot/orchestrator", "generator": "assistant", "lane": "main"}
    for name, value in (
        ("tokens_per_second", 51.5),
        ("tokens_total", 4_321.0),
        ("step_seconds", 0.01925),
        ("requests_waiting", 3.0),
        ("batch_limit", 4.0),
        ("arena_peak_bytes", 410.0 * 2**20),
        ("cache_reserved_bytes", 360.0 * 2**20),
        ("cache_used_bytes", 180.0 * 2**20),
        ("steps_given_up", 1.0),
        ("stalled_seconds", 0.02),
        ("limit_changes_total", 2.0),
        ("out_of_memory_total", 1.0),
    ):
        assert (labels, value) in found[f"aegis_generator_{name}"]
    assert ({**labels, "precision": "int8"}, 1.0) in found["aegis_generator_precision"]
    states = found["aegis_generator_state"]
    assert ({**labels, "state": "running"}, 1.0) in states
    assert ({**labels, "state": "refused"}, 0.0) in states
    uses = [value for _, value in found["aegis_generator_device_use_ratio"]]
    assert uses[0] == 0.83 and uses[1] != uses[1], "not a number where it is not known"


def test_a_status_that_grew_old_is_no_sign_of_life() -> None:
    now_s = [0.0]
    feed = Feed(clock_s=lambda: now_s[0])
    feed.put_status(a_status())
    now_s[0] = 60.0
    found = _read(feed)
    assert found["aegis_up"][0][1] == 0.0
    assert found["aegis_status_age_seconds"][0][1] == 60.0


def test_exactly_one_state_holds() -> None:
    feed = Feed()
    feed.put_status(a_status((a_task(state="shed"),), state="inactive"))
    found = _read(feed)
    assert [labels["state"] for labels, value in found["aegis_state"] if value] == ["inactive"]
    assert [labels["state"] for labels, value in found["aegis_task_state"] if value] == ["shed"]


def test_names_from_a_robot_cannot_break_the_format() -> None:
    feed = Feed()
    feed.put_status(a_status(device='GPU "x"\n} 1\naegis_evil 1'))
    found = _read(feed)
    assert "aegis_evil" not in found
    assert found["aegis_engine_info"][0][0]["device"] == 'GPU "x"\n} 1\naegis_evil 1'


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    assert set(re.findall(r"`(aegis_[a-z_]+)`", page)) | set(_OLDER) == _names()
    for name in _OLDER:
        assert f"| `{name}` |" in page


def test_memory_has_the_names_that_older_dashboards_ask_for() -> None:
    feed = Feed()
    tasks = (a_task(), a_task("map", execution_p50_ms=12.0, execution_max_ms=15.5))
    feed.put_job(replace(a_job("map", 1, 0.0), early_exit=True))
    feed.put_job(a_job("gone", 1, 0.0))
    feed.put_status(
        replace(a_status(tasks, generators=(a_generator(),)), arena_used_bytes=460 * 2**20)
    )
    for decision, rule in (("shed", "memory"), ("rejected", "arena"), ("restored", "memory")):
        feed.put_decision(replace(a_decision(decision=decision), rule=rule, count=2))
    found = _read(feed)
    usage = {labels["task"]: value for labels, value in found["model_arena_usage_bytes"]}
    assert set(usage) == {"face_detector", "map", "assistant", ""}
    assert usage["map"] == 48 * 2**20 and usage["assistant"] == 360 * 2**20
    assert usage[""] == 4 * 2**20 and sum(usage.values()) == 460 * 2**20
    assert found["model_arena_capacity_bytes"][0][1] == 512 * 2**20
    latency = {(each["task"], each["quantile"]): v for each, v in found["inference_latency_ms"]}
    assert latency["map", "0.5"] == 12.0 and latency["map", "1"] == 15.5
    assert [(each["task"], v) for each, v in found["exit_level"]] == [("map", 1.0)]
    assert [(each["rule"], v) for each, v in found["quota_exceeded_count"]] == [
        ("arena", 2.0),
        ("memory", 2.0),
    ]


def test_the_grafana_dashboard_asks_only_for_metrics_that_exist() -> None:
    dashboard = json.loads((ROOT / "config" / "grafana.json").read_text())
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            asked |= set(re.findall(r"\baegis_[a-z_]+", target["expr"]))
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len(asked) > 10
    assert asked <= _names()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
