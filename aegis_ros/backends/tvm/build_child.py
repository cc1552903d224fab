"""The child processes that cut and compile a network, and try what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.bytes_first import written_bytes_first
from aegis_ros.backends.exact import not_exact
from aegis_ros.backends.folding import fold
from aegis_ros.backends.parts import parted
from aegis_ros.backends.reference import difference
from aegis_ros.backends.resident import second_takes
from aegis_ros.backends.trial import computed, facts_of_trial
from aegis_ros.backends.tvm.backend import load_network
from aegis_ros.backends.tvm.compiling import Behind, compile_part
from aegis_ros.backends.tvm.refusals import tvm_failure
from aegis_ros.backends.tvm.schedules import Tile
from aegis_ros.errors import AegisError, BackendError, ModelError, StateError, load_error
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request to compile, or one to try what was compiled as an engine will run it.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``parts``, ``folder`` for what is
            made, ``network`` (a :class:`CompiledNetwork` without files), ``code`` (``path``,
            ``digest`` and ``function`` of a library behind it, or nothing), and ``choices`` (as
            :class:`~aegis_ros.backends.tvm.tuning.Found` has them); or what that was answered
            with, beside ``weight_bytes`` and ``activation_bytes``.

    Returns:
        Of compiling: ``network``, ``whole`` (the same in one segment, or nothing), ``reference``
        (an ONNX file, or nothing), and ``known`` of the cut. Of trying: ``paths``, ``bytes``,
        ``activation_bytes``, ``dynamic``, ``shares``, ``cuts``, ``complete_after``. Of either:
        ``refused``, a sentence.

    Raises:
        ModelError: TVM cannot take the network.
        StateError: the source is not what ``digest`` is of.
    """
    try:
        if "source" not in request:
            return _tried(request)
        with verified(request["source"], request["digest"], StateError) as source:
            if request["code"] is not None:
                return _before_code(request, Path(source))
            return _built(request, Path(source))
    except (AegisError, OSError, MemoryError) as error:
        if isinstance(error, BackendError) and request.get("reference", "") is None:
            raise _of_code(error) from error
        if isinstance(error, BackendError):  # what an engine would say when it loads or runs it
            raise load_error(tvm_failure(error), ModelError) from error
        raise
    except Exception as error:  # its exceptions have no common type
        raise load_error(tvm_failure(error), ModelError) from error


def _built(request: Mapping[str, Any], original: Path) -> dict[str, Any]:
    folder, parts = Path(request["folder"]), int(request["parts"])
    network = CompiledNetwork.from_json(request["network"])
    reference = written_bytes_first(original, folder / "typed.onnx")
    source = fold(reference, folder / "whole.onnx")
    try:
        sources, known = parted(source, parts, folder, [item.name for item in network.outputs])
    except ModelError as error:
        return {"refused": error.problem}
    choices = msgspec.convert(request["choices"], dict[str, Tile])
    made = _compiled(network, sources, choices)
    made = replace(made, complete_after=tuple(known["complete_after"]))
    whole = _compiled(network, [source], choices, stem="whole").to_json() if parts > 1 else None
    return {
        "network": made.to_json(),
        "whole": whole,
        "reference": str(reference),
        "known": known,
    }


def _before_code(request: Mapping[str, Any], original: Path) -> dict[str, Any]:
    """Compile what feeds a library that was compiled elsewhere, and put both into one segment."""
    if int(request["parts"]) > 1:
        return {"refused": "it is compiled code, which stays as it is"}
    folder, network = Path(request["folder"]), CompiledNetwork.from_json(request["network"])
    source = fold(written_bytes_first(original, folder / "typed.onnx"), folder / "whole.onnx")
    target, code = folder / "0.tar", request["code"]
    with verified(code["path"], code["digest"], StateError) as file:
        makes = tuple(item.name for item in network.outputs)
        compile_part(source, target, network.inputs, Behind(Path(file), code["function"], makes))
    made = replace(network, paths=(str(target),))
    known = {"shares": [1.0], "cuts": "", "complete_after": []}
    return {"network": made.to_json(), "whole": None, "reference": None, "known": known}


def _of_code(error: BackendError) -> ModelError:
    """Return why a library that was compiled elsewhere is not taken."""
    return ModelError(
        error.problem,
        where="model",
        value=error.value or None,
        expected=error.expected,
        hint="Correct the description beside the library, or compile it for this processor and TVM",
    )


def _tried(request: Mapping[str, Any]) -> dict[str, Any]:
    """Load and run a network with what an engine has of TVM: not its compiler."""
    network = CompiledNetwork.from_json(request["network"])
    taken, loaded = second_takes(lambda: load_network(network, network.paths))
    refused = ""
    if request["reference"] is not None:
        refused = difference(
            network, Path(request["reference"]), lambda inputs: computed(network, loaded, inputs)
        )
    if not refused and request["whole"] is not None:
        whole = CompiledNetwork.from_json(request["whole"])
        refused = not_exact(whole, load_network(whole, whole.paths), network, loaded)
    if refused:
        return {"refused": refused}
    known: dict[str, Any] = request["known"]
    return known | facts_of_trial(network, loaded, request, taken=taken)


def _compiled(
    network: CompiledNetwork,
    sources: Sequence[Path],
    choices: Mapping[str, Tile],
    *,
    stem: str = "",
) -> CompiledNetwork:
    """Compile ONNX files and keep what came of them beside them; return the network of those."""
    paths: list[str] = []
    dynamic: set[str] = set()
    for number, source in enumerate(sources):
        target = source.with_name(f"{stem}{number}.tar")
        dynamic.update(compile_part(source, target, network.inputs, choices=choices))
        paths.append(str(target))
    found = tuple(item.name for item in network.outputs if item.name in dynamic)
    return replace(network, paths=tuple(paths), dynamic_outputs=found)
