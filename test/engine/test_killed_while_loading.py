"""Engines and children that are killed while they load or compile for a real runtime."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.errors import EngineError, ModelError
from aegis_ros.network import PreparedNetwork
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.verified import digest_of
from test.backends.extras import needs
from test.engine.bench import TIMEOUT_S, Bench

RUNTIMES = [
    "onnxruntime",
    pytest.param("openvino", marks=needs("openvino")),
    pytest.param("tvm", marks=needs("tvm")),
]


@contextmanager
def killed_once(true: Callable[[], int]) -> Iterator[threading.Event]:
    """Kill a process as soon as there is one; yield what says that it was."""
    done, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not (done.is_set() or over.is_set()):
            pid = true()
            if pid:
                os.kill(pid, signal.SIGKILL)
                done.set()
            time.sleep(0.0002)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield done
    finally:
        over.set()
        watching.join()


def holds_open(pid: int, paths: tuple[str, ...]) -> bool:
    with suppress(OSError):
        for each in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{each}") in paths:
                    return True
    return False


def compiling_child() -> int:
    """Return the child of this process that builds a network; 0 where there is none."""
    for each in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            stat = Path(f"/proc/{int(each)}/stat").read_text()
            if int(stat.rsplit(")", 1)[1].split()[1]) == os.getpid():
                said = Path(f"/proc/{each}/cmdline").read_bytes()
                if b"aegis_ros.sandbox.contained" in said:
                    return int(each)
    return 0


def built(runtime: str, folder: Path) -> tuple[PreparedNetwork, CompiledNetwork]:
    prepared = make_network(folder, "means")
    return prepared, create_backend(runtime).compile(prepared, folder / "built")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_that_is_killed_while_it_loads_comes_back_and_loads(
    runtime: str, tmp_path: Path
) -> None:
    _, means = built(runtime, tmp_path)
    with Bench(backend=runtime) as bench:
        channel = bench.channel()
        bench.load(1, compiled=means)
        engine = bench.client.status().pid
        end = time.monotonic() + TIMEOUT_S
        with killed_once(lambda: engine if holds_open(engine, means.paths) else 0) as killed:
            while not killed.is_set():  # a load may be over before anybody has seen it
                assert time.monotonic() < end, "no load was seen"
                try:
                    bench.load(2, compiled=means)
                    bench.client.unload(2)
                except EngineError as error:
                    assert error.rule is Rule.ENGINE_RESTART, error
        bench.wait(lambda heard: any(event.recovered for event in heard.events), "the recovery")
        assert bench.client.status().pid != engine
        with suppress(EngineError):  # where it was loaded, and killed just after that
            bench.client.unload(2)
        bench.load(2, compiled=means)
        bench.feed(channel, 1, 2, value=5)
        bench.wait(lambda heard: len(heard.results) == 2, "both results")
        assert bench.client.status().pid != engine
        for outputs in bench.heard.outputs:
            np.testing.assert_allclose(outputs["means"], [5, 5, 5], rtol=1e-5)
    assert [digest_of(Path(path)) for path in means.paths] == list(means.digests)


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_child_that_is_killed_while_it_compiles_leaves_nothing_and_the_next_one_builds(
    runtime: str, tmp_path: Path
) -> None:
    backend, prepared = create_backend(runtime), make_network(tmp_path, "means")
    with killed_once(compiling_child) as killed, pytest.raises(ModelError) as caught:
        backend.compile(prepared, tmp_path / "built")
    assert killed.is_set()  # by whom, nobody can say: mostly it is the kernel, for want of memory
    assert "not enough memory" in caught.value.problem and caught.value.hint
    assert [path for path in (tmp_path / "built").rglob("*") if path.is_file()] == []
    made = backend.compile(prepared, tmp_path / "built")
    assert [digest_of(Path(path)) for path in made.paths] == list(made.digests)


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("runtime", RUNTIMES[:2])  # a child of TVM knows no engine either
def test_an_engine_that_is_killed_meanwhile_does_not_matter_to_what_is_compiled(
    runtime: str, tmp_path: Path
) -> None:
    prepared = make_network(tmp_path, "means")
    with Bench(backend=runtime) as bench:
        engine = bench.client.status().pid
        with killed_once(lambda: engine if compiling_child() else 0) as killed:
            means = create_backend(runtime).compile(prepared, tmp_path / "built")
        assert killed.is_set()
        bench.wait(lambda heard: any(event.recovered for event in heard.events), "the recovery")
        channel = bench.channel()
        bench.load(1, compiled=means)
        bench.feed(channel, 1, value=3)
        bench.wait(lambda heard: heard.results, "the result")
        np.testing.assert_allclose(bench.heard.outputs[0]["means"], [3, 3, 3], rtol=1e-5)
