"""The child process that cuts a network, compiles its parts and checks what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.bytes_first import cast_bytes_first
from aegis_ros.backends.exact import not_exact
from aegis_ros.backends.folding import fold
from aegis_ros.backends.parts import parted
from aegis_ros.backends.reference import difference
from aegis_ros.backends.resident import second_takes
from aegis_ros.backends.trial import computed, measured_shares
from aegis_ros.backends.tvm.backend import load_network
from aegis_ros.backends.tvm.compiling import compile_part
from aegis_ros.backends.tvm.refusals import tvm_failure
from aegis_ros.errors import AegisError, ModelError, StateError, load_error
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one file a part, and hold them to the numbers of ONNX Runtime and of the whole.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``parts``, ``folder`` for what is
            made, ``weight_bytes``, ``activation_bytes``, ``network`` (a :class:`CompiledNetwork`
            without files).

    Returns:
        ``paths``, ``bytes``, ``activation_bytes``, ``dynamic``, ``shares``, ``cuts``,
        ``complete_after``; or ``refused``, a sentence.

    Raises:
        ModelError: TVM cannot take the network.
        StateError: the source is not what ``digest`` is of.
    """
    try:
        with verified(request["source"], request["digest"], StateError) as source:
            return _build(request, Path(source))
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # its exceptions have no common type
        raise load_error(tvm_failure(error), ModelError) from error


def _build(request: Mapping[str, Any], original: Path) -> dict[str, Any]:
    folder, parts = Path(request["folder"]), int(request["parts"])
    network = CompiledNetwork.from_json(request["network"])
    reference = _typed(original, folder)
    source = fold(reference, folder / "whole.onnx")
    try:
        sources, known = parted(source, parts, folder, [item.name for item in network.outputs])
    except ModelError as error:
        return {"refused": error.problem}
    network = _compiled(network, sources)
    network = replace(network, complete_after=tuple(known["complete_after"]))
    taken, loaded = second_takes(lambda: load_network(network, network.paths))
    refused = difference(network, reference, lambda inputs: computed(network, loaded, inputs))
    if not refused and parts > 1:
        whole = replace(_compiled(network, [source], stem="whole"), complete_after=())
        refused = not_exact(whole, load_network(whole, whole.paths), network, loaded)
    if refused:
        return {"refused": refused}
    activations = int(request["activation_bytes"])
    return known | {
        "paths": list(network.paths),
        # It does not separate weights from activations: the larger of measured and estimated.
        "bytes": max(taken, activations + int(request["weight_bytes"])),
        "activation_bytes": activations,
        "dynamic": list(network.dynamic_outputs),
        "shares": measured_shares(network, loaded),
    }


def _typed(original: Path, folder: Path) -> Path:
    """Return the network as TVM takes it, which ONNX Runtime computes as well."""
    import onnx

    path = folder / "typed.onnx"
    onnx.save_model(cast_bytes_first(onnx.load_model(str(original))), str(path))
    return path


def _compiled(
    network: CompiledNetwork, sources: Sequence[Path], *, stem: str = ""
) -> CompiledNetwork:
    """Compile ONNX files and keep what came of them beside them; return the network of those."""
    paths: list[str] = []
    dynamic: set[str] = set()
    for number, source in enumerate(sources):
        target = source.with_name(f"{stem}{number}.tar")
        dynamic.update(compile_part(source, target, network.inputs))
        paths.append(str(target))
    found = tuple(item.name for item in network.outputs if item.name in dynamic)
    return replace(network, paths=tuple(paths), dynamic_outputs=found)
