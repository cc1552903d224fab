"""The work of the child process in which a language model is loaded to see what it takes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import msgspec

from aegis_ros.backends.generators import CompiledGenerator, generating
from aegis_ros.backends.registry import create_backend, warm
from aegis_ros.backends.resident import MCL_CURRENT_AND_FUTURE, peak_bytes, resident_bytes
from aegis_ros.errors import AegisError, ModelError
from aegis_ros.memory import KvShape
from aegis_ros.scheduling.generation import Shape

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ``{"backend", "compiled", "shapes", "cache"}``.

    All memory is locked, as the engine's is if it may be, and every bucket has run in every slot:
    what is measured is what the engine will hold.

    Returns:
        ``bytes``: by how much this process has grown; ``peak``: by how much it had at most.

    Raises:
        ModelError: the backend refuses the model.
    """
    name = str(request["backend"])
    compiled = msgspec.convert(request["compiled"], CompiledGenerator)
    shapes = msgspec.convert(request["shapes"], tuple[Shape, ...])
    cache = msgspec.convert(request["cache"], KvShape)
    warm([name])
    backend = create_backend(name)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mlockall"):
        libc.mlockall(MCL_CURRENT_AND_FUTURE)
    before = resident_bytes()
    try:
        loaded = generating(backend, name).load_generator(compiled, 0, shapes, cache)
    except AegisError as error:
        raise ModelError(
            error.problem,
            where=error.where,
            value=error.value,
            expected=error.expected,
            hint=error.hint,
            rule=error.rule,
        ) from error
    taken, peak = resident_bytes() - before, peak_bytes() - before
    del loaded  # not before it was measured
    return {"bytes": max(0, taken), "peak": max(0, taken, peak)}
