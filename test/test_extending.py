"""What docs/extending.md says is enough to add a backend, a plan and policies, is enough."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import backend_names
from aegis_ros.engine import LoadSpec
from aegis_ros.rationale.wording import sentence
from aegis_ros.sandbox.children import child_environment
from aegis_ros.scheduling.adaptation import Choice, Figures, Menu, controller_of
from aegis_ros.scheduling.plans.registry import plan_types, received_plan
from aegis_ros.simulation import Workload, periodic_arrivals, simulate
from test.engine.bench import MS, Bench, simulated

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with the files of the page, found by this process and those it starts."""
    for block in BLOCKS:
        named = re.match(r"# (toy_\w+\.py)\n", block)
        if named:
            (tmp_path / named[1]).write_text(block)
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    groups = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "([\w:]+)"', PAGE)
    assert {group for group, _, _ in groups} == {
        "aegis_ros.adaptation",
        "aegis_ros.backends",
        "aegis_ros.plans",
    }
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n{name} = {target}\n\n" for group, name, target in groups)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plan_types.cache_clear()
    yield tmp_path
    plan_types.cache_clear()
    for name in ("toy_adaptation", "toy_backend", "toy_plan", "toy_policy"):
        sys.modules.pop(name, None)


def test_the_page_has_one_file_for_each(toys: Path) -> None:
    assert {path.name for path in toys.glob("*.py")} == {
        "toy_adaptation.py",
        "toy_backend.py",
        "toy_plan.py",
        "toy_policy.py",
    }


def test_a_toy_backend_is_held_to_the_contract_of_all(toys: Path) -> None:
    (suite,) = (block for block in BLOCKS if block.startswith("# test_toy_backend.py"))
    (toys / "test_toy_backend.py").write_text(suite)

    def ran() -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
        done = subprocess.run(
            [*command, f"--rootdir={toys}", str(toys / "test_toy_backend.py")],
            cwd=toys,
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.stdout

    said = ran()
    assert re.search(r"^1\d passed, \d+ skipped in", said, re.MULTILINE), said
    backend = toys / "toy_backend.py"
    backend.write_text(backend.read_text().replace("part.inputs[0].mean()", "7.0"))
    said = ran()
    assert "FAILED" in said and "test_a_frame_brought_ahead_is_the_one_the_job_sees" in said


def test_a_toy_backend_with_a_toy_plan_runs_in_a_real_engine(toys: Path) -> None:
    assert "toy" in backend_names()
    plan = importlib.import_module("toy_plan").RepeatPlan(100 * MS, 100 * MS, 3)
    with Bench(backend="toy") as bench:
        channel = bench.channel()
        bench.client.load(LoadSpec(1, "toy", simulated(), 0, "camera", plan=None))
        bench.client.load(LoadSpec(2, "planned", simulated(), 0, "camera", plan=plan))
        bench.feed(channel, 1, value=7)
        bench.wait(lambda heard: heard.results, "a mean")
        assert (bench.heard.outputs[0]["values"] == np.float32(7)).all()
        # The plan is known over there: without an outcome that ends it, it goes on for long.
        bench.feed(channel, 2, value=7)
        bench.running(2)
        bench.client.unload(2)
        bench.wait(lambda heard: heard.skips, "the end of a job that would go on")


def test_a_toy_adaptation_policy_is_followed(toys: Path) -> None:
    choices = [Choice(tokens, tokens > 8, "", 1) for tokens in (1, 4, 32)]
    menu = Menu(choices, slots=4, max_len=100, slot_bytes=1)
    controller = controller_of("assistant", menu, "toy")
    assert controller.limits.batch == 4
    slow = Figures(
        now_ns=1,
        prefill=False,
        size=4,
        precision="",
        answers=4,
        context=9,
        tokens=4,
        duration_ns=60 * MS,
        running=4,
        waiting=0,
        arena_used_bytes=0,
        arena_bytes=0,
    )
    (change,) = controller.after(slow)
    assert controller.limits.batch == 1
    assert "policy toy asked for it: the last cycle" in sentence(change)


def test_a_plan_of_a_module_that_fails_stands_in_the_way_of_no_other(toys: Path) -> None:
    (entries,) = toys.glob("*.dist-info/entry_points.txt")
    group = "[aegis_ros.plans]\n"
    entries.write_text(entries.read_text().replace(group, group + "broken = no_such_file:Plan\n"))
    plan = importlib.import_module("toy_plan").RepeatPlan(5, 3, 4)
    sent = msgspec.to_builtins(plan)
    assert received_plan(sent) == plan
    with pytest.raises(msgspec.ValidationError, match=r"broken \(ModuleNotFoundError"):
        received_plan(sent | {"type": "unheard"})


def test_a_toy_plan_runs_under_the_simulator_s_clock(toys: Path) -> None:
    plan = importlib.import_module("toy_plan").RepeatPlan(5, 3, 4)
    task = AnalysisTask("toy", (plan.total_ns,), 100, 100)
    jobs = Workload.of(np.array([0]), np.array([0]), np.array([0]), [(5, 3)])
    runs: list[int] = []

    def outcome_of(job: int, step: int, now_ns: int) -> str:
        runs.append(step)
        return "enough" if len(runs) == 4 else "more"

    outcome = simulate([task], jobs, plans=[plan], outcome_of=outcome_of)
    assert runs == [0, 1, 1, 1] and outcome.finished_ns.tolist() == [5 + 3 * 3]


def test_a_toy_policy_orders_jobs_its_own_way(
    toys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [AnalysisTask("often", (3,), 10, 20), AnalysisTask("rarely", (3,), 40, 10)]
    policy = importlib.import_module("toy_policy").RateMonotonic()
    jobs = periodic_arrivals(tasks, 40)
    first = simulate(tasks, jobs, policy=policy, keep_runs=True).runs[0]
    assert jobs.task[first.job] == 0
    assert jobs.task[simulate(tasks, jobs, keep_runs=True).runs[0].job] == 1
    (example,) = [block for block in BLOCKS if "from toy_policy import" in block]
    exec(compile(example, "extending.md", "exec"), {})
    assert re.fullmatch(r"\d+ jobs late and 0 never ended, of 140\n", capsys.readouterr().out)
