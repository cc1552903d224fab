"""The page of all benchmarks, and the ratios of two commits."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import benchmarks.__main__ as suite
from benchmarks.compare_commits import clean_environment, mixed_folder, ratios
from benchmarks.page import Outcome, as_values, page
from benchmarks.parts import PARTS, Part
from benchmarks.report import Figure

_PART = Part("engine", "The engine", "benchmarks.engine")
_FIGURE = Figure("release | start", "us", 1530, 69.5, 138.6, 2157.1)


def test_every_benchmark_but_that_of_gpus_has_a_part() -> None:
    folder = Path(suite.__file__).parent
    there = {path.parent.name for path in folder.glob("*/__main__.py")} - {"gpu"}
    assert {part.module.split(".")[1] for part in PARTS} == there
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_a_figure_stands_beside_its_command_machine_and_duration() -> None:
    published = {"rows": [asdict(_FIGURE)]}
    good = Outcome(_PART, "python -m benchmarks.engine --quick", 90.0, 0.25, "", published)
    text = page("EPYC, 2 cores", "2026-01-02", "0.1.0", [good])
    assert "- machine: EPYC, 2 cores" in text
    assert "- failed: nothing" in text
    assert "`python -m benchmarks.engine --quick`\n\n1 min 30 s; other programs used 0.25" in text
    assert "| release \\| start | 69.5 | 139 | 2,157 | us | 1,530 |" in text


def test_a_part_that_failed_is_named_with_its_reason() -> None:
    bad = Outcome(_PART, "python -m benchmarks.engine", 1.0, 0.0, "rejected: utilization", {})
    text = page("one", "today", "0.1.0", [bad])
    assert "- failed: engine" in text and "rejected: utilization" in text
    assert as_values("one", "today", "0.1.0", [bad])["parts"][0]["failed"] == bad.reason


def _run(folder: Path, program: str, limit_s: float = 60.0) -> Outcome:
    (folder / "benchmark_in_a_test.py").write_text(program)
    return suite.run(Part("one", "One", "benchmark_in_a_test"), folder, limit_s)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(suite, "_ROOT", tmp_path)
    return tmp_path


def test_figures_and_reason_of_a_part_are_taken_from_its_process(folder: Path) -> None:
    good = _run(folder, "import sys; open(sys.argv[-1], 'w').write('{\"rows\": [1]}')")
    assert (good.reason, good.published) == ("", {"rows": [1]})
    assert good.command == "python -m benchmark_in_a_test --quick"
    assert _run(folder, "raise SystemExit('no camera')").reason == "no camera"
    assert _run(folder, "").reason == "it wrote no figures"


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_a_part_that_takes_too_long_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, handler: signal.Handlers
) -> None:
    monkeypatch.setattr(suite, "_END_S", 3600.0)  # it ends because it is asked, not killed
    before = signal.signal(signal.SIGINT, handler)  # a shell has its background ignore it
    try:
        slow = _run(folder, "import time\nprint('waiting', flush=True)\ntime.sleep(3600)", 3.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert slow.reason.startswith("not done after 3 s")


def test_the_other_parts_still_run_and_the_exit_code_says_that_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(part: Part, out: Path, limit_s: float) -> Outcome:
        ran.append(part.name)
        return Outcome(part, "command", 1.0, 0.0, "broken" * (part.name == "engine"), {})

    ran: list[str] = []
    monkeypatch.setattr(suite, "run", run)
    monkeypatch.setattr(
        sys, "argv", ["benchmarks", "--out", str(tmp_path), "--only", "engine", "trace"]
    )
    with pytest.raises(SystemExit) as ended:
        suite.main()
    assert ended.value.code == 1
    assert ran == ["engine", "trace"]
    assert "- failed: engine" in (tmp_path / "page.md").read_text()


def test_a_ratio_above_one_is_worse_also_where_more_is_better() -> None:
    def side(wait: float, rate: float) -> list[Figure]:
        return [Figure("wait", "us", 9, wait), Figure("simulator", "jobs/ms", 9, rate)]

    wait, rate = ratios([(side(10, 100), side(11, 50)), (side(20, 100), side(20, 100))])
    assert (wait.old, wait.new, wait.rounds) == (15.0, 15.5, 2)
    assert (wait.ratio, wait.least, wait.most) == pytest.approx((1.05, 1.0, 1.1))
    assert (rate.ratio, rate.least, rate.most) == pytest.approx((1.5, 1.0, 2.0))


def test_only_figures_that_both_have_are_compared() -> None:
    assert ratios([([Figure("a", "us", 1, 1.0)], [Figure("b", "us", 1, 1.0)])]) == []


def test_another_checkouts_environment_begins_without_this_ones() -> None:
    root = Path("/home/robot/aegis")
    environ = {
        "PATH": f"{root}/.venv/bin:/usr/bin",
        "AMENT_PREFIX_PATH": f"{root}/install:{root}/.venv",
        "VIRTUAL_ENV": f"{root}/.venv",
        "HOME": "/home/robot",
    }
    assert clean_environment(environ, root) == {"PATH": "/usr/bin", "HOME": "/home/robot"}


def test_this_checkouts_benchmarks_can_run_on_another_package(tmp_path: Path) -> None:
    side = tmp_path / "side"
    (side / "aegis_ros").mkdir(parents=True)
    mixed = mixed_folder(side, tmp_path)
    assert (mixed / "benchmarks" / "report.py").exists()
    assert (mixed / "aegis_ros").resolve() == side / "aegis_ros"
