"""An orchestrator on an engine that runs nothing, and what a test wants to ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from aegis_ros.config import parse_task
from aegis_ros.engine import (
    Engine,
    JobResult,
)
from aegis_ros.orchestrator import Orchestrator, Stream
from aegis_ros.rationale import Rationale
from aegis_ros.spec import (
    Contend,
    DeviceSpec,
    GeneratorSpec,
    LaneSpec,
    ModelsSpec,
    OrchestratorSpec,
    TaskSpec,
)
from test.engine.fake import FakeEngine
from test.given_back import give_back_at_the_end

MS = 1_000_000


class House:
    """One orchestrator over a folder; ``restart`` is what a reboot would be.

    It is cleaned up at the end of the test or module that made it.
    """

    def __init__(
        self,
        folder: Path,
        *tasks: TaskSpec,
        lanes: int = 1,
        arena_mib: int = 64,
        sms: Sequence[int | None] = (),
        node: str = "/orchestrator",
        generators: Sequence[GeneratorSpec] = (),
        contention: Contend = Contend.TOGETHER,  # loads do not fit into so small an arena
    ) -> None:
        self.node = node
        self.folder = folder
        folder.mkdir(exist_ok=True)
        make_model(folder / "net.onnx")
        self.spec = OrchestratorSpec(
            device=DeviceSpec(
                backend="onnxruntime" if generators else "simulated",
                lanes=tuple(
                    LaneSpec(f"lane{index}", None, wanted)
                    for index, wanted in enumerate(sms or [None] * lanes)
                ),
                arena_bytes=arena_mib * 1024 * 1024,
                switch_ns=0,
                contention=contention,
            ),
            models=ModelsSpec((str(folder),)),
            tasks=tasks,
            generators=tuple(generators),
        )
        self.reported: list[Rationale] = []
        self.streams: list[tuple[Stream, ...]] = []
        self.results: list[tuple[TaskSpec, JobResult]] = []
        self.engine: FakeEngine
        self.orchestrator = self._open()

    @property
    def journal(self) -> Path:
        """The file that the node keeps its tasks in."""
        return self.folder / "state" / "nodes" / "orchestrator" / "journal.sqlite"

    def _open(self) -> Orchestrator:
        def engine(device: DeviceSpec, **callbacks: Any) -> Engine:
            self.engine = FakeEngine(device, **callbacks)
            self.engine.token_ns = MS
            return self.engine

        made = Orchestrator(
            self.spec,
            state_dir=self.folder / "state",
            node=self.node,
            on_result=lambda spec, result: self.results.append((spec, result)),
            on_rationale=self.reported.append,
            on_streams=self.streams.append,
            engine_factory=engine,
        )
        give_back_at_the_end(made.close)
        give_back_at_the_end(made.cleanup)
        return made

    def start(self, active: bool = True) -> Orchestrator:
        self.orchestrator.configure()
        if active:
            self.orchestrator.activate()
        return self.orchestrator

    def restart(self, *tasks: TaskSpec) -> Orchestrator:
        self.orchestrator.cleanup()
        self.spec = replace(self.spec, tasks=tasks)
        self.orchestrator = self._open()
        return self.start()

    def names(self) -> list[str]:
        return [task.spec.name for task in self.orchestrator.status().tasks]

    def task(self, name: str = "detector", **changes: Any) -> TaskSpec:
        """A task of 100 ms with a declared budget of 10 ms."""
        values: dict[str, Any] = {
            "name": name,
            "model": str(self.folder / "net.onnx"),
            "input": {"topic": f"/{name}/image", "max_size": [16, 24]},
            "preprocess": {"size": [8, 8]},
            "output": {"topic": f"/{name}/result"},
            "period_ms": 100,
            "wcet_ms": 10,
        }
        return parse_task(values | changes)


def make_model(path: Path, side: int = 8) -> None:
    """Write a network of [1, 3, side, side] that returns its input."""
    if path.exists():
        return
    shape = [1, 3, side, side]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["output"])],
        "relu",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path))
