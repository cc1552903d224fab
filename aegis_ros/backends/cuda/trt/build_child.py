"""The child process that cuts a network, builds its engines and checks what they compute.

TensorRT, and the GPU it measures kernels on, are kept out of the process that asks; what a hostile
network can break breaks here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.parts import parted
from aegis_ros.backends.progress import note_progress
from aegis_ros.backends.reference import FLOAT32, TF32, Tolerance, difference
from aegis_ros.errors import AegisError, ModelError, StateError
from aegis_ros.network.plain_text import plain
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.verified import verified

if TYPE_CHECKING:
    from aegis_ros.backends.cuda.trt.toolkit import Toolkit

__all__ = ["answer", "build", "build_engine"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build with the TensorRT of this machine, as :func:`build` does."""
    from aegis_ros.backends.cuda.trt.toolkit import find_toolkit

    try:
        return build(request, find_toolkit())
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # reported to the parent, whatever it is
        raise ModelError(
            f"TensorRT refuses the network ({plain(str(error))})", rule=Rule.MODEL_VALID
        ) from error


def build(request: Mapping[str, Any], toolkit: Toolkit) -> dict[str, Any]:
    """Build one engine a part and run them.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``parts``, ``folder`` for what is
            made, ``timing_cache`` (a file), ``network`` (a :class:`CompiledNetwork` without files).
        toolkit: TensorRT and the driver.

    Returns:
        ``paths``, ``bytes``, ``dynamic``, ``shares``, ``cuts``, ``complete_after``; or ``refused``,
        a sentence.

    Raises:
        ModelError: TensorRT cannot take the network.
        StateError: the source is not what ``digest`` is of.
    """
    with verified(request["source"], request["digest"], StateError) as source:
        return _build(request, Path(source), toolkit)


def _build(request: Mapping[str, Any], original: Path, toolkit: Toolkit) -> dict[str, Any]:
    folder, network = Path(request["folder"]), CompiledNetwork.from_json(request["network"])
    source, parts = _typed(original, folder), int(request["parts"])
    tf32 = bool(request["tf32"])
    try:
        sources, known = parted(source, parts, folder, [item.name for item in network.outputs])
    except ModelError as error:
        return {"refused": error.problem}
    paths = []
    for number, part in enumerate(sources):

        def report(phase: str, done: float, number: int = number) -> None:
            note_progress(folder / "progress", phase, (number + done) / len(sources))

        target = folder / f"{number}.engine"
        build_engine(
            toolkit.trt,
            part,
            target,
            frame=(network.frame_input, network.max_shape),
            least=network.inputs[0].least,
            tf32=tf32,
            timing_cache=Path(request["timing_cache"]),
            progress=report,
        )
        paths.append(str(target))
    facts = _tried(replace(network, paths=tuple(paths)), source, toolkit, TF32 if tf32 else FLOAT32)
    return facts if "refused" in facts else facts | {"paths": paths} | known


def build_engine(
    trt: Any,
    source: Path,
    target: Path,
    *,
    frame: tuple[TensorInfo, Sequence[int]],
    least: Sequence[int] = (),
    tf32: bool = False,
    timing_cache: Path | None = None,
    progress: Any = lambda phase, done: None,
) -> None:
    """Build an engine from an ONNX file. Types are those of the file.

    Args:
        trt: the module.
        source: the ONNX file.
        target: the engine.
        frame: the input whose extents may differ from run to run, and the largest ones.
        least: its smallest extents; 1 if left out.
        tf32: whether float32 may be multiplied as TF32.
        timing_cache: file in which TensorRT keeps how long kernels take.
        progress: called with a phase and the part of it that is done.

    Raises:
        ModelError: TensorRT refuses.
    """
    from aegis_ros.backends.cuda.trt.toolkit import collecting_logger

    log, errors = collecting_logger(trt)
    builder = trt.Builder(log)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(source)):
        reasons = []
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            # Where an operator's attributes are the problem, only the function says which one.
            where = f"{error.node_operator()} {error.node_name()}".strip() or error.func()
            reasons.append(f"{where}: {error.desc()}")
        raise _refusal("TensorRT cannot parse the network", reasons or errors)
    config = builder.create_builder_config()
    config.max_aux_streams = 0
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # it is set unless one says otherwise
    config.progress_monitor = _monitor(trt, progress)
    cache = config.create_timing_cache(_content(timing_cache))
    config.set_timing_cache(cache, False)
    profile = builder.create_optimization_profile()
    bounds = (frame[0], tuple(int(extent) for extent in frame[1]))
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 not in tuple(tensor.shape):
            continue
        if tensor.name != bounds[0].name:
            raise _refusal(f"input {tensor.name!r} has extents that are not known", [])
        lows = least or (1,) * len(bounds[0].shape)
        smallest = tuple(
            low if isinstance(declared, str) else declared
            for declared, low in zip(bounds[0].shape, lows, strict=True)
        )
        profile.set_shape(tensor.name, smallest, bounds[1], bounds[1])
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal("TensorRT cannot build the network", errors)
    target.write_bytes(bytes(memoryview(plan)))
    if timing_cache is not None:
        kept = timing_cache.with_suffix(f".{os.getpid()}.tmp")
        kept.write_bytes(bytes(memoryview(config.get_timing_cache().serialize())))
        os.replace(kept, timing_cache)


def _typed(source: Path, folder: Path) -> Path:
    """Return the network as TensorRT takes it, which ONNX Runtime computes as well."""
    import onnx

    from aegis_ros.backends.bytes_first import cast_bytes_first

    model = onnx.load_model(str(source))
    changed = cast_bytes_first(model)
    if changed is model:
        return source
    path = folder / "typed.onnx"
    onnx.save_model(changed, str(path))
    return path


def _monitor(trt: Any, progress: Any) -> Any:
    """Return a monitor that reports how much of the outermost phase is done."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self.steps[phase_name] = max(1, num_steps)
                progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.steps:
                progress(phase_name, min(1.0, (step + 1) / self.steps[phase_name]))
            return True

        def phase_finish(self, phase_name: str) -> None:
            if self.steps.pop(phase_name, None) is not None:
                progress(phase_name, 1.0)

    return Monitor()


def _tried(
    network: CompiledNetwork, source: Path, toolkit: Toolkit, tolerance: Tolerance
) -> dict[str, Any]:
    """Load the engines as the backend will, and compare what they compute with ONNX Runtime."""
    from aegis_ros.backends.cuda.trt.backend import TensorRtBackend
    from aegis_ros.backends.cuda.trt.network import TensorRtNetwork
    from aegis_ros.spec import LaneSpec

    backend = TensorRtBackend(toolkit)
    try:
        backend.open((LaneSpec("build"),), lambda token, completion: None, 0)
        loaded = backend.load(network, 0)
        assert isinstance(loaded, TensorRtNetwork)
        facts: dict[str, Any] = {
            "bytes": loaded.device_bytes,
            "activation_bytes": loaded.activation_bytes,
            "staging_bytes": loaded.staging_bytes,
            "dynamic": loaded.dynamic,
        }

        refused = difference(network, source, lambda inputs: loaded.computed(inputs[0]), tolerance)
        if refused:
            return {"refused": refused}
        return facts
    finally:
        backend.close()


def _refusal(problem: str, reasons: Sequence[str]) -> ModelError:
    reason = plain(reasons[0]) if reasons else "it does not say why"
    return ModelError(f"{problem} ({reason})", rule=Rule.MODEL_VALID)


def _content(path: Path | None) -> bytes:
    try:
        return b"" if path is None else path.read_bytes()
    except OSError:
        return b""
