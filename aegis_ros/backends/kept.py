"""What was built for a device, kept in the cache with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.facts import BuildFacts, facts_of
from aegis_ros.errors import ModelError
from aegis_ros.memory import Footprint
from aegis_ros.rationale import Rule

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork
    from aegis_ros.sandbox.artifacts import Artifact, ArtifactCache, Build
    from aegis_ros.sandbox.containment import Containment

__all__ = ["compiled", "files_of", "in_build", "only_letters", "without_files"]


Make = Callable[[Path, int], tuple[Mapping[str, Any], Iterable[Path]]]


def compiled(
    backend: str,
    prepared: PreparedNetwork,
    cache: ArtifactCache,
    *,
    made_for: str,
    segments: int,
    make: Make,
) -> CompiledNetwork:
    """Return a network from the cache or built anew; whole where it cannot be cut.

    Args:
        backend: its name.
        prepared: the network.
        cache: of the backend.
        made_for: runtime, device and precision; a build for another one is not used.
        segments: wanted.
        make: builds in an empty folder, in so many segments; returns facts and files to keep.

    Raises:
        ModelError: the backend cannot take the network, or computes something else.
    """
    facts, built = _built(
        cache,
        f"{prepared.key}-{only_letters(made_for)}-{segments}",
        lambda folder: make(folder, segments),
        segments=segments,
    )
    if built is not None:
        return _as_compiled(backend, prepared, facts=facts, built=built, segments=segments)
    if segments == 1:
        raise ModelError(
            facts.refused,
            where="model",
            value=prepared.source.name,
            rule=Rule.MODEL_VALID,
            hint="Export it with larger types where numbers grow, or use another backend",
        )
    whole = compiled(backend, prepared, cache, made_for=made_for, segments=1, make=make)
    return replace(whole, note=f"not cut into {segments} segments: {facts.refused}")


def in_build(prepared: PreparedNetwork, scratch: Path, *, devices: bool = True) -> Containment:
    """Return what a child may do that builds a network in a folder.

    Args:
        prepared: the network.
        scratch: the folder.
        devices: whether it opens a device with a driver of its own.
    """
    from aegis_ros.sandbox.containment import Containment, memory_limit

    size = prepared.weight_bytes + prepared.activation_bytes
    code = () if prepared.code is None else (str(prepared.code.path),)
    return Containment(
        memory_bytes=memory_limit(size, devices=devices),
        reads=(str(prepared.path), *code),
        writes=(str(scratch),),
        devices=devices,
    )


def only_letters(text: str) -> str:
    """Return a text as part of a file's name."""
    return "".join(part if part.isalnum() else "_" for part in text)[:80]


def files_of(facts: dict[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """Return the answer of a building child as facts to keep and files to keep."""
    paths = [Path(path) for path in facts.get("paths", ())]
    return {key: value for key, value in facts.items() if key != "paths"}, paths


def without_files(backend: str, prepared: PreparedNetwork) -> CompiledNetwork:
    """Return what is known of a network before it is built."""
    return CompiledNetwork(
        backend,
        prepared.key,
        (),
        prepared.inputs,
        prepared.outputs,
        Footprint(),
    )


def _built(
    cache: ArtifactCache, stem: str, build: Build, *, segments: int
) -> tuple[BuildFacts, Artifact | None]:
    """Return what was built, from the cache or anew; facts with a refusal come alone.

    Args:
        cache: of the backend.
        stem: name of the build.
        build: makes it, as for :meth:`ArtifactCache.make`.
        segments: wanted.

    Raises:
        ModelError: the whole network cannot be built; of a cut one, that is a refusal.
    """
    found = cache.find(stem)
    facts = None if found is None else facts_of(found.facts)
    if found is None or facts is None:
        try:
            found = cache.make(stem, build)
        except ModelError as error:
            if segments == 1:
                raise
            return BuildFacts(refused=error.problem), None
        facts = msgspec.convert(found.facts, BuildFacts)
    return facts, None if facts.refused else found


def _as_compiled(
    backend: str,
    prepared: PreparedNetwork,
    *,
    facts: BuildFacts,
    built: Artifact,
    segments: int,
) -> CompiledNetwork:
    """Return a network from the facts of its build."""
    return CompiledNetwork(
        backend=backend,
        key=prepared.key,
        paths=tuple(str(path) for path in built.paths),
        inputs=prepared.inputs,
        outputs=prepared.outputs,
        footprint=Footprint(
            weights=max(0, facts.bytes - facts.activation_bytes - facts.staging_bytes),
            activations=facts.activation_bytes,
            staging=facts.staging_bytes,
        ),
        dynamic_outputs=facts.dynamic,
        shares=facts.shares if segments > 1 else (),
        cuts=facts.cuts if segments > 1 else "",
        complete_after=facts.complete_after,
        digests=built.digests,
        advice=facts.advice,
    )
