"""A network that Relax's virtual machine runs, segment by segment, on the thread that calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork, Shapes
from aegis_ros.backends.outputs import copy_to_front
from aegis_ros.backends.tvm.library import read_library
from aegis_ros.backends.tvm.toolkit import load_linker, load_runtime
from aegis_ros.errors import BackendError

__all__ = ["TvmNetwork"]

_ALIGNMENT = 64  # bytes; what is compiled may read with instructions that need it
_FUNCTION = "main"


@dataclass(slots=True)
class _Segment:
    """One segment, ready to run.

    Attributes:
        function: runs it: takes tensors, returns one, or several.
        session: holds its machine code; after everything else of it, this goes.
        takes: (name, place) of what it takes, place being that among the network's inputs; -1 for
            what an earlier segment has made.
        makes: (name, place) of what it makes, place being that among the network's outputs; -1 for
            what is only handed on.
    """

    function: Any
    session: Any
    takes: tuple[tuple[str, int], ...]
    makes: tuple[tuple[str, int], ...]


class TvmNetwork:
    """Runs segments on frames where they lie.

    A run's tensors come from a pool of TVM's own, which the first runs fill. What a segment makes
    is handed on by name, without a copy; outputs are copied, once, to the caller's arrays.

    Args:
        compiled: the network.
        files: names under which its files open, as :meth:`CompiledNetwork.opened` yields them.
    """

    def __init__(self, compiled: CompiledNetwork, files: Sequence[str]) -> None:
        """Load the machine code of every segment."""
        self._tensor = _from_array()
        self._inputs = {item.tensor.name: place for place, item in enumerate(compiled.inputs)}
        self._dtypes = [np.dtype(item.dtype) for item in compiled.inputs]
        self._outputs = {item.name: place for place, item in enumerate(compiled.outputs)}
        self._infos = compiled.outputs
        self._dynamic = frozenset(
            self._outputs[name] for name in compiled.dynamic_outputs if name in self._outputs
        )
        self._shapes = [tuple(int(extent) for extent in item.shape) for item in compiled.outputs]
        self._between: dict[str, Any] = {}
        self._segments = [self._loaded(file) for file in files]

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def note(self) -> str:
        """Nothing is chosen when it is loaded."""
        return ""

    def run(self, index: int, inputs: Arrays, outputs: Arrays) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic.

        Extents of outputs that are not complete yet are those of an earlier run.

        Raises:
            BackendError: an input is not what the network takes, or an output has no room.
        """
        segment = self._segments[index]
        if index == 0:
            self._between.clear()
        try:
            given = [
                self._between[name] if place < 0 else self._frame(inputs[place], place)
                for name, place in segment.takes
            ]
            made = segment.function(*given)
        except BackendError:
            raise
        except Exception as error:  # its exceptions have no common type
            # What an engine has no use for.
            from aegis_ros.backends.tvm.refusals import tvm_text

            raise BackendError(tvm_text(error)) from error
        tensors = (made,) if hasattr(made, "dtype") else made
        last = index == len(self._segments) - 1
        for (name, place), tensor in zip(segment.makes, tensors, strict=True):
            if place >= 0:
                self._hand_out(place, tensor, outputs[place])
            if not last:
                self._between[name] = tensor
        return tuple(self._shapes) if self._dynamic else None

    def close(self) -> None:
        """Drop the machine code."""
        self._between.clear()
        self._segments.clear()

    def _frame(self, values: npt.NDArray[np.generic], place: int) -> Any:
        """Return a tensor over an input's own memory, or over a copy where that is not aligned."""
        if values.dtype != self._dtypes[place] or not values.flags.c_contiguous:
            raise BackendError(
                "the frame does not fit the network's input",
                value=values.dtype,
                expected=f"contiguous {self._dtypes[place]}",
            )
        if values.ctypes.data % _ALIGNMENT or not values.flags.writeable:
            values = _aligned_copy(values)
        return self._tensor(values)

    def _hand_out(self, place: int, tensor: Any, output: npt.NDArray[np.generic]) -> None:
        values = np.from_dlpack(tensor)
        if place in self._dynamic:
            self._shapes[place] = copy_to_front(self._infos[place], values, output)
        else:
            np.copyto(output, values, casting="no")

    def _loaded(self, file: str) -> _Segment:
        """Return the segment of a file, linked into this process."""
        library = read_library(file)
        signature = library.signature
        session = load_linker().ExecutionSession()
        # It would ask a C++ compiler, in a process of its own, where that one's library is; what
        # LLVM made of a network needs none.
        code = session.load_module(list(library.objects), cxx=os.devnull)
        from tvm.runtime.vm import VirtualMachine

        memory = None if signature.pooled else "naive"
        machine = VirtualMachine(code, load_runtime().cpu(), memory)
        return _Segment(
            machine[_FUNCTION],
            session,
            tuple((name, self._inputs.get(name, -1)) for name in signature.inputs),
            tuple((name, self._outputs.get(name, -1)) for name in signature.outputs),
        )


def _from_array() -> Any:
    load_runtime()
    from tvm_ffi import from_dlpack

    return from_dlpack


def _aligned_copy(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    memory = np.empty(values.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    copy = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    np.copyto(copy, values)
    return copy
