"""The CUDA driver through PyCUDA, which has neither priorities of streams nor graphs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from aegis_ros.backends.cuda.driver import (
    NOT_SUPPORTED,
    OUT_OF_MEMORY,
    CudaError,
    CudaUnavailable,
    Partition,
)

__all__ = ["PyCudaDriver"]


class PyCudaDriver:
    """What PyCUDA has of the protocol. Its objects are kept here, under their handles."""

    name = "PyCUDA"
    priorities = False
    graphs = False

    def __init__(self, module: Any = None) -> None:
        """Find driver and GPU; no context is made.

        Args:
            module: to use instead of the installed ``pycuda.driver``.

        Raises:
            CudaUnavailable: package, driver or GPU is missing.
        """
        if module is None:
            try:
                module = import_module("pycuda.driver")
            except ModuleNotFoundError as error:
                raise CudaUnavailable("the Python package PyCUDA is not installed") from error
            except ImportError as error:
                raise CudaUnavailable("there is no NVIDIA driver (libcuda.so.1)") from error
        self._cuda = module
        try:
            module.init()
            count = module.Device.count()
        except module.Error as error:
            raise CudaUnavailable(f"the NVIDIA driver says {error}") from error
        if count == 0:
            raise CudaUnavailable("the NVIDIA driver finds no GPU")
        self._device = module.Device(0)
        self._context: Any = None
        self._retained = threading.Lock()
        self._local = threading.local()
        self._objects: dict[int, Any] = {}

    def device_name(self) -> str:
        """Return the GPU's name."""
        return str(self._device.name())

    def address(self) -> str:
        """Return where the GPU is on the host's PCI bus; empty where it is on none."""
        try:
            return str(self._device.pci_bus_id())
        except self._cuda.Error:
            return ""

    def attach(self) -> None:
        """Make the primary context current in this thread."""
        if getattr(self._local, "attached", False):
            return
        with self._retained:
            if self._context is None:
                self._context = self._do("retain_primary_context", self._device)
        self._do("push", self._context)
        self._local.attached = True

    def close(self) -> None:
        """Drop all that was made; PyCUDA gives the primary context back with its object."""
        self._objects.clear()
        if getattr(self._local, "attached", False):
            self._do("pop", self._cuda.Context)
        self._local = threading.local()
        self._context = None

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes."""
        free, total = self._do("mem_get_info", self._cuda)
        return int(free), int(total)

    def multiprocessors(self) -> int:
        """None that could be divided."""
        return 0

    def split(self, counts: Sequence[int]) -> list[Partition]:
        """Not with PyCUDA."""
        raise CudaError("split", NOT_SUPPORTED, "PyCUDA has no green contexts")

    def unite(self, partition: int) -> None:
        """Nothing was made."""

    def create_stream(self, urgency: int, partition: int = 0) -> int:
        """Return a non-blocking stream; all have the same priority."""
        stream = self._do("Stream", self._cuda, self._non_blocking())
        return self._keep(int(stream.handle), stream)

    def destroy_stream(self, stream: int) -> None:
        """Drop a stream."""
        self._objects.pop(stream, None)

    def synchronize_stream(self, stream: int) -> None:
        """Wait for a stream."""
        self._do("synchronize", self._objects[stream])

    def create_event(self, *, spins: bool = False) -> int:
        """Return an event without a time."""
        flags = self._cuda.event_flags
        asleep = 0 if spins else flags.BLOCKING_SYNC
        event = self._do("Event", self._cuda, asleep | flags.DISABLE_TIMING)
        return self._keep(id(event), event)

    def destroy_event(self, event: int) -> None:
        """Drop an event."""
        self._objects.pop(event, None)

    def record(self, event: int, stream: int) -> None:
        """Record an event on a stream."""
        self._do("record", self._objects[event], self._objects[stream])

    def synchronize(self, event: int) -> None:
        """Sleep or spin until an event has happened."""
        self._do("synchronize", self._objects[event])

    def wait(self, stream: int, event: int) -> None:
        """Have a stream wait for an event."""
        self._do("wait_for_event", self._objects[stream], self._objects[event])

    def allocate(self, nbytes: int) -> int:
        """Return device memory."""
        memory = self._do("mem_alloc", self._cuda, nbytes)
        return self._keep(int(memory), memory)

    def free(self, address: int) -> None:
        """Free device memory."""
        self._do("free", self._objects.pop(address))

    def allocate_pinned(self, nbytes: int) -> int:
        """Return page-locked memory."""
        array = self._do("pagelocked_empty", self._cuda, nbytes, "uint8")
        return self._keep(int(array.ctypes.data), array)

    def free_pinned(self, address: int) -> None:
        """Drop page-locked memory."""
        self._objects.pop(address, None)

    def pin(self, address: int, nbytes: int) -> None:
        """Lock pages."""
        array = np.ctypeslib.as_array(_at(address, nbytes))
        self._keep(address, self._do("register_host_memory", self._cuda, array))

    def unpin(self, address: int) -> None:
        """Undo it."""
        self._do("unregister", self._objects.pop(address).base)

    def copy_in(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """Copy to the device."""
        self._do("memcpy_htod_async", self._cuda, device, _at(host, nbytes), self._objects[stream])

    def copy_out(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """Copy from the device."""
        self._do("memcpy_dtoh_async", self._cuda, _at(host, nbytes), device, self._objects[stream])

    def begin_capture(self, stream: int) -> None:
        """Not with PyCUDA."""
        raise CudaError("begin_capture", NOT_SUPPORTED, "PyCUDA has no graphs")

    def end_capture(self, stream: int) -> int:
        """Not with PyCUDA."""
        raise CudaError("end_capture", NOT_SUPPORTED, "PyCUDA has no graphs")

    def graph_kinds(self, graph: int) -> Mapping[str, int]:
        """Not with PyCUDA."""
        raise CudaError("graph_kinds", NOT_SUPPORTED, "PyCUDA has no graphs")

    def launch(self, graph: int, stream: int) -> None:
        """Not with PyCUDA."""
        raise CudaError("launch", NOT_SUPPORTED, "PyCUDA has no graphs")

    def destroy_graph(self, graph: int) -> None:
        """Nothing was made."""

    def _non_blocking(self) -> int:
        flags = getattr(self._cuda, "stream_flags", None)  # older versions take a bare number
        return int(getattr(flags, "NON_BLOCKING", 1))

    def _keep(self, handle: int, made: Any) -> int:
        self._objects[handle] = made
        return handle

    def _do(self, call: str, owner: Any, *arguments: Any) -> Any:
        try:
            return getattr(owner, call)(*arguments)
        except self._cuda.MemoryError as error:
            raise CudaError(call, OUT_OF_MEMORY, str(error)) from error
        except self._cuda.Error as error:
            raise CudaError(call, _code(error), str(error)) from error


def _at(address: int, nbytes: int) -> Any:
    """Return host memory as an object that has a buffer."""
    return (ctypes.c_uint8 * nbytes).from_address(address)


def _code(error: Exception) -> int:
    """Return the CUresult of a PyCUDA error, whose text is all that tells; 999 if it is lost."""
    text = str(error).lower()
    if "out of memory" in text:
        return OUT_OF_MEMORY
    for sentence, code in (
        ("illegal address", 700),
        ("illegal memory", 700),
        ("launch timed out", 702),
        ("the launch timed out", 702),
        ("unspecified launch failure", 719),
        ("launch failed", 719),
        ("uncorrectable ecc", 214),
        ("misaligned", 716),
        ("context is destroyed", 709),
        ("invalid argument", 1),
        ("invalid resource", 400),
        ("invalid value", 1),
    ):
        if sentence in text:
            return code
    return 999
