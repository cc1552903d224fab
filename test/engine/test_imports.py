"""What an engine process loads before its first result: a robot waits for it after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTED = """
import sys

from aegis_ros.engine.__main__ import _import_msgspec

_import_msgspec()
import aegis_ros.engine.server.process
from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.registry import _BACKENDS
from aegis_ros.engine import LoadSpec
from aegis_ros.engine.messages import Load, decode_request, encode
from aegis_ros.memory import Footprint
from aegis_ros.scheduling import EarlyExitPlan, SegmentPlan

for name in _BACKENDS.ours:
    _BACKENDS.load(name)
network = CompiledNetwork("", "", (), (), (), Footprint())
for plan in (SegmentPlan(2), EarlyExitPlan(3)):
    sent = Load(LoadSpec(1, "task", network, 0, "camera", plan=plan), 1)
    assert decode_request(encode(sent)) == sent
print(*sys.modules)
"""


def modules() -> set[str]:
    path = os.pathsep.join([str(ROOT), *(each for each in sys.path if each)])
    # As the client starts it: without site, whose hooks import what they like.
    ended = subprocess.run(
        [sys.executable, "-S", "-c", STARTED],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return set(ended.stdout.split())


def test_an_engine_loads_what_it_runs_and_nothing_that_prepares() -> None:
    found = modules()
    others = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert others == {"__main__", "aegis_ros", "msgspec", "numpy"}
    ours = {name.split(".")[1] for name in found if name.startswith("aegis_ros.")}
    assert ours == {
        "backends",
        "engine",
        "errors",
        "host",
        "memory",
        "network",
        "on_demand",
        "plugins",
        "rationale",
        "sandbox",
        "scheduling",
        "spec",
        "trace",
    }
    unused = {
        "aegis_ros.engine.client",
        "aegis_ros.host.examination",
        "aegis_ros.host.standstill",
        "aegis_ros.network.locate",
        "aegis_ros.network.preparing",
        "aegis_ros.network.runtime_text",
        "aegis_ros.rationale.loading",
        "aegis_ros.rationale.wording",
        "aegis_ros.sandbox.artifacts",
        "aegis_ros.sandbox.children",
        "aegis_ros.scheduling.cw_edf",
        "importlib.metadata",
        "logging",
        "subprocess",
    }
    assert unused & found == set()
