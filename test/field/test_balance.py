"""Every frame is accounted for: in diagnostics while it runs, and in the trace afterwards."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aegis_ros.srv import RegisterModel, UnregisterModel
from rclpy.lifecycle import TransitionCallbackReturn

from aegis_ros.rationale import Decision
from aegis_ros.trace import RecordKind, rule_of
from aegis_ros.trace.mcap_file import read_trace
from aegis_ros.trace.states import run_states
from test.nodes.system import System, running

_GIVE_NO_RESULT = (Decision.SKIPPED, Decision.LOST)
_KILLS = int(os.environ.get("AEGIS_KILLS", "3"))  # `make kills` wants more
_MOST_PAUSE_S = 0.3


def _register(system: System, name: str) -> Any:
    answer = system.call(RegisterModel, task=system.task(name))
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    return camera


def _kill_engine(system: System, feed: Any, pause_s: float) -> None:
    """SIGKILL the engine at a moment of its work, and wait until results come again."""
    end = time.monotonic() + pause_s
    while time.monotonic() < end:
        feed()
        time.sleep(0.01)
    status = system.statuses[-1]
    os.kill(status.engine_pid, signal.SIGKILL)
    system.until(lambda: system.statuses[-1].engine_restarts > status.engine_restarts, feed)
    count = len(system.results)
    system.until(lambda: len(system.results) > count, feed)


def test_frames_balance_across_kills_removals_and_a_clean_up(tmp_path: Path) -> None:
    chance = random.Random(_KILLS)
    with running(tmp_path, more="trace: {file: run.mcap}\n") as system:
        eye, ear = _register(system, "eye"), _register(system, "ear")

        encodings = itertools.cycle(("rgb8", "rgb8", "rgb16"))

        def feed() -> None:
            eye.publish(system.image())
            ear.publish(system.image(encoding=next(encodings)))

        system.until(lambda: len(system.results) > 10, feed)
        for kill in range(_KILLS):
            _kill_engine(system, feed, chance.uniform(0.0, _MOST_PAUSE_S))
            if kill % 10 == 1:
                system.call(UnregisterModel, name="ear")
                feed()
                ear = _register(system, "ear")
        count = len(system.results)
        system.until(lambda: len(system.results) > count + 5, feed)
        shown = system.until(lambda: _diagnosed(system, "frames"))
        assert " frames received = " in shown.message
        assert system.node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
        assert system.node.trigger_cleanup() is TransitionCallbackReturn.SUCCESS
    trace = read_trace(tmp_path / "state" / "nodes" / "orchestrator" / "traces" / "run.mcap")
    frames = run_states(trace)[-1].frames
    assert frames.keys() == {"eye", "ear"}
    ends: Counter[str] = Counter()
    for each in trace.rationales:
        if each.decision in _GIVE_NO_RESULT and each.rule != "frames_lost":
            ends[each.task] += each.count
    gated: Counter[tuple[str, str]] = Counter()
    for record in trace.records[trace.records["kind"] == RecordKind.GATED]:
        name = trace.task_name(int(record["task"]))
        gated[name, str(rule_of(int(record["values"][0])))] += 1
    for name, balance in frames.items():
        assert balance.in_flight == 0, balance
        assert balance.results > 0 and balance.received > balance.results
        assert ends[name] == balance.skipped + balance.lost
        # Each frame that became no job is in the trace with its reason, however it is reported.
        assert gated[name, "rate_gate"] > 0
        jobs = [job for job in trace.jobs.values() if trace.task_name(job.task) == name]
        assert jobs and all(job.segments for job in jobs if job.ending == "finished")
    assert gated["ear", "bad_frame"] > 0


def _diagnosed(system: System, name: str) -> Any:
    return next(
        (
            each
            for message in reversed(system.diagnostics)
            for each in message.status
            if each.name == f"/orchestrator: {name}"
        ),
        None,
    )
