"""The child process that folds and cuts a network, tries captures and checks what is computed.

A capture that fails can spoil ONNX Runtime for the rest of its process: it fails here, and the
process that runs the jobs never tries it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.base import Advice, CompiledNetwork
from aegis_ros.backends.cuda.ort.network import NOT_ADVISED, OrtCudaNetwork
from aegis_ros.backends.cuda.ort.toolkit import OrtToolkit
from aegis_ros.backends.folding import fold
from aegis_ros.backends.parts import parted
from aegis_ros.backends.reference import FLOAT32, TF32, difference
from aegis_ros.errors import AegisError, ModelError, StateError, load_error
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.sandbox.verified import verified

if TYPE_CHECKING:
    from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend

__all__ = ["answer", "build"]

# What sessions were seen to take, and so much more for chance: addresses fall as they fall.
_SPARE_FACTOR = 1.5
_SPARE_BYTES = 64 * 2**20


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build with the ONNX Runtime of this machine, as :func:`build` does."""
    from aegis_ros.backends.cuda.ort.toolkit import find_ort_toolkit

    try:
        return build(request, find_ort_toolkit())
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # reported to the parent, whatever it is
        raise load_error(runtime_failure(error), ModelError) from error


def build(request: Mapping[str, Any], toolkit: OrtToolkit) -> dict[str, Any]:
    """Make one file a part, find out which can be captured, and hold them to the CPU's numbers.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``parts``, ``folder`` for what is
            made, ``tf32``, ``network`` (a :class:`CompiledNetwork` without files), ``eager`` (by
            index of a part, as text, why it is not to be captured: what an earlier answer said).
        toolkit: ONNX Runtime and the driver.

    Returns:
        ``paths``, ``bytes``, ``dynamic``, ``shares``, ``cuts``, ``complete_after``, ``advice``; or
        ``refused``, a sentence; or ``eager`` alone, after a capture that failed: ask again with it
        in a new process.

    Raises:
        ModelError: ONNX Runtime cannot take the network.
        BackendError: it cannot be loaded.
        StateError: the source is not what ``digest`` is of.
    """
    with verified(request["source"], request["digest"], StateError) as source:
        return _build(request, Path(source), toolkit)


def _build(request: Mapping[str, Any], original: Path, toolkit: OrtToolkit) -> dict[str, Any]:
    folder, network = Path(request["folder"]), CompiledNetwork.from_json(request["network"])
    parts, tf32 = int(request["parts"]), bool(request["tf32"])
    eager = {int(index): str(reason) for index, reason in request["eager"].items()}
    source = fold(original, folder / "whole.onnx")
    try:
        sources, known = parted(source, parts, folder, [item.name for item in network.outputs])
    except ModelError as error:
        return {"refused": error.problem}
    network = replace(
        network,
        paths=tuple(str(path) for path in sources),
        advice=(Advice(NOT_ADVISED, tf32=tf32),) * len(sources),
    )
    with _opened(toolkit) as backend:
        with _loaded(backend, network, folder) as loaded:
            for index, reason in enumerate(loaded.off_device()):
                if reason:
                    eager.setdefault(index, f"not all of it runs on the GPU ({reason})")
        network = replace(
            network,
            advice=tuple(Advice(eager.get(index, ""), tf32=tf32) for index in range(len(sources))),
        )
        with _loaded(backend, network) as loaded:
            failed = eager | loaded.failed_captures
            if loaded.failed_captures:
                return {"eager": {str(index): why for index, why in failed.items()}}
            first = list(loaded.session_bytes)
        # Loaded once more, since sessions do not always take the same; the larger of both counts.
        with _loaded(backend, network) as loaded:
            used = [max(pair) for pair in zip(first, loaded.session_bytes, strict=True)]
            advice = [
                Advice(why, int(taken * _SPARE_FACTOR) + _SPARE_BYTES, tf32)
                for why, taken in zip(loaded.eager, used, strict=True)
            ]
            facts: dict[str, Any] = {
                "paths": list(network.paths),
                "bytes": loaded.staging_bytes + sum(used),
                # A session does not separate weights from activations: all count as weights.
                "activation_bytes": 0,
                "staging_bytes": loaded.staging_bytes,
                "dynamic": loaded.dynamic,
                "advice": [asdict(each) for each in advice],
            }
            refused = difference(
                network,
                original,
                lambda inputs: loaded.computed(inputs[0]),
                TF32 if tf32 else FLOAT32,
            )
    if refused:
        return {"refused": refused}
    return facts | known


@contextmanager
def _opened(toolkit: OrtToolkit) -> Iterator[OnnxRuntimeCudaBackend]:
    """Open the backend with one lane, and close it."""
    from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend
    from aegis_ros.spec import LaneSpec

    backend = OnnxRuntimeCudaBackend(toolkit)
    try:
        backend.open((LaneSpec("build"),), lambda token, completion: None, 0)
        yield backend
    finally:
        backend.close()


@contextmanager
def _loaded(
    backend: OnnxRuntimeCudaBackend, network: CompiledNetwork, profile: Path | None = None
) -> Iterator[OrtCudaNetwork]:
    """Load a network as the backend will, and give it back."""
    loaded = backend.loaded_for_build(network, profile)
    try:
        yield loaded
    finally:
        backend.unload(loaded)
