"""The child process that searches for a faster way to compute a network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.backends.bytes_first import written_bytes_first
from aegis_ros.backends.folding import fold
from aegis_ros.backends.progress import note_progress
from aegis_ros.backends.tvm.compiling import kernels_of, read_network
from aegis_ros.backends.tvm.refusals import tvm_failure
from aegis_ros.backends.tvm.schedules import Tile
from aegis_ros.backends.tvm.tuning import search
from aegis_ros.errors import AegisError, ModelError, StateError, load_error
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request to search.

    Args:
        request: ``source`` (ONNX), ``digest`` (of it, or empty), ``folder`` for what is made and
            for ``progress``, ``seconds``, and ``choices`` of an earlier search.

    Returns:
        A :class:`~aegis_ros.backends.tvm.tuning.Found`.

    Raises:
        ModelError: TVM cannot take the network.
        StateError: the source is not what ``digest`` is of.
    """
    folder = Path(request["folder"])
    known = msgspec.convert(request["choices"], dict[str, Tile])
    try:
        with verified(request["source"], request["digest"], StateError) as source:
            typed = written_bytes_first(Path(source), folder / "typed.onnx")
            network = read_network(fold(typed, folder / "whole.onnx"))
        report = partial(note_progress, folder / "progress")
        found = search(kernels_of(network.module), known, float(request["seconds"]), report)
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # its exceptions have no common type
        raise load_error(tvm_failure(error), ModelError) from error
    made: dict[str, Any] = msgspec.to_builtins(found)
    return made
