"""What is done with a network before its weights are streamed: cut, packed, tried and measured."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.cpu.build import built, cache_of, cut_whole
from aegis_ros.backends.weights import SegmentWeights
from aegis_ros.errors import ModelError
from aegis_ros.memory import Footprint
from aegis_ros.network.preparing import PreparedNetwork
from aegis_ros.sandbox.artifacts import Artifact
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit

__all__ = ["built_streamed"]

_CHILD = "aegis_ros.backends.cpu.stream_child"
# A disk of a small robot reads 1 GB in a second, more or less: it decides where the cuts lie, not
# what is proven.
_LOAD_NS_PER_BYTE = 1.0


class _Facts(msgspec.Struct, frozen=True):
    """What a build notes.

    Attributes:
        bytes: what the network takes with one segment in memory.
        nbytes: weights of each segment, whole pages.
        cold_ns: the longest that loading each took from storage.
        warm_ns: the longest that it took from the page cache.
        refused: why it was not built; empty where it was.
    """

    bytes: int = 0
    nbytes: tuple[int, ...] = ()
    cold_ns: tuple[int, ...] = ()
    warm_ns: tuple[int, ...] = ()
    refused: str = ""


def built_streamed(
    backend: str, prepared: PreparedNetwork, cache_dir: Path, segments: int
) -> CompiledNetwork:
    """Cut the optimised graph and pack each segment's weights, in child processes; keep the result.

    Args:
        backend: name of the backend.
        prepared: the network.
        cache_dir: folder of all caches.
        segments: wanted.

    Returns:
        The network with one segment resident and cold storage; or whole, with the reason.

    Raises:
        ModelError: ONNX Runtime cannot take the network, crashes on it or takes too long.
    """
    cache, name = cache_of(prepared, cache_dir)
    subject = prepared.source.name
    whole = built(backend, prepared, cache_dir)
    cut = cut_whole(
        whole,
        segments,
        cache,
        f"{name}-{segments}-even",
        subject=subject,
        load_ns_per_byte=_LOAD_NS_PER_BYTE,
    )
    if cut.segments == 1:
        return cut
    made = cache.find(f"{name}-{segments}-streamed")
    facts = None if made is None else _facts_of(made)
    if made is None or facts is None:
        try:
            made = cache.make(
                f"{name}-{segments}-streamed", lambda scratch: _make(cut, scratch, subject)
            )
        except ModelError as error:
            return replace(whole, note=f"its weights are not streamed: {error.problem}")
        facts = msgspec.convert(made.facts, _Facts)
    if facts.refused:
        return replace(whole, note=f"its weights are not streamed: {facts.refused}")
    paths, digests = [str(path) for path in made.paths], made.digests
    largest = max(facts.nbytes)
    activations = cut.footprint.activations
    return replace(
        cut,
        paths=tuple(paths[:segments]),
        digests=digests[:segments],
        footprint=Footprint(
            weights=largest + max(0, facts.bytes - largest - activations), activations=activations
        ),
        weights=tuple(
            SegmentWeights(*each)
            for each in zip(
                paths[segments:],
                digests[segments:],
                facts.nbytes,
                facts.cold_ns,
                facts.warm_ns,
                strict=True,
            )
        ),
        resident=1,
        storage="cold",
    )


def _facts_of(made: Artifact) -> _Facts | None:
    """Return what was noted; ``None`` where another version wrote it in another form."""
    try:
        return msgspec.convert(made.facts, _Facts)
    except msgspec.ValidationError:
        return None


def _make(cut: CompiledNetwork, scratch: Path, subject: str) -> tuple[dict[str, Any], list[Path]]:
    """Pack the weights, then try and measure what was made; return the facts and the files."""
    allowed = Containment(
        memory_bytes=memory_limit(cut.footprint.total), reads=cut.paths, writes=(str(scratch),)
    )
    ask = partial(run_child, _CHILD, allowed=allowed, timeout_s=300.0, subject=subject)
    packed = ask({"compiled": cut.to_json(), "folder": str(scratch)})
    graphs, weights = tuple(packed["graphs"]), tuple(packed["weights"])
    tried = replace(
        cut,
        paths=graphs,
        digests=(),
        weights=tuple(
            SegmentWeights(path, "", nbytes, 0, 0)
            for path, nbytes in zip(weights, packed["nbytes"], strict=True)
        ),
        resident=1,
        storage="warm",
    )
    measured = ask({"cut": cut.to_json(), "compiled": tried.to_json(), "folder": str(scratch)})
    if "refused" in measured:
        return measured, []
    return measured | {"nbytes": packed["nbytes"]}, [Path(each) for each in (*graphs, *weights)]
