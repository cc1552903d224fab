"""Kernels of TVM in tiles: the same numbers in any way, and the fastest one kept by a search."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends.tuning import Tuned
from aegis_ros.backends.tvm.backend import TvmBackend
from aegis_ros.errors import ModelError
from aegis_ros.sandbox import children
from aegis_ros.spec import PreprocessSpec, ResizeMode
from test.backends.extras import needs
from test.backends.test_tvm import computed, loaded, small_network

pytestmark = needs("tvm")
TILE = {"channels": 2, "rows": 2, "columns": 8, "order": "channels", "place": "block"}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a process found that has TVM's compiler, which this one must not load."""
    said = subprocess.run(
        [sys.executable, "-m", "test.backends.tile_kernels"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return answer


def test_every_way_to_compute_a_kernel_gives_the_same_bits(found):
    # The softmax has two sums, and what scatters no blocks: they stay as they are.
    assert found["all"] == found["able"] + 2
    assert found["ways"]["different"] == []
    assert found["ways"]["count"] > 2 * found["able"]


def test_a_search_keeps_what_was_fastest_and_begins_where_an_earlier_one_ended(found):
    searched = found["search"]
    kernels = searched["kernels"]
    assert kernels == searched["chosen"] == searched["changed"] == found["able"]
    assert searched["before_ns"] == 1000 * kernels and searched["after_ns"] == 10 * kernels
    assert searched["said"] == 1.0
    # The time is over at once: every kernel was timed once, and no other way was looked for.
    assert searched["timed"][1] < searched["timed"][0] and searched["without"] == 0


def test_a_search_is_kept_and_what_it_found_is_another_build_with_a_profile_of_its_own(
    tmp_path, monkeypatch
):
    backend = TvmBackend()
    prepared = small_network(tmp_path, PreprocessSpec(size=(12, 16), scale=1 / 255))
    asked: list[dict[str, Any]] = []

    def search(module: str, request: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert module == "aegis_ros.backends.tvm.tune_child"
        asked.append(request)
        tuned = {"kernels": 1, "timed": 7, "before_ns": 20, "after_ns": 10}
        return {"choices": {"0" * 32: TILE}, "tuned": tuned}

    plain = backend.compile(prepared, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(children, "run_child", search)
        for _ in range(2):
            said = backend.tune(prepared, tmp_path, 5.0, lambda phase, done: None)
    assert said == Tuned(kernels=1, timed=7, before_ns=20, after_ns=10)
    assert asked[0]["choices"] == {} and list(asked[1]["choices"]) == ["0" * 32]
    tuned = backend.compile(prepared, tmp_path)
    assert plain.tuned == "" and tuned.tuned
    assert plain.profile_key == prepared.key != tuned.profile_key
    assert set(plain.paths).isdisjoint(tuned.paths)
    assert TvmBackend().compile(prepared, tmp_path) == tuned


def test_a_search_runs_in_a_child_and_says_how_far_it_is(tmp_path):
    backend = TvmBackend()
    prepared = small_network(tmp_path, PreprocessSpec(size=(12, 16), scale=1 / 255))
    said: list[tuple[str, float]] = []
    tuned = backend.tune(prepared, tmp_path, 1.0, lambda phase, done: said.append((phase, done)))
    assert tuned.kernels > 0 and tuned.timed >= tuned.kernels
    assert 0 < tuned.after_ns <= tuned.before_ns
    assert said and all("ways timed" in phase and 0 <= done <= 1 for phase, done in said)
    compiled = backend.compile(prepared, tmp_path)
    frame = np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8)
    (output,) = computed(loaded(compiled), compiled, frame)
    assert output.std() > 0


def test_a_network_that_tvm_cannot_take_is_refused_by_a_search_too(tmp_path):
    prepared = small_network(
        tmp_path, PreprocessSpec(size=(12, 16), resize=ResizeMode.LETTERBOX), largest=(24, 40, 3)
    )
    with pytest.raises(ModelError, match="where each frame's extents decide"):
        TvmBackend().tune(prepared, tmp_path, 1.0, lambda phase, done: None)
