"""Whether a network in parts computes what the whole one does, to the bit."""

from __future__ import annotations

import math

from aegis_ros.backends.base import Arrays, CompiledNetwork
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.probes import probes
from aegis_ros.backends.trial import Runs

__all__ = ["not_exact"]


def not_exact(whole: CompiledNetwork, one: Runs, parts: CompiledNetwork, other: Runs) -> str:
    """Return in which way the parts do not compute what the whole does, or nothing.

    Each output is taken where it is complete, as an early exit would find it.

    Args:
        whole: the network in one segment.
        one: it, loaded.
        parts: the network in several.
        other: it, loaded.
    """
    for inputs in probes(whole.inputs):
        wanted = _run(one, inputs, whole)
        found = _run(other, inputs, parts)
        for item in whole.outputs:
            if wanted[item.name] != found[item.name]:
                return f"its output {item.name!r} would differ from that of the whole network"
    return ""


def _run(
    loaded: Runs, inputs: Arrays, compiled: CompiledNetwork
) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Run a network as the engine will; return extents and bytes of each output, by name."""
    outputs = output_arrays(compiled)
    found: dict[str, tuple[tuple[int, ...], bytes]] = {}
    for segment in range(loaded.segments):
        shapes = loaded.run(segment, inputs, outputs) or [values.shape for values in outputs]
        complete = compiled.completed_by(segment)
        for item, values, shape in zip(compiled.outputs, outputs, shapes, strict=True):
            if item.name in complete and item.name not in found:
                data = values.reshape(-1)[: math.prod(shape)].tobytes()
                found[item.name] = (tuple(shape), data)
    return found
