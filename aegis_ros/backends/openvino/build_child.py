"""The child process that cuts a network, compiles its parts and checks what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.bytes_first import written_bytes_first
from aegis_ros.backends.divisors import without_zeros
from aegis_ros.backends.exact import not_exact
from aegis_ros.backends.folding import fold
from aegis_ros.backends.indices import within_bounds
from aegis_ros.backends.openvino.backend import load_network
from aegis_ros.backends.openvino.kernels import kernel_times
from aegis_ros.backends.openvino.network import named_as
from aegis_ros.backends.openvino.refusals import openvino_failure
from aegis_ros.backends.openvino.toolkit import CPU, GPU, NPU, Device, load_openvino, open_core
from aegis_ros.backends.parts import parted
from aegis_ros.backends.probes import probes
from aegis_ros.backends.reference import difference
from aegis_ros.backends.resident import second_takes
from aegis_ros.backends.trial import computed, facts_of_trial
from aegis_ros.errors import AegisError, ModelError, StateError, load_error
from aegis_ros.network.feed import NetworkInput
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]

# Where it reads or writes what lies beside a tensor, or ends the process. It looks at the others.
_INDICES = (
    "Gather",
    "GatherElements",
    "GatherND",
    "Scatter",
    "ScatterElements",
    "ScatterND",
)
_DIVISORS = ("Range",)
_DEVICES = {each.name: each for each in (CPU, GPU, NPU)}


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one file a part, and hold them to the numbers of ONNX Runtime and of the whole.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``parts``, ``folder`` for what is
            made, ``device``, ``weight_bytes``, ``activation_bytes``, ``network`` (a
            :class:`CompiledNetwork` without files).

    Returns:
        ``paths``, ``bytes``, ``activation_bytes``, ``dynamic``, ``shares``, ``cuts``,
        ``complete_after``; or ``refused``, a sentence.

    Raises:
        ModelError: OpenVINO cannot take the network.
        StateError: the source is not what ``digest`` is of.
    """
    try:
        with verified(request["source"], request["digest"], StateError) as source:
            return _build(request, Path(source))
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # its exceptions have no common type
        raise load_error(openvino_failure(error), ModelError) from error


def _build(request: Mapping[str, Any], original: Path) -> dict[str, Any]:
    device, folder = _DEVICES[request["device"]], Path(request["folder"])
    parts, network = int(request["parts"]), CompiledNetwork.from_json(request["network"])
    reference = written_bytes_first(original, folder / "typed.onnx")
    source = _looking(fold(reference, folder / "whole.onnx"))
    core = open_core(network.backend, device)
    try:
        sources, known = _parted(core, device, network, source, parts=parts)
    except ModelError as error:
        return {"refused": error.problem}
    network = _compiled(core, device, network, sources)
    network = replace(network, complete_after=tuple(known["complete_after"]))
    taken, loaded = second_takes(lambda: load_network(core, device, network, network.paths))
    refused = difference(
        network, reference, lambda inputs: computed(network, loaded, inputs), device.tolerance
    )
    if not refused and parts > 1 and device.exact:
        whole = _compiled(core, device, network, [source], stem="whole")
        one = load_network(core, device, whole, whole.paths)
        refused = not_exact(replace(whole, complete_after=()), one, network, loaded)
    if refused:
        return {"refused": refused}
    return known | facts_of_trial(network, loaded, request, taken=taken)


def _looking(source: Path) -> Path:
    """Have a network look at what OpenVINO does not look at when it runs it; return its file."""
    model = onnx.load_model(str(source))
    changed = within_bounds(model, "OpenVINO", _INDICES, counting=True)
    changed = without_zeros(changed, _DIVISORS)
    if changed is not model:
        onnx.save_model(changed, str(source))
    return source


def _parted(
    core: Any, device: Device, network: CompiledNetwork, source: Path, *, parts: int
) -> tuple[list[Path], dict[str, Any]]:
    """Write the parts beside the source: cut where kernels end, else wherever that can be.

    A cut through a kernel may give the same numbers, too; they are looked at in any case.
    """
    into = partial(parted, source, parts, source.parent, [item.name for item in network.outputs])
    if parts == 1:
        return into()
    try:
        return into(times=_kernel_times(core, device, network, source))
    except ModelError:
        return into()


def _kernel_times(
    core: Any, device: Device, network: CompiledNetwork, source: Path
) -> dict[str, float]:
    model = core.read_model(str(source))
    _bind_extents(model, network.inputs)
    names = [item.tensor.name for item in network.inputs]
    frames = dict(zip(names, probes(network.inputs)[0], strict=True))
    return kernel_times(core, device, model, frames)


def _compiled(
    core: Any,
    device: Device,
    network: CompiledNetwork,
    sources: Sequence[Path],
    *,
    stem: str = "",
) -> CompiledNetwork:
    """Compile ONNX files and keep what came of them beside them; return the network of those."""
    paths: list[str] = []
    dynamic: list[str] = []
    for number, source in enumerate(sources):
        model = core.read_model(str(source))
        _bind_extents(model, network.inputs)
        compiled = core.compile_model(model, device.name, device.properties)
        names = named_as(compiled.outputs, {item.name: item for item in network.outputs})
        dynamic += [
            name
            for name, port in zip(names, compiled.outputs, strict=True)
            if port.get_partial_shape().is_dynamic
        ]
        kept = source.with_name(f"{stem}{number}.blob")
        kept.write_bytes(compiled.export_model().getvalue())
        paths.append(str(kept))
    dynamic_outputs = tuple(item.name for item in network.outputs if item.name in dynamic)
    return replace(network, paths=tuple(paths), dynamic_outputs=dynamic_outputs)


def _bind_extents(model: Any, inputs: Sequence[NetworkInput]) -> None:
    """Tell OpenVINO how small and how large frames are: it takes memory for the largest at load."""
    openvino = load_openvino()
    by_name = {item.tensor.name: item for item in inputs}
    bound = {}
    for port, name in enumerate(named_as(model.inputs, by_name)):
        item = by_name.get(name)
        if item is None or item.tensor.static:
            continue
        least = item.least or (0,) * len(item.max_shape)  # a scan may have no points
        bound[port] = openvino.PartialShape(
            [
                openvino.Dimension(low, high) if isinstance(declared, str) else declared
                for declared, low, high in zip(
                    item.tensor.shape, least, item.max_shape, strict=True
                )
            ]
        )
    if bound:
        model.reshape(bound)
