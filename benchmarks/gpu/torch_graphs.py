"""Networks through PyTorch, each segment a CUDA graph: where TensorRT is not to be had.

It stands in for TensorRT so that scheduling can be measured on a GPU that has only PyTorch; it is
slower, and no part of the package. Without a GPU it runs on the processor, without graphs, which
shows that it works and no more. Frames must be as large as the network was prepared for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from aegis_ros.backends import Capabilities, CompiledNetwork, Ended, LoadedNetwork, Work
from aegis_ros.backends.cuda.build_child import cut_source
from aegis_ros.backends.reference import difference
from aegis_ros.backends.worker import CpuLane, ReadsInPlace, describe_lanes, open_lanes
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network.prepare import PreparedNetwork
from aegis_ros.rationale import Rule
from aegis_ros.spec import LaneSpec
from benchmarks.gpu.plugin import TORCH

__all__ = ["TorchGraphBackend"]

_WARM_UP_RUNS = 3
Frame = npt.NDArray[np.generic]
Outputs = Sequence[npt.NDArray[np.generic]]


class _Segment:
    """One part of a network.

    Attributes:
        inputs, outputs: names of its tensors.
        module: computes it.
        graph: captured; ``None`` where it cannot be.
    """

    def __init__(self, module: Any, inputs: list[str], outputs: list[str]) -> None:
        self.module = module
        self.inputs = inputs
        self.outputs = outputs
        self.graph: Any = None


class TorchNetwork:
    """A network on one lane; all tensors have their place from the start.

    Args:
        compiled: the files.
        device: of PyTorch.
        stream: of the lane; ``None`` on a processor.
    """

    def __init__(self, compiled: CompiledNetwork, device: Any, stream: Any) -> None:
        """Convert, run and capture."""
        self._torch = import_module("torch")
        self._compiled = compiled
        self._device = device
        self._stream = stream
        self._places = {item.name: place for place, item in enumerate(compiled.outputs)}
        dtype = np.dtype(compiled.frame_input.dtype)
        frame = np.zeros(compiled.max_shape, dtype)
        self._host = self._pinned(frame)
        self._tensors = {compiled.frame_input.name: self._host.to(device)}
        self._results: dict[str, Any] = {}
        self._event = self._torch.cuda.Event(blocking=True) if stream is not None else None
        self._segments: list[_Segment] = []
        with self._context():
            for path in compiled.paths:
                self._segments.append(self._loaded(path))
            self._wait()

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def note(self) -> str:
        """How many segments are CUDA graphs."""
        graphs = sum(segment.graph is not None for segment in self._segments)
        return f"{graphs} of {self.segments} segments are CUDA graphs"

    def run(self, index: int, frame: Frame, outputs: Outputs) -> None:
        """Run one segment and wait for it.

        Raises:
            BackendError: the frame is not as large as those it was prepared for.
        """
        if frame.shape != self._compiled.max_shape:
            raise BackendError(
                "the frame does not fit", value=frame.shape, expected=str(self._compiled.max_shape)
            )
        segment = self._segments[index]
        with self._context():
            if index == 0:
                self._host.copy_(self._torch.from_numpy(frame))
                self._tensors[self._compiled.frame_input.name].copy_(self._host, non_blocking=True)
            if segment.graph is not None:
                segment.graph.replay()
            else:
                self._compute(segment)
            done = [name for name in segment.outputs if name in self._places]
            for name in done:
                self._results[name].copy_(self._tensors[name], non_blocking=True)
            self._wait()
        for name in done:
            np.copyto(outputs[self._places[name]], self._results[name].numpy())

    def _loaded(self, path: str) -> _Segment:
        graph = onnx.load(path).graph
        constants = {item.name for item in graph.initializer}
        segment = _Segment(
            import_module("onnx2torch").convert(path).eval().to(self._device),
            [item.name for item in graph.input if item.name not in constants],
            [item.name for item in graph.output],
        )
        made = self._call(segment)
        for name, value in zip(segment.outputs, made, strict=True):
            self._tensors[name] = value.clone()
            if name in self._places:
                self._results[name] = self._pinned(value.cpu().numpy())
        for _ in range(_WARM_UP_RUNS):
            self._compute(segment)
        if self._stream is not None:
            self._wait()
            segment.graph = self._captured(segment)
        return segment

    def _captured(self, segment: _Segment) -> Any:
        graph = self._torch.cuda.CUDAGraph()
        try:
            with self._torch.cuda.graph(graph, stream=self._stream):
                self._compute(segment)
        except RuntimeError:  # it does something that cannot be captured
            return None
        return graph

    def _call(self, segment: _Segment) -> tuple[Any, ...]:
        made = segment.module(*(self._tensors[name] for name in segment.inputs))
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    def _compute(self, segment: _Segment) -> None:
        for name, value in zip(segment.outputs, self._call(segment), strict=True):
            self._tensors[name].copy_(value)

    def _pinned(self, values: Frame) -> Any:
        tensor = self._torch.from_numpy(np.ascontiguousarray(values).copy())
        return tensor.pin_memory() if self._stream is not None else tensor

    def _wait(self) -> None:
        if self._event is not None:
            self._event.record(self._stream)
            self._event.synchronize()

    @contextmanager
    def _context(self) -> Iterator[None]:
        # On a processor there is no stream, which PyTorch takes for the present one.
        with self._torch.inference_mode(), self._torch.cuda.stream(self._stream):
            yield


class TorchGraphBackend(ReadsInPlace):
    """The protocol of backends over PyTorch.

    Raises:
        BackendError: PyTorch or onnx2torch is missing.
    """

    name = TORCH
    capabilities = Capabilities(graphs=True)

    def __init__(self) -> None:
        """Find PyTorch."""
        try:
            self._torch = import_module("torch")
            import_module("onnx2torch")
        except ImportError as error:
            raise BackendError(
                f"PyTorch and onnx2torch are needed ({error})", hint="pip install torch onnx2torch"
            ) from error
        self._torch.set_num_threads(1)
        self._torch.backends.cudnn.benchmark = True
        self._torch.backends.cudnn.allow_tf32 = True
        self._torch.backends.cuda.matmul.allow_tf32 = True
        self._on_gpu = bool(self._torch.cuda.is_available())
        self._device = self._torch.device("cuda" if self._on_gpu else "cpu")
        self._threads: list[CpuLane] = []
        self._streams: list[Any] = []

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Cut the network and hold what PyTorch computes to ONNX Runtime's numbers.

        Raises:
            ModelError: it cannot be converted, or computes something else.
        """
        folder = cache_dir / self.name / f"{prepared.key}-{segments}"
        noted = folder / "facts.json"
        if not noted.exists():
            folder.mkdir(parents=True, exist_ok=True)
            noted.write_text(json.dumps(self._made(prepared, folder, segments)))
        facts = json.loads(noted.read_text())
        whole = CompiledNetwork(
            self.name,
            prepared.key,
            tuple(facts["paths"]),
            prepared.inputs,
            prepared.outputs,
            prepared.weight_bytes + prepared.activation_bytes,
            shares=tuple(facts["shares"]),
            cuts=facts["cuts"],
            complete_after=tuple(facts["complete_after"]),
        )
        problem = "" if facts["checked"] else self._difference(whole, prepared)
        if problem:
            raise ModelError(problem, value=prepared.source.name, rule=Rule.MODEL_VALID)
        noted.write_text(json.dumps(facts | {"checked": True}))
        return whole

    def _made(self, prepared: PreparedNetwork, folder: Path, segments: int) -> dict[str, Any]:
        source = folder / "whole.onnx"
        onnx.save(_with_initializers(onnx.load(str(prepared.path))), str(source))
        if segments == 1:
            known: dict[str, Any] = {"shares": [], "cuts": "", "complete_after": []}
            return {"paths": [str(source)], "checked": False, **known}
        cut = cut_source(source, segments)
        return {
            "paths": [str(path) for path in cut.save(folder)],
            "checked": False,
            "shares": list(cut.shares),
            "cuts": cut.identity,
            "complete_after": [cut.completes(item.name) for item in prepared.outputs],
        }

    def _difference(self, compiled: CompiledNetwork, prepared: PreparedNetwork) -> str:
        stream = self._torch.cuda.Stream() if self._on_gpu else None
        try:
            network = TorchNetwork(compiled, self._device, stream)
        except Exception as error:  # a converter may fail in any way
            return f"onnx2torch cannot convert the network ({type(error).__name__}: {error})"

        def computed(inputs: Sequence[Frame]) -> list[Frame]:
            rooms: list[Frame] = [
                np.zeros(tuple(int(extent) for extent in item.shape), item.dtype)
                for item in compiled.outputs
            ]
            for segment in range(network.segments):
                network.run(segment, inputs[0], rooms)
            return rooms

        return difference(compiled, Path(prepared.path), computed)

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Create a stream and a thread a lane; earlier lanes have the more urgent streams."""
        self._threads = open_lanes(lanes, _run, ended, priority)
        self._streams = [
            self._torch.cuda.Stream(priority=at - len(lanes)) if self._on_gpu else None
            for at in range(len(lanes))
        ]

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Convert, run and capture.

        Raises:
            BackendError: as PyTorch says.
        """
        try:
            return TorchNetwork(compiled, self._device, self._streams[lane])
        except Exception as error:
            raise BackendError(f"PyTorch cannot load the network ({error})") from error

    def start(self, lane: int, work: Work) -> None:
        """Hand the segment to the lane's thread."""
        self._threads[lane].start(work)

    def unload(self, network: LoadedNetwork) -> None:
        """Leave it to Python."""

    def device_name(self) -> str:
        """Return the device's name and PyTorch's version."""
        name = self._torch.cuda.get_device_name() if self._on_gpu else "processor, no GPU"
        return f"{name}, PyTorch {self._torch.__version__}"

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        return describe_lanes(self._threads)

    def close(self) -> None:
        """End the lanes."""
        for thread in self._threads:
            thread.stop()
        self._threads = []


def _run(work: Work) -> None:
    (part,) = work.parts
    assert isinstance(part.network, TorchNetwork)
    part.network.run(work.step, part.inputs[0], part.outputs)


def _with_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its constants where the converter looks for weights."""
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    for node in constants:
        for attribute in node.attribute:
            if attribute.name == "value":
                attribute.t.name = node.output[0]
                model.graph.initializer.append(attribute.t)
                model.graph.node.remove(node)
    return model
