"""The two ways to the driver, over stand-ins for the Python packages that offer it."""

from __future__ import annotations

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.backends.cuda import (
    Arena,
    CudaError,
    CudaUnavailable,
    driver,
    open_driver,
)
from aegis_ros.backends.cuda.backend import CudaBackend
from aegis_ros.backends.cuda.bindings import BindingsDriver
from aegis_ros.backends.cuda.pycuda import PyCudaDriver
from test.backends.fake_cuda import FakeDriver


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION = 915


class Resource:
    """Some multiprocessors, which come in pairs; of no kind where there are none."""

    def __init__(self, count: int) -> None:
        self.type = 1 if count else 0
        self.sm = SimpleNamespace(smCount=count, minSmPartitionSize=2)


class Bindings:
    """What is called of ``cuda.bindings.driver``: every call is kept, and can fail."""

    class CUctx_flags(enum.IntEnum):
        CU_CTX_SCHED_BLOCKING_SYNC = 4

    class CUstream_flags(enum.IntEnum):
        CU_STREAM_NON_BLOCKING = 1

    class CUevent_flags(enum.IntEnum):
        CU_EVENT_BLOCKING_SYNC = 1
        CU_EVENT_DISABLE_TIMING = 2

    class CUstreamCaptureMode(enum.IntEnum):
        CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1

    class CUdevResourceType(enum.IntEnum):
        CU_DEV_RESOURCE_TYPE_SM = 1

    class CUgreenCtxCreate_flags(enum.IntEnum):
        CU_GREEN_CTX_DEFAULT_STREAM = 1

    CU_MEMHOSTALLOC_PORTABLE = 1
    CU_MEMHOSTREGISTER_PORTABLE = 1

    def __init__(self, **answers: int) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []
        self.values: dict[str, tuple[Any, ...]] = {
            "cuDeviceGetCount": (1,),
            "cuDeviceGet": (0,),
            "cuDeviceGetName": (b"A GPU\0\0\0",),
            "cuDeviceGetPCIBusId": (b"0000:0A:00.0\0\0",),
            "cuDevicePrimaryCtxRetain": (77,),
            "cuCtxGetStreamPriorityRange": (0, -5),
            "cuStreamCreateWithPriority": (3,),
            "cuEventCreate": (5,),
            "cuMemAlloc": (4096,),
            "cuMemGetInfo": (10, 20),
            "cuStreamEndCapture": (8,),
            "cuGraphInstantiate": (9,),
            "cuDeviceGetDevResource": (Resource(16),),
            "cuGreenCtxStreamCreate": (4,),
        }
        self.green = 90
        self.sizes: dict[int, int] = {}  # of green contexts
        self.odd_rest = False  # whether what no group takes cannot be joined to one

    def cuDevSmResourceSplitByCount(
        self, groups: int, resource: Resource, flags: int, least: int
    ) -> tuple[Any, ...]:
        self.calls.append(("cuDevSmResourceSplitByCount", groups, resource.sm.smCount, least))
        if resource is not self.values["cuDeviceGetDevResource"][0]:  # as on hardware
            return (Result.CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,)
        least += least % 2
        made = min(groups, resource.sm.smCount // least)
        rest = Resource(resource.sm.smCount - made * least)
        # The package hands back as many as were asked for; those beyond are empty.
        given = [Resource(least if at < made else 0) for at in range(groups)]
        return (Result.CUDA_SUCCESS, given, made, rest)

    def cuDevResourceGenerateDesc(self, resources: list[Resource], count: int) -> tuple[Any, ...]:
        assert len(resources) == count > 0
        if self.odd_rest and any(each.sm.smCount % 2 for each in resources) and count > 1:
            return (Result.CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,)
        return (Result.CUDA_SUCCESS, sum(each.sm.smCount for each in resources))

    def cuGreenCtxCreate(self, described: int, device: int, flags: int) -> tuple[Any, ...]:
        self.green += 1
        self.calls.append(("cuGreenCtxCreate", described, device, flags))
        self.sizes[self.green] = described
        return (Result(self.answers.get("cuGreenCtxCreate", 0)), self.green)

    def cuGreenCtxGetDevResource(self, green: int, kind: int) -> tuple[Any, ...]:
        return (
            Result(self.answers.get("cuGreenCtxGetDevResource", 0)),
            Resource(self.sizes[green]),
        )

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            return (Result(self.answers.get(name, 0)), *self.values.get(name, ()))

        return call


def test_one_context_is_retained_for_all_threads_and_waits_without_spinning():
    cuda = Bindings()
    made = BindingsDriver(cuda)
    assert (made.device_name(), made.address()) == ("A GPU", "0000:0A:00.0")
    assert not any(call[0].startswith("cuCtx") for call in cuda.calls)
    made.attach()
    made.attach()
    assert cuda.calls[-3:] == [
        ("cuDevicePrimaryCtxSetFlags", 0, 4),
        ("cuDevicePrimaryCtxRetain", 0),
        ("cuCtxSetCurrent", 77),
    ]
    made.create_event()
    assert cuda.calls[-1] == ("cuEventCreate", 3)
    made.create_event(spins=True)
    assert cuda.calls[-1] == ("cuEventCreate", 2)
    made.close()
    made.close()
    assert [call[0] for call in cuda.calls].count("cuDevicePrimaryCtxRelease") == 1


def test_a_context_that_something_else_has_already_is_shared():
    cuda = Bindings(cuDevicePrimaryCtxSetFlags=1)
    BindingsDriver(cuda).attach()
    assert cuda.calls[-1] == ("cuCtxSetCurrent", 77)


@pytest.mark.parametrize(("urgency", "priority"), [(0, 0), (1, -1), (5, -5), (64, -5)])
def test_a_more_urgent_stream_has_a_lower_number_within_the_devices_range(urgency, priority):
    cuda = Bindings()
    assert BindingsDriver(cuda).create_stream(urgency) == 3
    assert cuda.calls[-1] == ("cuStreamCreateWithPriority", 1, priority)


def test_a_call_that_fails_reports_its_name_and_whether_the_context_is_lost():
    made = BindingsDriver(Bindings(cuMemAlloc=2, cuGraphLaunch=700, cuMemFree=1))
    with pytest.raises(CudaError, match="cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY") as raised:
        made.allocate(10)
    assert raised.value.out_of_memory and not raised.value.sticky
    with pytest.raises(CudaError) as raised:
        made.launch(9, 3)
    assert raised.value.sticky
    with pytest.raises(CudaError) as raised:
        made.free(4096)
    assert not raised.value.sticky and not raised.value.out_of_memory


@pytest.mark.parametrize("call", ["cuGraphInstantiate", "cuGraphUpload"])
def test_a_graph_that_cannot_be_made_executable_is_not_left_behind(call):
    cuda = Bindings(**{call: 1})
    made = BindingsDriver(cuda)
    made.begin_capture(3)
    with pytest.raises(CudaError, match=call):
        made.end_capture(3)
    assert ("cuGraphDestroy", 8) in cuda.calls
    assert (("cuGraphExecDestroy", 9) in cuda.calls) == (call == "cuGraphUpload")


def test_memory_of_somebody_else_is_locked_for_every_context_and_streams_wait_for_events():
    cuda = Bindings()
    made = BindingsDriver(cuda)
    made.pin(8192, 100)
    made.wait(3, 5)
    made.unpin(8192)
    assert cuda.calls[-3:] == [
        ("cuMemHostRegister", 8192, 100, 1),
        ("cuStreamWaitEvent", 3, 5, 0),
        ("cuMemHostUnregister", 8192),
    ]


def test_a_gpu_is_divided_into_green_contexts_and_streams_are_made_on_them():
    cuda = Bindings()
    made = BindingsDriver(cuda)
    parts = made.split([4, 6])
    assert [each.sms for each in parts] == [4, 6, 6]
    assert len({each.handle for each in parts}) == 3
    assert made.create_stream(2, parts[1].handle) == 4
    assert cuda.calls[-1] == ("cuGreenCtxStreamCreate", parts[1].handle, 1, -2)
    for each in parts:
        made.unite(each.handle)
    assert [call for call in cuda.calls if call[0] == "cuGreenCtxDestroy"] == [
        ("cuGreenCtxDestroy", each.handle) for each in parts
    ]
    assert [each.sms for each in made.split([16])] == [16, 0]
    made.unite(0)


@pytest.mark.parametrize(
    ("sms", "counts", "parts"),
    [
        (16, [4], [4, 12]),
        (16, [3, 5, 2], [4, 6, 2, 4]),
        (17, [8, 8], [8, 8, 1]),
        (17, [4, 4], [4, 4, 9]),
    ],
)
def test_one_split_serves_all_counts_and_each_part_says_what_it_really_has(sms, counts, parts):
    cuda = Bindings()
    cuda.values["cuDeviceGetDevResource"] = (Resource(sms),)
    assert [each.sms for each in BindingsDriver(cuda).split(counts)] == parts
    assert [call[0] for call in cuda.calls].count("cuDevSmResourceSplitByCount") == 1


def test_what_cannot_be_joined_to_the_rest_is_left_idle():
    cuda = Bindings()
    cuda.values["cuDeviceGetDevResource"] = (Resource(17),)
    cuda.odd_rest = True
    assert [each.sms for each in BindingsDriver(cuda).split([4])] == [4, 12]
    assert [each.sms for each in BindingsDriver(cuda).split([16])] == [16, 1]


def test_a_part_of_unknown_size_is_given_back():
    cuda = Bindings(cuGreenCtxGetDevResource=1)
    with pytest.raises(CudaError, match="cuGreenCtxGetDevResource"):
        BindingsDriver(cuda).split([4])
    names = [call[0] for call in cuda.calls]
    assert names.count("cuGreenCtxCreate") == names.count("cuGreenCtxDestroy") == 1


def test_operations_of_a_graph_are_counted_by_kind():
    class Kind(enum.IntEnum):
        CU_GRAPH_NODE_TYPE_KERNEL = 0
        CU_GRAPH_NODE_TYPE_HOST = 3

    cuda = Bindings()
    kinds = iter([Kind.CU_GRAPH_NODE_TYPE_KERNEL, Kind.CU_GRAPH_NODE_TYPE_HOST] * 2)
    cuda.values["cuGraphGetNodes"] = ([31, 32, 33], 3)
    cuda.cuGraphNodeGetType = lambda node: (Result.CUDA_SUCCESS, next(kinds))  # type: ignore[attr-defined]
    made = BindingsDriver(cuda)
    assert made.graph_kinds(made.end_capture(3)) == {"kernel": 2, "host": 1}
    cuda.values["cuGraphGetNodes"] = ([], 0)
    assert made.graph_kinds(made.end_capture(3)) == {}


@pytest.mark.parametrize("counts", [[20], [10, 10]])
def test_a_gpu_with_too_few_multiprocessors_is_left_whole(counts):
    cuda = Bindings()
    with pytest.raises(CudaError, match="cuDevSmResourceSplitByCount"):
        BindingsDriver(cuda).split(counts)
    names = [call[0] for call in cuda.calls]
    assert names.count("cuGreenCtxCreate") == names.count("cuGreenCtxDestroy")


@pytest.mark.parametrize(
    "error", [RuntimeError("Function not found"), AttributeError("no cuGreen")]
)
def test_a_driver_or_a_package_without_green_contexts_is_reported_as_any_error(error):
    cuda = Bindings()

    def missing(*arguments: Any) -> Any:
        raise error

    cuda.cuDeviceGetDevResource = missing  # type: ignore[attr-defined]
    with pytest.raises(CudaError, match=str(error)) as raised:
        BindingsDriver(cuda).split([4])
    assert not raised.value.sticky
    assert BindingsDriver(cuda).multiprocessors() == 0  # none that could be divided


def test_a_backend_says_how_many_multiprocessors_its_lanes_can_have():
    cuda = Bindings()
    cuda.values["cuDeviceGetDevResource"] = (Resource(66),)
    assert CudaBackend(BindingsDriver(cuda)).multiprocessors() == 66


@pytest.mark.parametrize(
    ("answers", "said"), [({"cuInit": 100}, "CUDA_ERROR_NO_DEVICE"), ({"cuDeviceGetCount": 0}, "")]
)
def test_a_machine_without_a_gpu_is_reported_at_once(answers, said):
    cuda = Bindings(**answers)
    cuda.values["cuDeviceGetCount"] = (0,)
    with pytest.raises(CudaUnavailable, match=said or "finds no GPU"):
        BindingsDriver(cuda)


class PyCuda:
    """As much of ``pycuda.driver`` as is called."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    class event_flags:
        BLOCKING_SYNC = 1
        DISABLE_TIMING = 2

    def __init__(self) -> None:
        owner = self
        self.calls: list[str] = []
        self.flags: list[int] = []  # of events
        self.refuse = ""

        class Context:
            @staticmethod
            def pop() -> None:
                owner.calls.append("pop")

            def push(self) -> None:
                owner.calls.append("push")

        class Device:
            def __init__(self, index: int) -> None:
                pass

            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "A GPU"

            def pci_bus_id(self) -> str:
                return "0000:0A:00.0"

            def retain_primary_context(self) -> Any:
                owner.calls.append("retain")
                return Context()

        class Stream:
            handle = 33

            def __init__(self, flags: int) -> None:
                assert flags == 1

            def synchronize(self) -> None:
                owner.answer("synchronize")

            def wait_for_event(self, event: Any) -> None:
                owner.answer("wait for event")

        class Event:
            def __init__(self, flags: int) -> None:
                owner.flags.append(flags)

            def record(self, stream: Stream) -> None:
                owner.calls.append("record")

            def synchronize(self) -> None:
                owner.answer("wait")

        class Memory(int):
            def free(self) -> None:
                owner.calls.append("free")

        self.Context, self.Device, self.Stream, self.Event = Context, Device, Stream, Event
        self.Memory = Memory

    def init(self) -> None:
        self.calls.append("init")

    def answer(self, name: str) -> None:
        self.calls.append(name)
        if self.refuse:
            raise self.Error(self.refuse)

    def mem_alloc(self, nbytes: int) -> Any:
        if self.refuse:
            raise self.MemoryError(self.refuse)
        return self.Memory(4096)

    def mem_get_info(self) -> tuple[int, int]:
        return 10, 20

    def register_host_memory(self, array: Any) -> Any:
        self.calls.append(f"register {array.size}")
        base = SimpleNamespace(unregister=lambda: self.calls.append("unregister"))
        return SimpleNamespace(base=base)

    def memcpy_htod_async(self, device: int, host: Any, stream: Any) -> None:
        self.calls.append(f"in {device} {bytes(host)!r} {stream.handle}")

    def memcpy_dtoh_async(self, host: Any, device: int, stream: Any) -> None:
        self.calls.append(f"out {device} {len(host)} {stream.handle}")


def test_pycuda_uses_the_primary_context_and_its_own_objects_under_their_handles():
    cuda = PyCuda()
    made = PyCudaDriver(cuda)
    assert (made.device_name(), made.priorities, made.graphs) == ("A GPU", False, False)
    assert made.address() == "0000:0A:00.0"
    made.attach()
    made.attach()
    assert cuda.calls == ["init", "retain", "push"]
    stream, event, memory = made.create_stream(4), made.create_event(), made.allocate(64)
    assert (stream, memory, made.memory()) == (33, 4096, (10, 20))
    host = (ctypes.c_uint8 * 3)(1, 2, 3)
    made.copy_in(memory, ctypes.addressof(host), 3, stream)
    made.copy_out(ctypes.addressof(host), memory, 3, stream)
    made.record(event, stream)
    made.synchronize(event)
    made.synchronize_stream(stream)
    made.wait(stream, event)
    made.pin(ctypes.addressof(host), 3)
    made.unpin(ctypes.addressof(host))
    made.free(memory)
    made.destroy_event(event)
    made.destroy_event(made.create_event(spins=True))
    assert cuda.flags == [3, 2]  # without a time; a wait for the first one sleeps
    made.destroy_stream(stream)
    assert cuda.calls[3:] == [
        "in 4096 b'\\x01\\x02\\x03' 33",
        "out 4096 3 33",
        "record",
        "wait",
        "synchronize",
        "wait for event",
        "register 3",
        "unregister",
        "free",
    ]
    with pytest.raises(CudaError, match="no green contexts"):
        made.split([4])
    with pytest.raises(CudaError, match="no graphs"):
        made.begin_capture(stream)


@pytest.mark.parametrize(
    ("said", "sticky"),
    [
        ("cuEventSynchronize failed: an illegal memory access was encountered", True),
        ("cuEventSynchronize failed: unspecified launch failure", True),
        ("cuEventSynchronize failed: something nobody has heard of", True),
        ("cuEventSynchronize failed: invalid argument", False),
    ],
)
def test_pycudas_sentences_say_whether_the_context_is_lost(said, sticky):
    cuda = PyCuda()
    made = PyCudaDriver(cuda)
    event = made.create_event()
    cuda.refuse = said
    with pytest.raises(CudaError) as raised:
        made.synchronize(event)
    assert raised.value.sticky is sticky
    with pytest.raises(CudaError) as raised:
        made.allocate(1)
    assert raised.value.out_of_memory


def test_the_first_package_that_reaches_the_gpu_is_taken_and_a_broken_gpu_is_reported(monkeypatch):
    class Missing:
        def __init__(self) -> None:
            raise CudaUnavailable("the Python package X is not installed")

    class Broken:
        def __init__(self) -> None:
            raise CudaUnavailable("the NVIDIA driver finds no GPU")

    def offered(*classes: Any) -> None:
        found = {str(index): one for index, one in enumerate(classes)}
        monkeypatch.setattr(driver, "_IMPLEMENTATIONS", tuple((name, name) for name in found))
        monkeypatch.setattr(
            driver, "import_module", lambda name: type("M", (), {name: found[name]})
        )

    offered(Missing, FakeDriver)
    assert open_driver().name == "fake"
    offered(Missing, Broken)
    with pytest.raises(CudaUnavailable, match="finds no GPU"):
        open_driver()
    offered(Missing, Missing)
    with pytest.raises(CudaUnavailable, match="not installed"):
        open_driver()


# -- the arena --------------------------------------------------------------------------------


def test_a_block_serves_all_that_fit_and_goes_with_its_last_user():
    fake = FakeDriver()
    fake.attach()
    arena = Arena(fake)
    one, other = arena.take(1000), arena.take(10)
    assert one is other
    assert (one.nbytes, one.users, one.address % 256) == (1024, 2, 0)
    larger = arena.take(5000)
    assert larger is not one
    assert arena.take(900) is one
    for block in (one, one, one, larger):
        arena.give_back(block)
    assert (arena.nbytes, fake.held["device"]) == (0, 0)


def test_a_block_whose_size_is_chosen_is_that_one_whatever_is_there():
    fake = FakeDriver()
    fake.attach()
    arena = Arena(fake)
    large = arena.take(5000)
    one = arena.take(900, 1000)
    assert (one.nbytes, arena.nbytes) == (1024, 1024 + large.nbytes)
    assert arena.take(10, 1000) is one
    assert arena.take(2000, 1000).nbytes == 2048, "what is needed counts"


def test_an_arena_that_cannot_grow_is_as_it_was():
    fake = FakeDriver(capacity=2048)
    fake.attach()
    arena = Arena(fake)
    block = arena.take(1024)
    with pytest.raises(CudaError):
        arena.take(4096)
    assert (arena.nbytes, block.users) == (1024, 1)


@pytest.mark.parametrize(
    ("visible", "identity"),
    [
        ("", "gpu-0000:0a:00.0"),
        ("1,0", "gpu-0000:0a:00.0"),
        ("GPU-5f3a", "gpu-0000:0a:00.0"),
        ("MIG-5f3a", "gpu-0000:0a:00.0-MIG-5f3a"),
    ],
)
def test_a_gpu_is_the_same_one_for_all_processes_however_they_name_it(
    monkeypatch: pytest.MonkeyPatch, visible: str, identity: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert CudaBackend(FakeDriver()).device_id() == identity


def test_a_gpu_without_a_place_on_a_bus_is_named_as_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeDriver()
    monkeypatch.setattr(fake, "address", lambda: "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert CudaBackend(fake).device_id() == "gpu-1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert CudaBackend(fake).device_id() == "gpu-0"
