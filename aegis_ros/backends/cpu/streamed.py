"""A network of ONNX Runtime of whose segments only some have their weights in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegis_ros.backends.base import Arrays, CompiledNetwork, Shapes
from aegis_ros.backends.cpu.freeing import given_back
from aegis_ros.backends.cpu.locks import untouched
from aegis_ros.backends.cpu.onnxruntime import OrtNetwork, session_options
from aegis_ros.backends.cpu.place import Place, WeightsFile, Window, fill, windows_of
from aegis_ros.backends.streaming import kept_segments
from aegis_ros.errors import BackendError
from aegis_ros.sandbox.scratch import Scratch

__all__ = ["StreamedNetwork", "load_streamed", "open_segment"]


class StreamedNetwork(OrtNetwork):
    """One network on one lane; a segment that takes turns is loaded before it runs.

    Args:
        sessions: one a segment.
        compiled: the network.
        place: where segments that take turns have their weights.
    """

    def __init__(self, sessions: Sequence[Any], compiled: CompiledNetwork, place: Place) -> None:
        """Bind what can be bound before the first run."""
        super().__init__(sessions, compiled)
        self._place = place

    def run(self, index: int, inputs: Arrays, outputs: Arrays) -> Shapes | None:
        """Load and run one segment; return the extents of the outputs if some are dynamic.

        Raises:
            BackendError: its weights cannot be loaded, or as for :meth:`OrtNetwork.run`.
        """
        self._place.bring(index)
        return super().run(index, inputs, outputs)

    def bring(self, index: int) -> None:
        """Load the weights of a segment that takes turns, as before it runs.

        Raises:
            BackendError: they cannot be loaded.
        """
        self._place.bring(index)


def load_streamed(compiled: CompiledNetwork, files: Sequence[str]) -> StreamedNetwork:
    """Return a network that has not run yet.

    Args:
        compiled: the network, with its weights in files of their own.
        files: names under which its files open, as :meth:`CompiledNetwork.opened` yields them.

    Raises:
        BackendError: weights cannot be loaded, or ONNX Runtime maps them in no way known here.
    """
    sessions, turns = [], []
    kept = kept_segments(compiled)
    graphs, weights = files[: compiled.segments], files[compiled.segments :]
    for index, (graph, name, known) in enumerate(
        zip(graphs, weights, compiled.weights, strict=True)
    ):
        session, windows = open_segment(graph, name, index)
        found = sum(each.nbytes for each in windows)
        if found != known.nbytes:
            raise BackendError(
                "ONNX Runtime does not map the weights of a segment as it did when they were "
                "prepared",
                value=f"{found} bytes",
                expected=f"{known.nbytes} bytes of {known.path}",
                hint="Remove the folder of prepared networks, or declare resident: all",
            )
        sessions.append(session)
        file = WeightsFile(name, known.path, cold=compiled.storage == "cold")
        if index in kept:
            fill(file, windows)
        else:
            turns.append((index, file, windows))
    return StreamedNetwork(sessions, compiled, Place(turns))


def open_segment(graph: str, weights: str, index: int) -> tuple[Any, tuple[Window, ...]]:
    """Return a session, and where its weights are mapped.

    Args:
        graph: name under which the graph opens.
        weights: name under which the file of its weights opens.
        index: of the segment; the graph names the file after it.
    """
    import onnxruntime

    with Scratch() as folder, given_back():
        # The names that the graph and ONNX Runtime know, leading to the very files that were
        # verified.
        for name, target in ((f"{index}.onnx", graph), (f"{index}.weights", weights)):
            os.symlink(Path(target).absolute(), folder / name)
        with untouched():  # nobody has room for the weights of all segments
            session = onnxruntime.InferenceSession(
                str(folder / f"{index}.onnx"),
                session_options(),
                providers=["CPUExecutionProvider"],
            )
        return session, windows_of(weights)
