"""The work of the child process that packs the weights of a cut network for streaming.

It holds what it made to the outputs of the network with all of its weights in memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.exact import not_exact
from aegis_ros.backends.resident import second_takes
from aegis_ros.errors import BackendError, ModelError, StateError, load_error
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["answer"]

_LOADS = 5  # that are timed, of each segment
_LEAST_BYTES = 1024  # of a tensor that is packed; smaller ones stay with the graph


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ``{"compiled", "folder"}``, or with ``"cut"``, try what was made of that.

    Raises:
        ModelError: ONNX Runtime refuses the network.
        StateError: a part is not what was built.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    folder = Path(request["folder"])
    tempfile.tempdir = str(folder)  # no other one can be written to
    compiled = CompiledNetwork.from_json(request["compiled"])
    try:
        if "cut" not in request:
            return pack(compiled, folder)
        return tried(CompiledNetwork.from_json(request["cut"]), compiled)
    except (OSError, MemoryError, StateError):
        raise
    except BackendError as error:
        return {"refused": error.problem}
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), ModelError) from error


def pack(cut: CompiledNetwork, folder: Path) -> dict[str, Any]:
    """Write each segment as a graph and a file of weights, as its kernels read them.

    One segment after the other: each is in memory twice meanwhile.

    Returns:
        ``graphs``, ``weights`` and ``nbytes`` of each segment.
    """
    import onnxruntime

    from aegis_ros.backends.cpu.onnxruntime import session_options
    from aegis_ros.backends.cpu.streamed import open_segment

    graphs = [folder / f"{index}.onnx" for index in range(cut.segments)]
    weights = [folder / f"{index}.weights" for index in range(cut.segments)]
    nbytes = []
    with cut.opened(StateError) as files:
        for index, (file, graph, kept) in enumerate(zip(files, graphs, weights, strict=True)):
            options = session_options()
            options.optimized_model_filepath = str(graph)
            for key, value in (
                ("session.optimized_model_external_initializers_file_name", kept.name),
                (
                    "session.optimized_model_external_initializers_min_size_in_bytes",
                    str(_LEAST_BYTES),
                ),
                ("session.save_external_prepacked_constant_initializers", "1"),
            ):
                options.add_session_config_entry(key, value)
            onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            kept.touch()  # a segment without weights writes none
            _write_through(kept)
            session, windows = open_segment(str(graph), str(kept), index)
            nbytes.append(sum(each.nbytes for each in windows))
            del session
    return {
        "graphs": [str(each) for each in graphs],
        "weights": [str(each) for each in weights],
        "nbytes": nbytes,
    }


def tried(cut: CompiledNetwork, made: CompiledNetwork) -> dict[str, Any]:
    """Hold what was made to the network it was made of; measure what it takes.

    Returns:
        ``bytes``, ``cold_ns`` and ``warm_ns``; or ``refused``, a sentence.
    """
    from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend

    backend = OnnxRuntimeBackend()
    taken, loaded = second_takes(lambda: backend.load(made, 0))
    refused = not_exact(cut, backend.load(cut, 0), made, loaded)  # type: ignore[arg-type]
    if refused:
        return {"refused": refused}
    found: dict[str, Any] = {"bytes": taken}
    for storage in ("cold", "warm"):
        found[f"{storage}_ns"] = _times(replace(made, storage=storage))
    return found


def _times(made: CompiledNetwork) -> list[int]:
    """Return the longest that loading each segment took."""
    from aegis_ros.backends.cpu.streamed import load_streamed

    with made.opened(StateError) as files:
        network = load_streamed(made, files)
    longest = [0] * made.segments
    for _ in range(_LOADS):
        for index in range(made.segments):
            began = time.perf_counter_ns()
            network.bring(index)
            longest[index] = max(longest[index], time.perf_counter_ns() - began)
    return longest


def _write_through(path: Path) -> None:
    """Have a file on the disk, so that reads past the page cache find it there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
