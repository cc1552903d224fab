"""What was built for a GPU, kept in the cache with what is known of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.facts import BuildFacts, facts_of
from aegis_ros.network.prepare import PreparedNetwork

__all__ = ["as_compiled", "keep", "only_letters", "read_facts", "without_files"]


def only_letters(text: str) -> str:
    """Return a text as part of a file's name."""
    return "".join(part if part.isalnum() else "_" for part in text)[:80]


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts of a build; ``None`` where there are none, or its files are gone."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    known = facts_of(facts) if isinstance(facts, dict) else None
    if known is None:
        return None
    whole = known.complete_after is not None and all(Path(made).exists() for made in known.paths)
    return facts if known.refused or whole else None


def keep(
    facts: dict[str, Any],
    folder: Path,
    stem: str,
    suffix: str,
    *,
    beside: Sequence[str] = (),
    scratch: Path,
) -> dict[str, Any]:
    """Move what was built to the cache, then write its facts; return them with the new paths.

    Args:
        facts: of the build; ``paths`` where there is anything to keep.
        folder: in the cache.
        stem: of the files' names.
        suffix: of the built files.
        beside: suffixes of files that lie beside each of them.
        scratch: folder on the same file system, thrown away afterwards.
    """
    if "paths" in facts:
        places = [folder / f"{stem}.{n}{suffix}" for n in range(len(facts["paths"]))]
        for path, place in zip(facts["paths"], places, strict=True):
            for other in beside:
                os.replace(Path(path).with_suffix(other), place.with_suffix(other))
            os.replace(path, place)
        facts = facts | {"paths": [str(place) for place in places]}
    noted = scratch / "facts"
    noted.write_text(json.dumps(facts))
    os.replace(noted, folder / f"{stem}.json")
    return facts


def without_files(backend: str, prepared: PreparedNetwork) -> CompiledNetwork:
    """Return what is known of a network before it is built."""
    return CompiledNetwork(
        backend,
        prepared.key,
        (),
        prepared.inputs,
        prepared.outputs,
        0,
    )


def as_compiled(
    backend: str, prepared: PreparedNetwork, facts: Mapping[str, Any], segments: int
) -> CompiledNetwork:
    """Return a network from the facts of its build."""
    known = msgspec.convert(facts, BuildFacts)
    return CompiledNetwork(
        backend=backend,
        key=prepared.key,
        paths=known.paths,
        inputs=prepared.inputs,
        outputs=prepared.outputs,
        arena_bytes=known.bytes,
        dynamic_outputs=known.dynamic,
        shares=known.shares if segments > 1 else (),
        cuts=known.cuts if segments > 1 else "",
        complete_after=known.complete_after or (),
    )
