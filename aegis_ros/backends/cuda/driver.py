"""What is asked of the CUDA driver, over plain integers.

Streams, events, graphs and addresses are the driver's own handles as ``int``: TensorRT takes them
so, and a test can count them. Two Python packages offer the driver; neither is imported before
:func:`open_driver`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

__all__ = [
    "NOT_SUPPORTED",
    "OUT_OF_MEMORY",
    "STICKY",
    "CudaDriver",
    "CudaError",
    "CudaUnavailable",
    "Partition",
    "open_driver",
]

OUT_OF_MEMORY = 2
NOT_SUPPORTED = 801

# Results after which no call of this process on this context works any more (CUresult): an
# uncorrectable ECC error, a contained fault, a destroyed context, illegal access, a launch that
# timed out or failed, an assertion, a hardware or address fault, a driver that shuts down, and
# what even the driver does not know.
STICKY = frozenset({4, 214, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999})

_IMPLEMENTATIONS = (
    ("aegis_ros.backends.cuda.bindings", "BindingsDriver"),
    ("aegis_ros.backends.cuda.pycuda", "PyCudaDriver"),
)


class CudaError(Exception):
    """A call of the driver failed.

    Attributes:
        call: name of the call.
        code: CUresult.
        reason: the driver's name or sentence for it.
    """

    def __init__(self, call: str, code: int, reason: str) -> None:
        """Keep the parts."""
        super().__init__(f"{call}: {reason} ({code})")
        self.call = call
        self.code = code
        self.reason = reason

    @property
    def sticky(self) -> bool:
        """Whether the context is lost, and with it everything on the device."""
        return self.code in STICKY

    @property
    def out_of_memory(self) -> bool:
        """Whether the device or the host had not enough memory."""
        return self.code == OUT_OF_MEMORY


@dataclass(frozen=True, slots=True)
class Partition:
    """Some of a GPU's multiprocessors.

    Attributes:
        handle: of the green context; 0 for none.
        sms: how many it has.
    """

    handle: int
    sms: int


class CudaUnavailable(Exception):
    """There is no driver, no GPU, or no Python package to reach them by; the text says which."""


class CudaDriver(Protocol):
    """One GPU: its primary context, which TensorRT uses too.

    Every call may raise :class:`CudaError`. Calls that wait block in the driver, without the
    interpreter's lock; they sleep, but for :meth:`synchronize` of an event that spins.

    Attributes:
        name: name of the Python package.
        priorities: whether streams have priorities.
        graphs: whether work can be captured and launched as a graph.
    """

    name: str
    priorities: bool
    graphs: bool

    def device_name(self) -> str:
        """Return the GPU's name; needs no context."""
        ...

    def address(self) -> str:
        """Return where the GPU is on the host's PCI bus, as all processes see it; may be empty."""
        ...

    def attach(self) -> None:
        """Make the primary context current in the calling thread, retaining it the first time."""
        ...

    def close(self) -> None:
        """Give the primary context back."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes of the device."""
        ...

    def multiprocessors(self) -> int:
        """Return how many multiprocessors can be divided; 0 where none can."""
        ...

    def split(self, counts: Sequence[int]) -> list[Partition]:
        """Divide the multiprocessors; return one partition a count and one for what is left.

        Green contexts of the primary one: what is put on a stream of a partition computes on its
        multiprocessors alone. Counts are rounded up to what the GPU can part, and each partition
        says how many it really has; the last one has none where nothing is left. Raises
        :class:`CudaError` where there are too few, or where driver or package have no green
        contexts.
        """
        ...

    def unite(self, partition: int) -> None:
        """Give a partition back on which nothing runs and which has no stream any more."""
        ...

    def create_stream(self, urgency: int, partition: int = 0) -> int:
        """Return a stream that does not wait for the default one.

        Args:
            urgency: 0 for the lowest priority; each step up is one priority more urgent, up to
                the device's highest. Ignored where there are no priorities.
            partition: handle of the partition it computes on; 0 for the whole GPU.
        """
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream on which nothing runs."""
        ...

    def synchronize_stream(self, stream: int) -> None:
        """Wait until everything on the stream has ended."""
        ...

    def create_event(self, *, spins: bool = False) -> int:
        """Return an event.

        Args:
            spins: whether a thread that waits for it spins in the driver: it goes on sooner, and
                keeps its core busy. Otherwise it sleeps.
        """
        ...

    def destroy_event(self, event: int) -> None:
        """Destroy an event nobody waits for."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Have the event happen when all that is on the stream now has ended."""
        ...

    def synchronize(self, event: int) -> None:
        """Wait until the event has happened, asleep or spinning as it was made."""
        ...

    def wait(self, stream: int, event: int) -> None:
        """Have what is put on the stream from now on wait for the event; returns at once."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Return the address of device memory, aligned to at least 256 bytes."""
        ...

    def free(self, address: int) -> None:
        """Free device memory nothing uses."""
        ...

    def allocate_pinned(self, nbytes: int) -> int:
        """Return the address of page-locked host memory."""
        ...

    def free_pinned(self, address: int) -> None:
        """Free page-locked host memory nothing uses."""
        ...

    def pin(self, address: int, nbytes: int) -> None:
        """Lock the pages of host memory somebody else owns, so that copies read it directly."""
        ...

    def unpin(self, address: int) -> None:
        """Undo :meth:`pin`; no copy may be under way."""
        ...

    def copy_in(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """Copy from page-locked host memory to the device, in the stream's order."""
        ...

    def copy_out(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """Copy from the device to page-locked host memory, in the stream's order."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Collect what the calling thread puts on the stream, rather than run it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Return what was collected as an executable graph; ends the capture even if it raises."""
        ...

    def graph_kinds(self, graph: int) -> Mapping[str, int]:
        """Return how many operations of each kind a graph has.

        Kinds are ``kernel``, ``memcpy``, ``memset``, ``host`` (a call back into the host) and
        others under the driver's own names in small letters.
        """
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Run a graph in the stream's order."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroy a graph that does not run."""
        ...


def open_driver() -> CudaDriver:
    """Return the driver through the first Python package that reaches it.

    Raises:
        CudaUnavailable: none does.
    """
    reasons: list[str] = []
    for module, attribute in _IMPLEMENTATIONS:
        try:
            made: CudaDriver = getattr(import_module(module), attribute)()
        except CudaUnavailable as error:
            reasons.append(str(error))
            continue
        return made
    # What is wrong with the device says more than that a second package is missing, too.
    found = [reason for reason in reasons if "not installed" not in reason]
    raise CudaUnavailable((found or reasons)[0])
