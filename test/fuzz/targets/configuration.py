"""Configuration files: whatever a YAML file holds that a node is started with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.config import load_config, parse_task, to_mapping
from aegis_ros.errors import AegisError
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, SEEDS, Target, Try, answered, words

__all__ = ["TARGET", "YAML_WORDS", "files"]

_PROJECT = Path(__file__).resolve().parents[3]
_KEYS = words("keys")
YAML_WORDS = (
    *(f"{key}: ".encode() for key in _KEYS),
    *(f", {key}: ".encode() for key in _KEYS),
    *b"[ ] { } , : - ? | > # & * ! % @ ` ' \" ~ << --- ... \n \t".split(b" "),
    *b"null true false yes .nan .inf 0o17 0x1F 1:30 2020-99-99 1e400 -0".split(),
    *b"!!int !!float !!bool !!binary !!set !!timestamp !!python/name:os.system !!omap".split(),
    *(b"&a [1]", b"*a", b"<<: *a", b"!!int ''", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\xc2\x85"),
    *(each.encode() for each in ("²", "１", "\u202e", "\U0001f600", "é")),
)


def files() -> Sequence[bytes]:
    """Return configurations and task sets, good ones and bad ones."""
    paths = [
        _PROJECT / "config" / "demo.yaml",
        *sorted((_PROJECT / "config" / "examples").glob("*.yaml")),
        _PROJECT / "test" / "compatibility" / "v0_1" / "robot.yaml",
        *sorted((SEEDS / "configuration").iterdir()),
    ]
    return [*(path.read_bytes() for path in paths), b"", b"tasks: []"]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    file = scratch / "robot.yaml"

    def configure() -> None:
        for task in load_config(file).tasks:
            # A journal keeps it like this, and must get back what it kept.
            assert parse_task(to_mapping(task)) == task

    def work(data: bytes) -> bool:
        file.write_bytes(data)
        return answered(configure, AegisError)

    yield work


TARGET = Target(
    name="configuration",
    title="configuration files",
    seeds=files,
    mutate=Mutator(YAML_WORDS, most_bytes=1 * MIB, text=True),
    opened=_opened,
    weight=2.0,
)
