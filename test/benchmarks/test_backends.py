"""The benchmark of backends: a process each, which says what went wrong and ends with its user."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends import create_backend
from aegis_ros.backends.testing.networks import make_network
from benchmarks.backends.__main__ import Way, _time
from benchmarks.backends.runner import running

CORE = max(os.sched_getaffinity(0))


def test_ways_take_turns_and_one_that_is_refused_is_left_out(tmp_path: Path) -> None:
    compiled = create_backend("onnxruntime").compile(make_network(tmp_path), tmp_path)
    with running("onnxruntime", CORE) as one, running("onnxruntime", CORE) as other:
        assert one.opened.ms > 0 and one.opened.mib > 0
        runners = {"one": one, "other": other}
        ways = [Way("net", name, place=0) for name in runners]
        for way in ways:
            way.start = runners[way.backend].load(compiled)
        refused = Way("net", "one", refused="it cannot")
        _time([*ways, refused], runners, 0.0)
    assert all(len(way.taken_ns) >= 3 and min(way.taken_ns) > 0 for way in ways)
    assert refused.taken_ns == []
    assert multiprocessing.active_children() == []


def test_what_a_backend_refuses_is_said_and_the_next_one_runs(tmp_path: Path) -> None:
    compiled = create_backend("onnxruntime").compile(make_network(tmp_path), tmp_path)
    with running("onnxruntime", CORE) as runner:
        with pytest.raises(RuntimeError, match=r"onnxruntime: BackendError.*gone\.onnx"):
            runner.load(replace(compiled, paths=(str(tmp_path / "gone.onnx"),)))
        runner.load(compiled)
        assert runner.networks == 1 and runner.run(0, 0.0)
