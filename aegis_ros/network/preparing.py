"""Turns a model file into a network that takes the camera's bytes, once, and remembers it.

The work is done in a contained child process: a hostile or broken file can fail there, and nowhere
else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aegis_ros.network.compiled_code import CompiledCode
from aegis_ros.network.feed import Feed, NetworkInput
from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.patterns import Busy
from aegis_ros.network.runtime import runtime_version
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.sandbox.artifacts import Artifact, ArtifactCache
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit
from aegis_ros.spec import FrameFormat

__all__ = ["PreparedCode", "PreparedNetwork", "prepare"]

_FORMAT_VERSION = 3  # of all keys; raise it when every profile is to be measured anew
_CACHE_VERSION = 9  # of what is cached; raise it when facts or fused graphs change


@dataclass(frozen=True, slots=True)
class PreparedCode:
    """Code that was compiled elsewhere, and runs behind what was prepared.

    Attributes:
        path: its file, in the cache.
        digest: SHA-256 of it in hex; only that is loaded.
        suffix: that of its name: which backends take it.
        function: that computes the network: it takes the outputs of the prepared ONNX file, in
            their order, and makes those of the network, in theirs.
    """

    path: Path
    digest: str
    suffix: str
    function: str


@dataclass(frozen=True, slots=True)
class PreparedNetwork:
    """A network with its preprocessing, ready for a backend.

    Attributes:
        path: the fused ONNX file, in the cache; its inputs are those of ``inputs``.
        source: the file it was made from; for names and messages.
        digest: SHA-256 of ``source`` in hex.
        key: identifies file, preprocessing and bounds together; profiles are stored under it.
        inputs: what is fed from frames, in order.
        outputs: every output, all extents bound.
        weight_bytes: bytes of the weights.
        activation_bytes: estimated peak of the activations at ``max_shape``.
        metadata: the file's own metadata (class names, character lists).
        flops: estimated floating-point operations of one run.
        fused_digest: SHA-256 of what ``path`` was made as, in hex; only that is compiled. Empty
            where nobody knows it.
        busy: the pattern on which the network finds most; ``None`` where what it computes does not
            depend on that.
        code: what computes the outputs from those of ``path``, where the network is compiled code;
            ``None`` where ``path`` is the whole network.
    """

    path: Path
    source: Path
    digest: str
    key: str
    inputs: tuple[NetworkInput, ...]
    outputs: tuple[TensorInfo, ...]
    weight_bytes: int
    activation_bytes: int
    metadata: Mapping[str, str]
    flops: int = 0
    fused_digest: str = ""
    busy: Busy | None = None
    code: PreparedCode | None = None

    @property
    def frame_input(self) -> TensorInfo:
        """The first input, with run-time extents as names."""
        return self.inputs[0].tensor

    @property
    def frame_format(self) -> FrameFormat:
        """Canonical format of the first input's frames."""
        return self.inputs[0].format

    @property
    def max_shape(self) -> tuple[int, ...]:
        """Shape of the first input's largest frame."""
        return self.inputs[0].max_shape


def prepare(
    file: ModelFile | Path,
    feeds: Sequence[Feed],
    *,
    cache_dir: Path,
    dimensions: Mapping[str, int] | None = None,
    max_results: int = 0,
    arena_bytes: int = 1024**3,
    timeout_s: float = 120.0,
    code: CompiledCode | None = None,
) -> PreparedNetwork:
    """Validate a network, put its preprocessing in front, and bind every extent.

    Args:
        file: an ONNX file, already found to be allowed, of which only the open file is read; that
            of a path is opened here.
        feeds: what feeds its inputs.
        cache_dir: where prepared networks are kept.
        dimensions: values for symbolic extents.
        max_results: rows that are kept of outputs of which each run decides how many there are; 0
            for what the graph allows, or else for what is usual.
        arena_bytes: what a network may take; the child process gets a few times as much.
        timeout_s: how long the child process may take.
        code: what is known of ``file`` where that is compiled code; nothing of it runs here.

    Raises:
        ModelError: code ``model_valid``; the text says what does not fit and how to fix it.
        OSError: the file of a path cannot be opened.
    """
    with ModelFile(file) if isinstance(file, Path) else nullcontext(file) as source:
        return _prepared(
            source,
            feeds,
            cache_dir=cache_dir,
            bounds=dict(dimensions or {}),
            max_results=max_results,
            arena_bytes=arena_bytes,
            timeout_s=timeout_s,
            code=code,
        )


