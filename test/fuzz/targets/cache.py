"""The cache of prepared networks: what a build noted, as others may have left it in the folder.

An input is the file of facts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.backends.facts import facts_of
from aegis_ros.sandbox.artifacts import ArtifactCache
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, Target, Try

__all__ = ["TARGET"]

_NAME = "network"
_WORDS = (
    b'"paths": ["/etc/passwd"]',
    b'"paths": ["../outside.onnx"]',
    b'"paths": "network.0.onnx"',
    b'"sizes": [5]',
    *b'/etc/passwd ../ ../outside.onnx . / /proc/self/mem \\u0000 null [] {} "": 1e999'.split(),
    b"[],",
    b"[" * 64,
)


def _seeds() -> Sequence[bytes]:
    facts = {
        "bytes": 5,
        "dynamic": ["output"],
        "shares": [0.5, 0.5],
        "cuts": "a,b",
        "crossing_bytes": 3,
        "complete_after": [1],
        "paths": ["network.0.onnx"],
        "sizes": [5],
    }
    names = ["/etc/passwd", "../outside.onnx", "folder/../../outside.onnx"]
    strange = [{**facts, "paths": [name], "sizes": None} for name in names]
    more = [{**facts, "refused": "no"}, {**facts, "paths": "1"}, {}, *strange]
    return [json.dumps(each).encode() for each in (facts, *more)]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder = scratch / "cache"
    (scratch / "outside.onnx").write_bytes(b"secret")

    def work(data: bytes) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        cache = ArtifactCache(folder)
        (folder / "network.0.onnx").write_bytes(b"12345")
        (folder / f"{_NAME}.json").write_bytes(data)
        found = cache.find(_NAME)
        if found is None:
            return False
        for path in found.paths:
            assert path.resolve().is_relative_to(folder.resolve()), f"{path} is not in the cache"
        return facts_of(found.facts) is not None

    yield work


TARGET = Target(
    name="cache",
    title="cache of networks",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=9 * MIB, text=True),
    opened=_opened,
    weight=1.0,
)
