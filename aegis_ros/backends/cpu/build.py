"""What is done with a network before ONNX Runtime loads it: optimised, measured, cut, and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.cpu.onnxruntime import cpu_name
from aegis_ros.backends.facts import BuildFacts, facts_of
from aegis_ros.errors import ModelError
from aegis_ros.memory import Footprint
from aegis_ros.network.preparing import PreparedNetwork
from aegis_ros.network.runtime import runtime_version
from aegis_ros.sandbox.artifacts import ArtifactCache
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit

__all__ = ["built", "cache_of", "cut_whole"]


def built(
    backend: str, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
) -> CompiledNetwork:
    """Optimise the graph once, measure it and cut it, in child processes; keep the result.

    Args:
        backend: name of the backend.
        prepared: the network.
        cache_dir: folder of all caches.
        segments: wanted.

    Raises:
        ModelError: ONNX Runtime cannot take the network, crashes on it or takes too long.
    """
    cache, name = cache_of(prepared, cache_dir)
    made = cache.find(name)
    facts = None if made is None else facts_of(made.facts)
    if made is None or facts is None or not made.paths:
        made = cache.make(name, lambda scratch: _optimise(prepared, scratch))
        facts = msgspec.convert(made.facts, BuildFacts)
    whole = CompiledNetwork(
        backend=backend,
        key=prepared.key,
        paths=(str(made.paths[0]),),
        inputs=prepared.inputs,
        outputs=prepared.outputs,
        footprint=Footprint(
            weights=max(facts.bytes - prepared.activation_bytes, prepared.weight_bytes),
            activations=prepared.activation_bytes,
        ),
        dynamic_outputs=facts.dynamic,
        digests=made.digests,
    )
    if segments == 1:
        return whole
    return cut_whole(whole, segments, cache, f"{name}-{segments}", subject=prepared.source.name)


def cache_of(prepared: PreparedNetwork, cache_dir: Path) -> tuple[ArtifactCache, str]:
    """Return where a network's builds are kept, and what their names begin with."""
    # The optimiser lays tensors out for this processor: another one optimises again.
    machine = "".join(part for part in cpu_name() if part.isalnum())[:40]
    name = f"{prepared.key}-{runtime_version()}-{machine}"
    return ArtifactCache(cache_dir / "onnxruntime"), name


def cut_whole(
    whole: CompiledNetwork,
    parts: int,
    cache: ArtifactCache,
    name: str,
    *,
    subject: str,
    load_ns_per_byte: float = 0.0,
) -> CompiledNetwork:
    """Return the network in ``parts`` files, or whole with the reason.

    Args:
        whole: the network.
        parts: wanted.
        cache: where builds are kept.
        name: of the build.
        subject: the network's file, for people.
        load_ns_per_byte: what loading a byte of weights counts in the cut, beside computing.
    """
    made = cache.find(name)
    facts = None if made is None else facts_of(made.facts)
    if made is None or facts is None:
        try:
            made = cache.make(
                name,
                lambda scratch: _make_parts(
                    whole, parts, scratch, subject=subject, load_ns_per_byte=load_ns_per_byte
                ),
            )
        except ModelError as error:
            return replace(whole, note=_stays_whole(parts, error.problem))
        facts = msgspec.convert(made.facts, BuildFacts)
    if facts.refused:
        return replace(whole, note=_stays_whole(parts, facts.refused))
    activations = whole.footprint.activations + facts.crossing_bytes
    return replace(
        whole,
        paths=tuple(str(path) for path in made.paths),
        footprint=Footprint(
            weights=max(whole.footprint.weights, facts.bytes - activations),
            activations=activations,
        ),
        shares=facts.shares,
        cuts=facts.cuts,
        complete_after=facts.complete_after,
        digests=made.digests,
    )


def _optimise(prepared: PreparedNetwork, scratch: Path) -> tuple[dict[str, Any], list[Path]]:
    """Have the graph optimised and measured in children; return the facts and the file."""
    made = scratch / "optimised.onnx"
    allowed = Containment(
        memory_bytes=memory_limit(prepared.weight_bytes + prepared.activation_bytes),
        reads=(str(prepared.path),),
        writes=(str(scratch),),
    )
    ask = partial(
        run_child,
        "aegis_ros.backends.cpu.optimise_child",
        allowed=allowed,
        timeout_s=120.0,
        subject=prepared.source.name,
    )
    ask(
        {"source": str(prepared.path), "digest": prepared.fused_digest, "target": str(made)},
    )
    inputs = {item.tensor.name: [item.dtype, list(item.max_shape)] for item in prepared.inputs}
    return ask({"target": str(made), "inputs": inputs}), [made]


def _make_parts(
    whole: CompiledNetwork, parts: int, scratch: Path, *, subject: str, load_ns_per_byte: float
) -> tuple[dict[str, Any], list[Path]]:
    """Cut the network and measure its parts; return the facts and the files."""
    allowed = Containment(
        memory_bytes=memory_limit(whole.footprint.total), reads=whole.paths, writes=(str(scratch),)
    )
    ask = partial(run_child, allowed=allowed, timeout_s=120.0, subject=subject)
    facts = ask(
        "aegis_ros.backends.cpu.cut_child",
        {
            "compiled": whole.to_json(),
            "parts": parts,
            "folder": str(scratch),
            "load_ns_per_byte": load_ns_per_byte,
        },
    )
    if "refused" in facts:
        return facts, []
    paths = tuple(facts.pop("paths"))
    measured = ask(
        "aegis_ros.backends.cpu.optimise_child",
        {"compiled": replace(whole, paths=paths, digests=()).to_json()},
    )
    return facts | measured, [Path(path) for path in paths]


def _stays_whole(parts: int, reason: str) -> str:
    return f"not cut into {parts} segments: {reason}"
