"""A network that Relax's virtual machine runs, segment by segment, on the thread that calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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
        opened: keeps the name of a shared library that it runs (:func:`_opened`); goes after that.
        session: holds its machine code; after everything else of it, this goes.
        takes: (name, place) of what it takes, place being that among the network's inputs; -1 for
            what an earlier segment has made.
        makes: (name, place) of what it makes, place being that among the network's outputs; -1 for
            what is only handed on.
    """

    function: Any
    opened: IO[bytes] | None
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
        tensors = _several(made)
        if len(tensors) != len(segment.makes):
            raise BackendError(
                f"{len(tensors)} tensors are made, and {len(segment.makes)} outputs declared"
            )
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
        if place not in self._dynamic and (values.shape, values.dtype) != (
            output.shape,
            output.dtype,
        ):
            raise BackendError(
                f"output {self._infos[place].name!r} is not what was declared",
                value=f"{values.dtype} {list(values.shape)}",
                expected=f"{output.dtype} {list(output.shape)}",
            )
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
        module = session.load_module(list(library.objects), cxx=os.devnull)
        function = _function(module, _FUNCTION, pooled=signature.pooled)
        opened = None
        if signature.behind:
            code, opened = _opened(library.code, Path(file).parent)
            function = _then(function, _function(code, signature.behind))
        return _Segment(
            function,
            opened,
            session,
            tuple((name, self._inputs.get(name, -1)) for name in signature.inputs),
            tuple((name, self._outputs.get(name, -1)) for name in signature.outputs),
        )


def _opened(code: bytes, folder: Path) -> tuple[Any, IO[bytes] | None]:
    """Return the module of a shared library, of which nobody else has opened the same file.

    One file would be one library for all who open it, which knows the module of the last one only.
    So would one name: the loader compares names before it looks at files. Where a file that is
    returned, too, has its number in the name, no other may have that number while the module is
    there: it has to stay open.

    Args:
        code: what the file of the library holds.
        folder: for a file of its own, where this process may have none in memory: the child that
            tries a build may not, since nobody would count them.

    Raises:
        BackendError: it is none that can be opened here.
    """
    try:
        descriptor = os.memfd_create("network", os.MFD_CLOEXEC)
    except PermissionError:
        from aegis_ros.sandbox.scratch import Scratch  # what an engine has no use for

        with Scratch(folder) as scratch:
            own = scratch / "code.so"
            own.write_bytes(code)
            return _open(str(own)), None
    file = open(descriptor, "wb")  # noqa: SIM115  # whoever has the module closes it
    try:
        file.write(code)
        file.flush()
        return _open(f"/proc/self/fd/{descriptor}"), file
    except BaseException:
        file.close()
        raise


def _open(path: str) -> Any:
    from tvm_ffi import get_global_func

    try:
        return get_global_func("ffi.Module.load_from_file.so")(path, "so")
    except Exception as error:  # its exceptions have no common type
        said = str(error).rpartition(path)[2].strip(" :") or type(error).__name__
        raise BackendError(f"the library cannot be opened ({said})") from error


def _function(module: Any, name: str, *, pooled: bool = True) -> Any:
    """Return a function of compiled code, as Relax's virtual machine runs it.

    Raises:
        BackendError: there is none of that name, or the code is not TVM's.
    """
    from tvm.runtime.vm import VirtualMachine

    try:
        machine = VirtualMachine(module, load_runtime().cpu(), None if pooled else "naive")
    except AttributeError as error:
        raise BackendError("the library is none that TVM has compiled from Relax") from error
    try:
        return machine[name]
    except AttributeError as error:
        raise BackendError(f"the library has no function {name!r}") from error


def _then(first: Any, second: Any) -> Any:
    """Return a function that hands on what one function makes to another one."""
    return lambda *given: second(*_several(first(*given)))


def _several(made: Any) -> Any:
    """Return the tensors that a function has made, one or several."""
    return (made,) if hasattr(made, "dtype") else made


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
