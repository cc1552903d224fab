"""What was built for a GPU, kept in the cache with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    from aegis_ros.sandbox.artifacts import ArtifactCache, Build

__all__ = ["compiled", "files_of", "only_letters", "without_files"]


Make = Callable[[Path, int], tuple[Mapping[str, Any], Iterable[Path]]]


def compiled(
    backend: str,
    prepared: PreparedNetwork,
    cache: ArtifactCache,
    *,
    made_for: str,
    segments: int,
    make: Make,
    beside: Sequence[str] = (),
) -> CompiledNetwork:
    """Return a network from the cache or built anew; whole where it cannot be cut.

    Args:
        backend: its name.
        prepared: the network.
        cache: of the backend.
        made_for: runtime, device and precision; a build for another one is not used.
        segments: wanted.
        make: builds in an empty folder, in so many segments; returns facts and files to keep.
        beside: suffixes of files that lie beside each built one.

    Raises:
        ModelError: the backend cannot take the network, or computes something else.
    """
    facts, paths = _built(
        cache,
        f"{prepared.key}-{only_letters(made_for)}-{segments}",
        lambda folder: make(folder, segments),
        segments=segments,
        beside=beside,
    )
    if not facts.refused:
        return _as_compiled(backend, prepared, facts=facts, paths=paths, segments=segments)
    if segments == 1:
        raise ModelError(
            facts.refused,
            where="model",
            value=prepared.source.name,
            rule=Rule.MODEL_VALID,
            hint="Export it with larger types where numbers grow, or use another backend",
        )
    whole = compiled(
        backend, prepared, cache, made_for=made_for, segments=1, make=make, beside=beside
    )
    return replace(whole, note=f"not cut into {segments} segments: {facts.refused}")


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
    cache: ArtifactCache, stem: str, build: Build, *, segments: int, beside: Sequence[str] = ()
) -> tuple[BuildFacts, tuple[Path, ...]]:
    """Return what was built, from the cache or anew; facts with a refusal come without files.

    Args:
        cache: of the backend.
        stem: name of the build.
        build: makes it, as for :meth:`ArtifactCache.make`.
        segments: wanted.
        beside: suffixes of files that lie beside each built one.

    Raises:
        ModelError: the whole network cannot be built; of a cut one, that is a refusal.
    """
    found = cache.find(stem)
    facts = None if found is None else facts_of(found.facts)
    if found is not None and facts is not None:
        # What another version built, without what is asked for today, is built again.
        whole = found.paths and None not in (facts.complete_after, facts.activation_bytes)
        if facts.refused or whole:
            return facts, found.paths
    try:
        made = cache.make(stem, build, beside=beside)
    except ModelError as error:
        if segments == 1:
            raise
        return BuildFacts(refused=error.problem), ()
    return msgspec.convert(made.facts, BuildFacts), made.paths


def _as_compiled(
    backend: str,
    prepared: PreparedNetwork,
    *,
    facts: BuildFacts,
    paths: Sequence[Path],
    segments: int,
) -> CompiledNetwork:
    """Return a network from the facts of its build."""
    return CompiledNetwork(
        backend=backend,
        key=prepared.key,
        paths=tuple(str(path) for path in paths),
        inputs=prepared.inputs,
        outputs=prepared.outputs,
        footprint=Footprint(
            weights=max(0, facts.bytes - (facts.activation_bytes or 0) - facts.staging_bytes),
            activations=facts.activation_bytes or 0,
            staging=facts.staging_bytes,
        ),
        dynamic_outputs=facts.dynamic,
        shares=facts.shares if segments > 1 else (),
        cuts=facts.cuts if segments > 1 else "",
        complete_after=facts.complete_after or (),
    )
