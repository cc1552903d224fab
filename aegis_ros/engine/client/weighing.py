"""Has a child process load what an engine is to load, to see what it takes in memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine.client.requests import without_texts
from aegis_ros.errors import ModelError, load_error
from aegis_ros.memory import KvShape, Taken
from aegis_ros.rationale.loading import Crashed
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit
from aegis_ros.scheduling.generation import Shape

__all__ = ["weighed"]

_TIMEOUT_S = 300.0


def weighed(
    compiled: CompiledGenerator, shapes: Sequence[Shape], cache: KvShape, backend: str
) -> Taken:
    """Return what a language model takes of the process that loads it.

    Args:
        compiled: the model.
        shapes: of its buckets, each of which is run.
        cache: its slots, and how long each is.
        backend: name of the one that loads it.

    Raises:
        ModelError: it cannot be loaded, or takes too long or too much.
    """
    size = compiled.footprint(cache).total
    found = run_child(
        "aegis_ros.backends.memory_child",
        {
            "backend": backend,
            "compiled": msgspec.to_builtins(without_texts(compiled)),
            "shapes": msgspec.to_builtins(tuple(shapes)),
            "cache": msgspec.to_builtins(cache),
        },
        allowed=Containment(memory_bytes=memory_limit(size), reads=compiled.paths),
        timeout_s=_TIMEOUT_S,
        subject=compiled.key,
    )
    taken, peak = found.get("bytes"), found.get("peak")
    if not isinstance(taken, int) or not isinstance(peak, int) or not 0 < taken <= peak:
        raise load_error(Crashed("an answer that cannot be read", "", 0), ModelError, compiled.key)
    return Taken(taken, peak)
