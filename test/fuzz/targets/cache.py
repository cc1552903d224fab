"""The cache of prepared networks: what a build noted, as others may have left it in the folder.

An input is the file of facts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.backends.facts import facts_of
from aegis_ros.sandbox.artifacts import ArtifactCache, _digest
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, Target, Try

__all__ = ["TARGET"]

_NAME = "network"
_CONTENT = b"12345"
_WORDS = (
    b'"files": []',
    b'"sha256": ""',
    *b'/etc/passwd ../ ../outside.onnx . / /proc/self/mem \\u0000 null [] {} "": 1e999'.split(),
    b"[],",
    b"[" * 64,
)


def _seeds() -> Sequence[bytes]:
    digest = hashlib.sha256(_CONTENT).hexdigest()
    facts = {
        "bytes": 5,
        "dynamic": ["output"],
        "shares": [0.5, 0.5],
        "cuts": "a,b",
        "crossing_bytes": 3,
        "complete_after": [1],
    }
    good = {"facts": facts, "files": [["network.0.onnx", digest]]}
    names = ["/etc/passwd", "../outside.onnx", "folder/../../outside.onnx", "network.0.onnx/.."]
    strange = [{**good, "files": [[name, digest]]} for name in names]
    more = [{**good, "facts": {**facts, "refused": "no"}}, {**good, "files": "1"}, {}, *strange]
    return [_sealed(json.dumps(each).encode()) for each in (good, *more)]


def _sealed(data: bytes) -> bytes:
    """Return facts with their digest, which whoever can write into the folder can compute."""
    try:
        kept = json.loads(data)
        kept["sha256"] = _digest(kept["facts"], kept["files"])
        return json.dumps(kept).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return data


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder = scratch / "cache"
    (scratch / "outside.onnx").write_bytes(_CONTENT)

    def work(data: bytes) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        cache = ArtifactCache(folder)
        (folder / "network.0.onnx").write_bytes(_CONTENT)
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
    mutate=Mutator(_WORDS, most_bytes=9 * MIB, text=True, mend=_sealed),
    opened=_opened,
    weight=1.0,
)
