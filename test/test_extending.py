"""What docs/extending.md says is enough to add a backend, a plan and a policy, is enough."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import backend_names
from aegis_ros.config import parse_config
from aegis_ros.engine import LoadSpec
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.scheduling.plans.registry import plan_types
from aegis_ros.simulation import Workload, periodic_arrivals, simulate
from test.engine.bench import MS, Bench, simulated

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = dict(re.findall(r"```\w+\n# ((?:toy|pyproject)[\w.]+)\n(.*?)```", PAGE, re.DOTALL))
_OFFLINE = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "-q"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package of the page, as it stands there."""
    source = tmp_path_factory.mktemp("toys")
    for name, text in FILES.items():
        (source / name).write_text(text)
    (command,) = re.findall(r"^(pip install \S+)", PAGE, re.MULTILINE)
    target = tmp_path_factory.mktemp("installed")
    ran = subprocess.run(
        [sys.executable, "-m", *command.split(), *_OFFLINE, "--target", str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return target


@pytest.fixture
def toys(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, found by this process and those it starts."""
    monkeypatch.syspath_prepend(str(installed))
    importlib.invalidate_caches()
    plan_types.cache_clear()
    yield installed
    plan_types.cache_clear()
    for name in ("toy_backend", "toy_plan", "toy_policy"):
        sys.modules.pop(name, None)


def test_the_page_has_one_file_for_each(toys: Path) -> None:
    assert {path.name for path in toys.glob("*.py")} == {
        "toy_backend.py",
        "toy_plan.py",
        "toy_policy.py",
    }


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
        # The plan is known over there: without an outcome that ends it, it goes on.
        bench.feed(channel, 2, value=7)
        bench.running(2)
        bench.client.unload(2)
        bench.wait(lambda heard: heard.skips, "the end of a job that would go on for ever")


def test_the_configuration_of_the_page_is_admitted_on_the_toy_backend(
    toys: Path, tmp_path: Path
) -> None:
    spec = parse_config(FILES["toy.yaml"])
    assert spec.device.backend == "toy"
    orchestrator = Orchestrator(spec, state_dir=tmp_path, on_result=lambda _, result: None)
    try:
        (answer,) = orchestrator.configure()
        assert answer.accepted, answer.rationale.sentence
        assert "measured budget" in answer.rationale.sentence
    finally:
        orchestrator.cleanup()


def test_a_toy_plan_runs_under_the_simulator_s_clock(toys: Path) -> None:
    plan = importlib.import_module("toy_plan").RepeatPlan(5, 3, 4)
    task = AnalysisTask("toy", (plan.total_ns,), 100, 100)
    jobs = Workload.of(np.array([0]), np.array([0]), np.array([0]), [(5, 3)])
    runs: list[int] = []

    def outcome_of(job: int, step: int) -> str:
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
    exec(compile(BLOCKS[-1], "extending.md", "exec"), {})
    assert re.fullmatch(r"\d+ of 140 jobs late\n", capsys.readouterr().out)
