"""Task sets: the YAML that `aegis check` is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.errors import AegisError
from aegis_ros.planning.task_set import read_task_set
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, Limits, Target, Try, answered
from test.fuzz.targets.configuration import YAML_WORDS, files

__all__ = ["TARGET"]


def _seeds() -> Sequence[bytes]:
    row = b"- {name: t%d, period_ms: 50, segments_ms: [1, 2], lane: main}\n"
    rows = b"".join(row % number for number in range(40))
    bare = [text for text in files() if b"model" not in text]  # networks are not prepared here
    return [b"lanes: [{name: main}]\ntasks:\n" + rows, *bare]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    file = scratch / "set.yaml"

    def work(data: bytes) -> bool:
        file.write_bytes(data)
        return answered(lambda: read_task_set(file, scratch / "state"), AegisError)

    yield work


TARGET = Target(
    name="task_set",
    title="task sets, on the command line",
    seeds=_seeds,
    mutate=Mutator(YAML_WORDS, most_bytes=2 * MIB, text=True),
    opened=_opened,
    weight=0.3,
    limits=Limits(seconds=5.0),
    reads=("/proc/cpuinfo",),  # profiles are those of this machine
)
