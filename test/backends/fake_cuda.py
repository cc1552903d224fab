"""A CUDA driver that runs nothing before somebody waits for it, and checks who uses what."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from aegis_ros.backends.cuda import OUT_OF_MEMORY, CudaError, Partition

Range = tuple[int, int]
_ALIGNMENT = 256


@dataclass
class Work:
    """Something on a stream.

    Attributes:
        name: what it is.
        run: does it.
        device, host: memory it uses, as (address, bytes).
        writes: device memory it changes, which nothing on another stream may use unless one of the
            two waits for the other.
        exclusive: device memory nothing on another stream may use meanwhile.
        check: raises where it may not be run any more (a graph of a changed context).
        kind: what it is in a graph.
    """

    name: str
    run: Callable[[], None]
    device: Sequence[Range] = ()
    host: Sequence[Range] = ()
    writes: Sequence[Range] = ()
    exclusive: Sequence[Range] = ()
    check: Callable[[], None] = lambda: None
    kind: str = "kernel"


@dataclass
class _Stream:
    urgency: int
    partition: int = 0
    waits_for: dict[int, int] = field(default_factory=dict)  # stream -> its work up to there
    pending: list[Work] = field(default_factory=list)
    done: int = 0
    capture: list[Work] | None = None


class FakeDriver:
    """The protocol of the driver over memory of this process.

    Work waits on its stream until an event behind it, or the stream, is waited for. Using memory
    that is gone, freeing what is in use, a call from a thread without a context, two streams in
    one exclusive piece of memory, and changing what another stream uses are assertion errors.

    Attributes:
        calls: name of every call, in order, with its thread's name.
        fail: what is to fail: name of the call -> list of results, ``0`` for one that works.
        fail_at: (how many calls work before, result) of the one call that fails.
        sms: multiprocessors of the GPU, which come in pairs.
    """

    name = "fake"

    def __init__(
        self, *, capacity: int = 1 << 30, priorities: bool = True, graphs: bool = True
    ) -> None:
        self.priorities = priorities
        self.graphs = graphs
        self.calls: list[tuple[str, str]] = []
        self.fail: dict[str, list[int]] = {}
        self.fail_at: tuple[int, int] | None = None
        self.failed = ""
        self.lost = 0
        self.streams: dict[int, _Stream] = {}
        self.spinning: set[int] = set()  # events
        self.launched = 0
        self.sms = 16
        self._capacity = capacity
        self._handles = itertools.count(1)
        self._attached: set[int] = set()
        self._device: dict[int, tuple[int, object]] = {}
        self._pinned: dict[int, tuple[int, object]] = {}
        self._registered: dict[int, int] = {}
        self._partitions: dict[int, int] = {}
        self._events: dict[int, tuple[int, int] | None] = {}
        self._graphs: dict[int, list[Work]] = {}
        self._lock = threading.RLock()

    # -- for tests ----------------------------------------------------------------------------

    @property
    def held(self) -> dict[str, int]:
        """How many of each kind of thing are held."""
        return {
            "device": len(self._device),
            "pinned": len(self._pinned),
            "registered": len(self._registered),
            "partitions": len(self._partitions),
            "streams": len(self.streams),
            "events": len(self._events),
            "graphs": len(self._graphs),
        }

    def names(self) -> list[str]:
        """Names of all calls so far."""
        return [name for name, _ in self.calls]

    def put(self, stream: int, work: Work) -> None:
        """Put work on a stream; for the fake TensorRT."""
        with self._lock:
            self._require_live(work)
            into = self.streams[stream]
            if into.capture is not None:
                into.capture.append(work)
                return
            for other, item in self.streams.items():
                if other == stream:
                    continue
                for position, waiting in enumerate(item.pending, item.done):
                    assert not _overlap(work.exclusive, waiting.exclusive), (
                        f"{work.name} and {waiting.name} share memory on two streams"
                    )
                    if position < into.waits_for.get(other, 0):
                        continue
                    assert not _overlap(work.writes, waiting.device), (
                        f"{work.name} changes what {waiting.name} uses on another stream"
                    )
                    assert not _overlap(work.device, waiting.writes), (
                        f"{work.name} uses what {waiting.name} changes on another stream"
                    )
            into.pending.append(work)

    def drain(self, stream: int) -> None:
        """Run all that waits on a stream, as a call that synchronises does."""
        with self._lock:
            self._run_until(stream, self.streams[stream].done + len(self.streams[stream].pending))

    def capturing(self, stream: int) -> bool:
        """Whether a stream is being captured."""
        return self.streams[stream].capture is not None

    # -- the protocol -------------------------------------------------------------------------

    def device_name(self) -> str:
        return "Fake GPU"

    def address(self) -> str:
        return "0000:0A:00.0"

    def attach(self) -> None:
        self._called("attach", attached=False)
        self._attached.add(threading.get_ident())

    def close(self) -> None:
        self._called("close")
        self._attached.clear()

    def memory(self) -> tuple[int, int]:
        self._called("memory")
        used = sum(size for size, _ in self._device.values())
        return self._capacity - used, self._capacity

    def multiprocessors(self) -> int:
        return self.sms

    def split(self, counts: Sequence[int]) -> list[Partition]:
        with self._lock:
            self._called("split")
            left = self.sms
            made = []
            for count in (*counts, None):
                sms = left if count is None else -(-count // 2) * 2
                if sms > left:
                    raise CudaError("split", 914, "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION")
                left -= sms
                made.append(Partition(next(self._handles) if sms else 0, sms))
            self._partitions.update({each.handle: each.sms for each in made if each.sms})
            return made

    def unite(self, partition: int) -> None:
        with self._lock:
            self._called("unite")
            if partition:
                used = {stream.partition for stream in self.streams.values()}
                assert partition not in used, "a partition with streams was given back"
                del self._partitions[partition]

    def create_stream(self, urgency: int, partition: int = 0) -> int:
        with self._lock:
            self._called("create_stream")
            assert not partition or partition in self._partitions, "there is no such partition"
            handle = next(self._handles)
            self.streams[handle] = _Stream(urgency, partition)
            return handle

    def destroy_stream(self, stream: int) -> None:
        with self._lock:
            gone = self.streams.pop(stream)
            assert not gone.pending, f"stream destroyed while {gone.pending[0].name} waits on it"
            self._called("destroy_stream")

    def synchronize_stream(self, stream: int) -> None:
        with self._lock:
            assert self.streams[stream].capture is None, "a stream that is captured was waited for"
            self.drain(stream)
            self._called("synchronize_stream")

    def create_event(self, *, spins: bool = False) -> int:
        with self._lock:
            self._called("create_event")
            handle = next(self._handles)
            if spins:
                self.spinning.add(handle)
            self._events[handle] = None
            return handle

    def destroy_event(self, event: int) -> None:
        with self._lock:
            del self._events[event]
            self._called("destroy_event")

    def record(self, event: int, stream: int) -> None:
        with self._lock:
            self._called("record")
            at = self.streams[stream]
            self._events[event] = (stream, at.done + len(at.pending))

    def synchronize(self, event: int) -> None:
        with self._lock:
            recorded = self._events[event]
            assert recorded is not None, "waited for an event that was never recorded"
            self._called("spin" if event in self.spinning else "synchronize")
            self._run_until(*recorded)

    def wait(self, stream: int, event: int) -> None:
        with self._lock:
            recorded = self._events[event]
            self._called("wait")
            if recorded is None:
                return
            other, position = recorded
            self.put(stream, Work("wait", partial(self._run_until, other, position)))
            known = self.streams[stream].waits_for
            known[other] = max(known.get(other, 0), position)

    def pin(self, address: int, nbytes: int) -> None:
        with self._lock:
            self._called("pin")
            assert address not in self._registered, "pinned twice"
            self._registered[address] = nbytes

    def unpin(self, address: int) -> None:
        with self._lock:
            nbytes = self._registered[address]
            for stream in self.streams.values():
                for work in stream.pending:
                    assert not _overlap([(address, nbytes)], work.host), (
                        f"memory unpinned while {work.name} waits to use it"
                    )
            self._called("unpin")
            del self._registered[address]

    def allocate(self, nbytes: int) -> int:
        with self._lock:
            self._called("allocate")
            if sum(size for size, _ in self._device.values()) + nbytes > self._capacity:
                raise CudaError("allocate", OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY")
            return _taken(self._device, nbytes)

    def free(self, address: int) -> None:
        with self._lock:
            size, _ = self._device[address]
            for stream in self.streams.values():
                for work in stream.pending:
                    assert not _overlap([(address, size)], work.device), (
                        f"memory freed while {work.name} waits to use it"
                    )
            del self._device[address]
            self._called("free")

    def allocate_pinned(self, nbytes: int) -> int:
        with self._lock:
            self._called("allocate_pinned")
            return _taken(self._pinned, nbytes)

    def free_pinned(self, address: int) -> None:
        with self._lock:
            del self._pinned[address]
            self._called("free_pinned")

    def copy_in(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self._copy("copy_in", device, host, nbytes, stream)

    def copy_out(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self._copy("copy_out", device, host, nbytes, stream)

    def begin_capture(self, stream: int) -> None:
        with self._lock:
            self._called("begin_capture")
            self.streams[stream].capture = []

    def end_capture(self, stream: int) -> int:
        with self._lock:
            captured, self.streams[stream].capture = self.streams[stream].capture, None
            assert captured is not None
            self._called("end_capture")
            handle = next(self._handles)
            self._graphs[handle] = captured
            return handle

    def graph_kinds(self, graph: int) -> dict[str, int]:
        with self._lock:
            self._called("graph_kinds")
            return dict(Counter(work.kind for work in self._graphs[graph]))

    def launch(self, graph: int, stream: int) -> None:
        with self._lock:
            self._called("launch")
            self.launched += 1
            for work in self._graphs[graph]:
                work.check()
                self.put(stream, work)

    def destroy_graph(self, graph: int) -> None:
        with self._lock:
            del self._graphs[graph]
            self._called("destroy_graph")

    # -- inside -------------------------------------------------------------------------------

    def _called(self, name: str, attached: bool = True) -> None:
        self.calls.append((name, threading.current_thread().name))
        if attached:
            assert threading.get_ident() in self._attached, f"{name} without a context"
        if self.lost:
            raise CudaError(name, self.lost, "CUDA_ERROR_LAUNCH_FAILED")
        code = 0
        if self.fail.get(name):
            code = self.fail[name].pop(0)
        if self.fail_at is not None:
            before, code = self.fail_at
            self.fail_at = (before - 1, code) if before else None
            code = 0 if before else code
        if code:
            self.failed = name
            if CudaError(name, code, "").sticky:
                self.lost = code
            raise CudaError(name, code, f"CUDA_ERROR_{code}")

    def _copy(self, name: str, device: int, host: int, nbytes: int, stream: int) -> None:
        with self._lock:
            self._called(name)
            source, target = (host, device) if name == "copy_in" else (device, host)
            self.put(
                stream,
                Work(
                    name,
                    partial(_move, target, source, nbytes),
                    device=[(device, nbytes)],
                    host=[(host, nbytes)],
                    writes=[(device, nbytes)] if name == "copy_in" else [],
                    kind="memcpy",
                ),
            )

    def _run_until(self, stream: int, position: int) -> None:
        on = self.streams[stream]
        while on.done < position:
            work = on.pending[0]
            self._require_live(work)
            work.run()
            on.pending.pop(0)
            on.done += 1

    def _require_live(self, work: Work) -> None:
        device = {address: size for address, (size, _) in self._device.items()}
        host = {address: size for address, (size, _) in self._pinned.items()} | self._registered
        for memory, ranges in ((device, work.device), (host, work.host)):
            for address, nbytes in ranges:
                assert any(
                    start <= address and address + nbytes <= start + size
                    for start, size in memory.items()
                ), f"{work.name} uses memory that is not there"


def _move(target: int, source: int, nbytes: int) -> None:
    ctypes.memmove(target, source, nbytes)


def _taken(memory: dict[int, tuple[int, object]], nbytes: int) -> int:
    assert nbytes > 0, "nothing was allocated"
    kept = (ctypes.c_uint8 * (nbytes + _ALIGNMENT))()
    address = -(-ctypes.addressof(kept) // _ALIGNMENT) * _ALIGNMENT
    memory[address] = (nbytes, kept)
    return address


def _overlap(one: Sequence[Range], other: Sequence[Range]) -> bool:
    return any(a < d + m and d < a + n for a, n in one for d, m in other)