def _prepared(
    source: ModelFile,
    feeds: Sequence[Feed],
    *,
    cache_dir: Path,
    bounds: Mapping[str, int],
    max_results: int,
    arena_bytes: int,
    timeout_s: float,
    code: CompiledCode | None,
) -> PreparedNetwork:
    if code is not None:
        code.require_room(arena_bytes)
    path, model_digest = source.path, source.digest
    request = {
        "format": _FORMAT_VERSION,
        "versions": [version("onnx"), runtime_version()],
        "digest": model_digest,
        **_identity(feeds),
        "dimensions": dict(sorted(bounds.items())),
        **({"max_results": max_results} if max_results else {}),
        **({"code": code.to_json()} if code is not None else {}),
    }
    key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]

    def build(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        fused = folder / "fused.onnx"
        kept = [] if code is None else [folder / f"code{code.suffix}"]
        facts = run_child(
            "aegis_ros.network.prepare_child",
            {
                "feeds": [asdict(feed) for feed in feeds],
                "dimensions": dict(bounds),
                "max_results": max_results,
                "source": str(path),
                "descriptor": source.descriptor,
                "digest": model_digest,
                "target": str(fused),
                **({"code": code.to_json(), "kept": str(*kept)} if code is not None else {}),
            },
            allowed=Containment(memory_bytes=memory_limit(arena_bytes), writes=(str(folder),)),
            timeout_s=timeout_s,
            subject=path.name,
            descriptors=(source.descriptor,),
        )
        return facts, [fused, *kept]

    described = partial(
        _described, source=path, model_digest=model_digest, key=key, feeds=feeds, code=code
    )
    cache, name = ArtifactCache(cache_dir / "networks"), f"{key}-{_CACHE_VERSION}"
    found = cache.find(name)
    if found is not None:
        with suppress(KeyError, TypeError, ValueError, IndexError):  # damaged: made again
            return described(found)
    return described(cache.make(name, build))


def _described(
    made: Artifact,
    *,
    source: Path,
    model_digest: str,
    key: str,
    feeds: Sequence[Feed],
    code: CompiledCode | None,
) -> PreparedNetwork:
    """Return what was prepared; raises in some way where the facts are not those of a network.

    Its key is ``key`` where the network is prepared as it was by the versions before, so that what
    they compiled and measured stays valid.
    """
    facts = made.facts
    differs = [str(item) for item in facts["differs"]]
    if differs:
        key = hashlib.sha256(json.dumps([key, differs]).encode()).hexdigest()[:32]
    return PreparedNetwork(
        path=made.paths[0],
        source=source,
        digest=model_digest,
        key=key,
        inputs=tuple(
            NetworkInput(
                _info(item),
                feed.format,
                tuple(frames["largest"]),
                feed.name,
                tuple(frames["least"]),
                tuple(frames["most"]),
            )
            for item, frames, feed in zip(facts["inputs"], facts["frames"], feeds, strict=True)
        ),
        outputs=tuple(_info(item) for item in facts["outputs"]),
        weight_bytes=int(facts["weight_bytes"]),
        activation_bytes=int(facts["activation_bytes"]),
        metadata=dict(facts["metadata"]),
        flops=int(facts["flops"]),
        fused_digest=made.digests[0],
        busy=None if facts["busy"] is None else Busy(**facts["busy"]),
        code=None
        if code is None
        else PreparedCode(made.paths[1], made.digests[1], code.suffix, code.function),
    )


def _identity(feeds: Sequence[Feed]) -> dict[str, Any]:
    """Return what feeds a network, as part of its key; of one input as it always was."""
    if len(feeds) == 1 and not feeds[0].name and not feeds[0].batch:
        first = feeds[0]
        return {"preprocess": asdict(first.preprocess), "max_shape": list(first.max_shape)}
    return {"feeds": [asdict(feed) for feed in feeds]}


def _info(item: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(item["name"], item["dtype"], tuple(item["shape"]), int(item["rows_axis"]))
