"""What two orchestrators of one host could take from each other, each a real process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aegis_ros.msg import ModelTask
from aegis_ros.srv import RegisterModel, UnregisterModel

from test.field.orchestrators import WAIT_SECONDS, Orchestrators
from test.network.builders import identity_network


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Orchestrators]:
    identity_network(tmp_path / "net.onnx")
    each = Orchestrators(tmp_path)
    yield each
    each.close()


def _admitted(fleet: Orchestrators, folder: Path, name: str, *, below: str, share: float) -> None:
    """Have a task admitted that takes a share of its lane."""
    task = ModelTask(name=name, model=str(folder / "net.onnx"), period_ms=100.0, jitter_ms=1.0)
    task.wcet_ms = 100.0 * share
    task.input.topic, task.output.topic = f"/{name}/image", f"/{name}/result"
    task.preprocess.size = [12, 16]
    fleet.until(lambda: fleet.tasks(below) is not None)
    fleet.ask(RegisterModel, "register_model", lambda: fleet.tasks(below), below=below, task=task)


def _remembered(fleet: Orchestrators, below: str) -> list[str]:
    tasks = fleet.until(lambda: fleet.tasks(below) is not None) and fleet.tasks(below)
    assert all(each.origin.startswith("remembered from 20") for each in tasks)
    return [each.spec.name for each in tasks]


def test_two_robots_with_one_state_directory_have_memories_of_their_own(
    fleet: Orchestrators, tmp_path: Path
) -> None:
    def start() -> list[subprocess.Popen[str]]:
        return [fleet.start(name, below=f"/{name}", state="shared") for name in ("left", "right")]

    first = start()
    _admitted(fleet, tmp_path, "near", below="/left", share=0.1)
    _admitted(fleet, tmp_path, "far", below="/right", share=0.1)
    fleet.end(*first)
    start()
    assert _remembered(fleet, "/left") == ["near"]
    assert _remembered(fleet, "/right") == ["far"]
    fleet.ask(
        UnregisterModel,
        "unregister_model",
        lambda: fleet.tasks("/left") == [],
        below="/left",
        name="near",
    )
    assert _remembered(fleet, "/right") == ["far"]


def test_a_node_that_is_started_twice_is_refused_with_the_pid_of_the_first(
    fleet: Orchestrators,
) -> None:
    first = fleet.start("first", state="shared")
    fleet.until(lambda: fleet.tasks() is not None)
    second = fleet.start("second", state="shared")
    assert second.wait(WAIT_SECONDS) == 1
    said = f"the state of {fleet.root}/orchestrator is in use by process {first.pid}"
    assert said in fleet.log("second")
    assert first.poll() is None


def test_a_core_that_another_orchestrator_has_proven_on_is_refused_unless_both_share_it(
    fleet: Orchestrators, tmp_path: Path
) -> None:
    core = min(os.sched_getaffinity(0))
    own, shared = f"{{name: main, cpu: {core}}}", f"{{name: main, cpu: {core}, shared: true}}"
    first = fleet.start("left", below="/left", lane=own)
    _admitted(fleet, tmp_path, "near", below="/left", share=0.7)
    owner = f"{fleet.root}/left/orchestrator"
    for lane in (own, shared):
        assert fleet.start("right", below="/right", lane=lane).wait(WAIT_SECONDS) == 1
        said = f"core {core} is in use by {owner} (process {first.pid}, 70% admitted)"
        assert said in fleet.log("right") and "shared: true" in fleet.log("right")
        (tmp_path / "right.log").unlink()
    fleet.end(first)
    again = fleet.start("left", below="/left", lane=shared)
    assert _remembered(fleet, "/left") == ["near"]
    fleet.start("right", below="/right", lane=shared)
    _admitted(fleet, tmp_path, "far", below="/right", share=0.7)
    said = f"Core {core} is shared with {owner} (process {again.pid}), which has admitted 70% there"
    fleet.until(lambda: any(said in each for each in fleet.sentences("/right")))
