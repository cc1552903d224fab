"""Finds backends by name: ours, and those other distributions offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from aegis_ros.backends.base import Backend, Capabilities
from aegis_ros.errors import AegisError, BackendError, ConfigError
from aegis_ros.plugins import Plugins
from aegis_ros.spec import LaneSpec

__all__ = [
    "backend_name",
    "backend_names",
    "capabilities_of",
    "create_backend",
    "generator_backends",
    "streaming_backends",
    "takers_of_code",
    "tuners",
    "warm",
]

_DEFAULT = "onnxruntime"
_KEY = "device.backend"
_NONE = Capabilities()
_NVIDIA = "an NVIDIA GPU is used by `backend: onnxruntime_cuda` or `backend: tensorrt`"
_INTEL = "an Intel GPU by `backend: openvino_gpu`"
_GPU = f"A backend is a runtime: {_NVIDIA}, {_INTEL} (`aegis doctor` says what can be used here)"
_CPU = (
    "A backend is a runtime: `backend: onnxruntime`, `backend: openvino` and `backend: tvm` "
    "compute on the processor"
)
_NPU = "A backend is a runtime: an Intel NPU is used by `backend: openvino_npu`"
_INSTEAD = {
    **dict.fromkeys(("gpu", "igpu", "dgpu"), _GPU),
    **dict.fromkeys(("cuda", "nvidia"), f"A backend is a runtime: {_NVIDIA}"),
    **dict.fromkeys(("cpu", "processor"), _CPU),
    "npu": _NPU,
}
_BACKENDS = Plugins(
    "backend",
    "aegis_ros.backends",
    _KEY,
    {
        "onnxruntime": "aegis_ros.backends.cpu.onnxruntime:OnnxRuntimeBackend",
        "onnxruntime_cuda": "aegis_ros.backends.cuda.ort.backend:OnnxRuntimeCudaBackend",
        "openvino": "aegis_ros.backends.openvino.backend:OpenVinoBackend",
        "openvino_gpu": "aegis_ros.backends.openvino.backend:OpenVinoGpuBackend",
        "openvino_npu": "aegis_ros.backends.openvino.backend:OpenVinoNpuBackend",
        "simulated": "aegis_ros.backends.testing.simulated:SimulatedBackend",
        "tensorrt": "aegis_ros.backends.cuda.trt.backend:TensorRtBackend",
        "tvm": "aegis_ros.backends.tvm.backend:TvmBackend",
    },
    _INSTEAD,
)


def backend_names() -> list[str]:
    """Return the names of all backends that can be created."""
    return list(_BACKENDS.names())


def backend_name(name: str = "") -> str:
    """Return a backend's name, that of the default for an empty one."""
    return name or _DEFAULT


def create_backend(
    name: str = "", lanes: Sequence[LaneSpec] = (), *, where: str = _KEY, tf32: bool = False
) -> Backend:
    """Return a new backend.

    Args:
        name: its name; empty for the default.
        lanes: those it will be opened with; it must be able to give them what they ask for.
        where: key of the configuration that names it.
        tf32: whether it may multiply float32 as TF32, if it can.

    Raises:
        ConfigError: there is none of that name, or it cannot have such lanes.
        BackendError: what it needs is not there; one sentence says how to get it.
    """
    factory = _factory(name, where)
    _require_divisible(name or _DEFAULT, lanes)
    able = tf32 and capabilities_of(name).tf32
    try:
        backend: Backend = factory(tf32=True) if able else factory()
    except AegisError:
        raise
    except Exception as error:  # of another distribution's module
        raise _unusable(name, where, error) from error
    return backend


def capabilities_of(name: str = "") -> Capabilities:
    """Return what a backend can do, without creating it.

    Args:
        name: its name; empty for the default.

    Raises:
        ConfigError: there is none of that name.
        BackendError: its module fails, or says something else.
    """
    found = getattr(_factory(name), "capabilities", _NONE)
    if not isinstance(found, Capabilities):
        error = TypeError(f"its capabilities are {found!r}, no Capabilities of backends.base")
        raise _unusable(name, _KEY, error)
    return found


def generator_backends() -> list[str]:
    """Return the names of those of our backends that run language models."""
    return [name for name in sorted(_BACKENDS.ours) if capabilities_of(name).generators]


def streaming_backends() -> tuple[str, ...]:
    """Return the names of those of our backends that stream weights."""
    return tuple(name for name in sorted(_BACKENDS.ours) if capabilities_of(name).streams_weights)


def takers_of_code(suffix: str) -> tuple[str, ...]:
    """Return the names of backends that take compiled code from files of such names.

    Args:
        suffix: of the name.
    """
    return _whose(lambda offered: suffix in offered.code)


def tuners() -> tuple[str, ...]:
    """Return the names of backends that can search for a faster way to compute a network."""
    return _whose(lambda offered: offered.tunes)


def warm(names: Iterable[str]) -> None:
    """Import what these backends need in an engine, and open nothing.

    What cannot be imported is left to :func:`create_backend`, which says why.
    """
    for name in names:
        with suppress(AegisError, ImportError):
            getattr(_factory(name), "warm", lambda: None)()


def _whose(offers: Callable[[Capabilities], bool]) -> tuple[str, ...]:
    """Return the names of backends that offer something."""
    found = []
    for name in backend_names():
        with suppress(AegisError):  # one that cannot be used offers nothing
            if offers(capabilities_of(name)):
                found.append(name)
    return tuple(found)


def _require_divisible(name: str, lanes: Sequence[LaneSpec]) -> None:
    if all(lane.sms is None for lane in lanes) or capabilities_of(name).partitions:
        return
    able = [each for each in sorted(_BACKENDS.ours) if capabilities_of(each).partitions]
    raise ConfigError(
        f"lanes have `sms`, but backend {name!r} cannot divide a GPU",
        where="device.lanes",
        expected="lanes without `sms`, or `backend: " + "` or `".join(able) + "`",
    )


def _factory(name: str, where: str = _KEY) -> Any:
    """Return what makes a backend: its class, or a function with its ``capabilities``."""
    try:
        return _BACKENDS.load(name or _DEFAULT, where)
    except AegisError:
        raise
    except Exception as error:  # of another distribution's module
        raise _unusable(name, where, error) from error


def _unusable(name: str, where: str, error: Exception) -> BackendError:
    return BackendError(
        f"backend {name!r} cannot be used ({type(error).__name__}: {error})",
        where=where,
        hint=f"Repair the distribution that offers it (entry point group {_BACKENDS.group}), or "
        "use another backend",
    )
