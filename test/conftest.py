"""What all tests share: which domain they hear, and what happens where ROS 2 is absent."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aegis_ros.sandbox.descendants import end_with_this_process
from aegis_ros.sandbox.scratch import Scratch
from test import last_words, left_behind, own_process
from test.domains import own_domain
from test.given_back import giving_back

# Known before Hypothesis reads --hypothesis-profile. How long an example takes is the machine's,
# and how many in a row are filtered is luck's. So is what a run finds that looks for new examples:
# the long one does, the short one has the same each time.
_UNLUCKY = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile("short", deadline=None, suppress_health_check=_UNLUCKY, derandomize=True)
settings.register_profile("long", deadline=None, suppress_health_check=_UNLUCKY, max_examples=3_000)
settings.load_profile("short")

_DOMAINS = range(40, 100)
_CLAIMS = Scratch()
_NEEDS_ROS = ("nodes", "field")
_NEED_NETWORKS = ("backends", "cli", "engine", "field", "nodes", "orchestrator", "planning")
_ASKED: list[Any] = []  # of this process
_WHY = "ROS 2 with this package's messages is not on the path (`make build`, then `make unit`)"


@pytest.fixture(autouse=True, scope="module")
def asked_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Have tests of these folders prepare and build the same network once in a run of tests.

    Child processes for each would take a third of the time of all tests, and these are not about
    them; ``asked_anew`` is for those that are.
    """
    if request.path.relative_to(Path(__file__).parent).parts[0] not in _NEED_NETWORKS:
        yield
        return
    from aegis_ros.sandbox.children import run_child
    from test.asked_once import AskedOnce, asking_once

    if not _ASKED:
        base = tmp_path_factory.getbasetemp()
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        _ASKED.append(AskedOnce(shared / "asked", run_child))
    with asking_once(_ASKED[0]):
        yield


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test start every child itself."""
    if _ASKED:
        monkeypatch.setattr(_ASKED[0], "anew", True)


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold that no thread of an audit log outlives the module that began it.

    All tests share a process: what a module leaves there is in the way of those to come. With
    AEGIS_LEFT_BEHIND set to a file, all that each leaves is written there.
    """
    report = os.environ.get("AEGIS_LEFT_BEHIND")
    opened = left_behind.opened_now() if report else Counter()
    before = left_behind.threads_of("audit")
    with giving_back():
        yield
    if report:
        more = left_behind.opened_now()
        more.subtract(opened)
        with open(report, "a") as file:
            for what, count in sorted(more.items()):
                if count:
                    file.write(f"{request.path.name}: {count:+} {what}\n")
    assert not left_behind.threads_of("audit") - before, "an orchestrator was not cleaned up"


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    """Give back what helpers have opened for a test."""
    with giving_back():
        yield


def pytest_configure(config: pytest.Config) -> None:
    for plugin in (last_words, own_process):
        config.pluginmanager.register(plugin)
    # Every test process hears only itself on DDS, whatever else runs on this machine.
    domain = own_domain(_DOMAINS)
    os.environ["ROS_DOMAIN_ID"] = str(domain.number)
    # What a killed test run has started would answer there: it ends, and keeps the domain so long.
    end_with_this_process(held=[domain.lock])
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # Nor do they take each other's cores.
    os.environ["AEGIS_CLAIMS_DIR"] = str(_CLAIMS.path)
    if os.environ.get("AEGIS_REQUIRE_ROS") and not _ros_is_here():
        raise pytest.UsageError(_WHY)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    relative = module_path.relative_to(Path(__file__).parent)
    if relative.parts[0] in _NEEDS_ROS and not _ros_is_here():
        module: pytest.Module = _SkippedModule.from_parent(parent, path=module_path)
        return module
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was skipped by its reason: each says what would run it."""
    reasons = Counter(
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped, and what would run it")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:4}  {reason.removeprefix('Skipped: ')}")


class _SkippedModule(pytest.Module):
    """A test module that would import rclpy where there is none."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        raise pytest.skip.Exception(_WHY, allow_module_level=True)


def _ros_is_here() -> bool:
    return all(importlib.util.find_spec(name) for name in ("rclpy", "sensor_msgs")) and bool(
        importlib.util.find_spec("aegis_ros.msg")
    )
