"""The CUDA driver through NVIDIA's own Python package, cuda-python."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from aegis_ros.backends.cuda.driver import NOT_SUPPORTED, CudaError, CudaUnavailable, Partition

__all__ = ["BindingsDriver"]

_OF_DEVICE = 0
_SMALLEST_GROUP = 8  # multiprocessors, where the package does not say (that of 12.x)
_TOO_FEW = 915
_TOO_FEW_NAME = "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION"
_KIND = "CU_GRAPH_NODE_TYPE_"


class BindingsDriver:
    """All of the protocol; its calls release the interpreter's lock."""

    name = "cuda-python"
    priorities = True
    graphs = True

    def __init__(self, module: Any = None) -> None:
        """Find driver and GPU; no context is made.

        Args:
            module: to use instead of the installed package.

        Raises:
            CudaUnavailable: package, driver or GPU is missing.
        """
        self._cuda = _driver_module() if module is None else module
        self._context: Any = None
        self._retained = threading.Lock()
        self._local = threading.local()
        self._partitions: dict[int, Any] = {}  # handle -> green context
        self._graphs: dict[int, Any] = {}  # executable graph -> the graph it was made of
        try:
            self._do("cuInit", 0)
            count = int(self._do("cuDeviceGetCount"))
        except CudaError as error:
            raise CudaUnavailable(f"the NVIDIA driver says {error.reason}") from error
        except Exception as error:  # the package has no single type for a driver it cannot load
            raise CudaUnavailable("there is no NVIDIA driver (libcuda.so.1)") from error
        if count == 0:
            raise CudaUnavailable("the NVIDIA driver finds no GPU")
        self._device = self._do("cuDeviceGet", _OF_DEVICE)
        self._name = _text(self._do("cuDeviceGetName", 128, self._device))
        self._address = ""
        with suppress(CudaError):  # not every GPU of a board is on a bus
            self._address = _text(self._do("cuDeviceGetPCIBusId", 32, self._device))

    def device_name(self) -> str:
        """Return the GPU's name."""
        return self._name

    def address(self) -> str:
        """Return where the GPU is on the host's PCI bus; empty where it is on none."""
        return self._address

    def attach(self) -> None:
        """Make the primary context current in this thread."""
        if getattr(self._local, "attached", False):
            return
        with self._retained:
            if self._context is None:
                blocking = self._cuda.CUctx_flags.CU_CTX_SCHED_BLOCKING_SYNC
                # Refused where something else has the context already: then it waits as that wants.
                with suppress(CudaError):
                    self._do("cuDevicePrimaryCtxSetFlags", self._device, int(blocking))
                self._context = self._do("cuDevicePrimaryCtxRetain", self._device)
        self._do("cuCtxSetCurrent", self._context)
        self._local.attached = True

    def close(self) -> None:
        """Give the primary context back."""
        with self._retained:
            if self._context is None:
                return
            self._context = None
            self._local = threading.local()
            self._do("cuDevicePrimaryCtxRelease", self._device)

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes."""
        free, total = self._do("cuMemGetInfo")
        return int(free), int(total)

    def multiprocessors(self) -> int:
        """Return how many the GPU has; 0 where package or driver know no green contexts."""
        try:
            kind = self._cuda.CUdevResourceType.CU_DEV_RESOURCE_TYPE_SM
            whole = self._do("cuDeviceGetDevResource", self._device, kind)
        except (AttributeError, RuntimeError, CudaError):
            return 0
        return int(whole.sm.smCount)

    def split(self, counts: Sequence[int]) -> list[Partition]:
        """Make a green context a count, and one of the rest.

        What is left after a split cannot be split again, so one call makes as many equal groups as
        the GPU has, and each context gets as many of them as its count takes.
        """
        made: list[Partition] = []
        try:
            kind = self._cuda.CUdevResourceType.CU_DEV_RESOURCE_TYPE_SM
            whole = self._do("cuDeviceGetDevResource", self._device, kind)
            unit = max(1, int(getattr(whole.sm, "minSmPartitionSize", 0)) or _SMALLEST_GROUP)
            most = max(1, int(whole.sm.smCount) // unit)
            groups, made_of, rest = self._do("cuDevSmResourceSplitByCount", most, whole, 0, unit)
            free = list(groups)[: int(made_of)]
            for count in counts:
                size = int(free[0].sm.smCount) if free else unit
                wanted = -(-count // size)
                if wanted > len(free):
                    raise CudaError("cuDevSmResourceSplitByCount", _TOO_FEW, _TOO_FEW_NAME)
                made.append(self._partition(free[:wanted]))
                del free[:wanted]
            made.append(self._rest(free, rest, int(kind)))
        except BaseException as error:
            for each in made:
                self.unite(each.handle)
            # How the package tells of a function that it, or the driver, does not have.
            if isinstance(error, (AttributeError, RuntimeError)):
                raise CudaError("cuGreenCtxCreate", NOT_SUPPORTED, str(error)) from error
            raise
        return made

    def _rest(self, free: list[Any], remainder: Any, kind: int) -> Partition:
        """Return what no count took; without the remainder where that is of another alignment."""
        left = int(remainder.type) == kind and int(remainder.sm.smCount) > 0
        if left:
            try:
                return self._partition([*free, remainder])
            except CudaError as error:
                if error.sticky or not free:
                    raise
        return self._partition(free) if free else Partition(0, 0)

    def _partition(self, resources: list[Any]) -> Partition:
        described = self._do("cuDevResourceGenerateDesc", resources, len(resources))
        flags = int(self._cuda.CUgreenCtxCreate_flags.CU_GREEN_CTX_DEFAULT_STREAM)
        green = self._do("cuGreenCtxCreate", described, self._device, flags)
        self._partitions[int(green)] = green
        kind = self._cuda.CUdevResourceType.CU_DEV_RESOURCE_TYPE_SM
        try:
            has = self._do("cuGreenCtxGetDevResource", green, kind)
        except BaseException:
            self.unite(int(green))
            raise
        return Partition(int(green), int(has.sm.smCount))

    def unite(self, partition: int) -> None:
        """Destroy a green context."""
        if partition:
            self._do("cuGreenCtxDestroy", self._partitions.pop(partition))

    def create_stream(self, urgency: int, partition: int = 0) -> int:
        """Return a non-blocking stream."""
        lowest, highest = self._do("cuCtxGetStreamPriorityRange")
        # Priorities are numbers of which a lower one is more urgent.
        priority = max(int(highest), int(lowest) - urgency)
        flags = int(self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING)
        if partition:
            green = self._partitions[partition]
            return int(self._do("cuGreenCtxStreamCreate", green, flags, priority))
        return int(self._do("cuStreamCreateWithPriority", flags, priority))

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._do("cuStreamDestroy", stream)

    def synchronize_stream(self, stream: int) -> None:
        """Wait for a stream."""
        self._do("cuStreamSynchronize", stream)

    def create_event(self, *, spins: bool = False) -> int:
        """Return an event without a time, since those with one cost more to record."""
        flags = self._cuda.CUevent_flags
        asleep = 0 if spins else int(flags.CU_EVENT_BLOCKING_SYNC)
        return int(self._do("cuEventCreate", asleep | int(flags.CU_EVENT_DISABLE_TIMING)))

    def destroy_event(self, event: int) -> None:
        """Destroy an event."""
        self._do("cuEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        """Record an event on a stream."""
        self._do("cuEventRecord", event, stream)

    def synchronize(self, event: int) -> None:
        """Sleep or spin until an event has happened."""
        self._do("cuEventSynchronize", event)

    def wait(self, stream: int, event: int) -> None:
        """Have a stream wait for an event."""
        self._do("cuStreamWaitEvent", stream, event, 0)

    def allocate(self, nbytes: int) -> int:
        """Return device memory."""
        return int(self._do("cuMemAlloc", nbytes))

    def free(self, address: int) -> None:
        """Free device memory."""
        self._do("cuMemFree", address)

    def allocate_pinned(self, nbytes: int) -> int:
        """Return page-locked memory every context may use."""
        return int(self._do("cuMemHostAlloc", nbytes, self._cuda.CU_MEMHOSTALLOC_PORTABLE))

    def free_pinned(self, address: int) -> None:
        """Free page-locked memory."""
        self._do("cuMemFreeHost", address)

    def pin(self, address: int, nbytes: int) -> None:
        """Lock pages for every context."""
        flags = self._cuda.CU_MEMHOSTREGISTER_PORTABLE
        self._do("cuMemHostRegister", address, nbytes, flags)

    def unpin(self, address: int) -> None:
        """Undo it."""
        self._do("cuMemHostUnregister", address)

    def copy_in(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """Copy to the device."""
        self._do("cuMemcpyHtoDAsync", device, host, nbytes, stream)

    def copy_out(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """Copy from the device."""
        self._do("cuMemcpyDtoHAsync", host, device, nbytes, stream)

    def begin_capture(self, stream: int) -> None:
        """Capture what this thread does; other threads' calls are left alone."""
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._do("cuStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """Return the executable graph."""
        graph = self._do("cuStreamEndCapture", stream)
        try:
            executable = self._do("cuGraphInstantiate", graph, 0)
        except CudaError:
            self._do("cuGraphDestroy", graph)
            raise
        self._graphs[int(executable)] = graph
        try:
            self._do("cuGraphUpload", executable, stream)  # or the first launch would do it
        except CudaError:
            self.destroy_graph(int(executable))
            raise
        return int(executable)

    def graph_kinds(self, graph: int) -> Mapping[str, int]:
        """Count the operations of a graph."""
        made_of = self._graphs[graph]
        _, count = self._do("cuGraphGetNodes", made_of, 0)
        if not int(count):
            return {}
        nodes, _ = self._do("cuGraphGetNodes", made_of, int(count))
        kinds = Counter(self._do("cuGraphNodeGetType", node) for node in nodes)
        return {
            str(getattr(kind, "name", kind)).removeprefix(_KIND).lower(): number
            for kind, number in kinds.items()
        }

    def launch(self, graph: int, stream: int) -> None:
        """Launch a graph."""
        self._do("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Destroy a graph."""
        self._do("cuGraphExecDestroy", graph)
        self._do("cuGraphDestroy", self._graphs.pop(graph))

    def _do(self, call: str, *arguments: Any) -> Any:
        """Call the driver; return what it returns beside its result.

        Raises:
            CudaError: the result is not success.
        """
        result, *values = getattr(self._cuda, call)(*arguments)
        if int(result) != 0:
            raise CudaError(call, int(result), str(getattr(result, "name", result)))
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)


def _text(found: Any) -> str:
    """Return text of the driver, which ends with a zero."""
    return bytes(found).split(b"\0")[0].decode(errors="replace").strip()


def _driver_module() -> Any:
    for name in ("cuda.bindings.driver", "cuda.cuda"):  # the second one up to version 12.6
        try:
            return import_module(name)
        except ImportError:
            continue
    raise CudaUnavailable("the Python package cuda-python is not installed")
