"""Files of language models: in the contained child process, as `aegis generate` reads them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.network.generator.preparing import prepare_generator
from aegis_ros.network.model_file import ModelFile
from aegis_ros.sandbox.scratch import Scratch
from test.fuzz.mutation import Mutator
from test.fuzz.target import Limits, Target, Try, answered
from test.network.generator.models import keys, write_gguf

__all__ = ["TARGET"]

_MUTATED = Mutator(words=tuple(key.encode() for key in keys()), most_bytes=256 * 1024)


def _seeds() -> Sequence[bytes]:
    """Return small models; no tokenizer makes the last one bad."""
    with Scratch() as folder:
        paths = [
            write_gguf(folder / "llama.gguf", "Q4_1"),
            write_gguf(folder / "qwen2.gguf", "Q8_0", architecture="qwen2"),
            write_gguf(folder / "mute.gguf", "Q4_0", said={"tokenizer.ggml.tokens": None}),
        ]
        return [path.read_bytes() for path in paths]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    path, cache = scratch / "model.gguf", scratch / "cache"

    def prepared() -> None:
        with ModelFile(path) as file:
            prepare_generator(file, cache_dir=cache, timeout_s=30)

    def work(data: bytes) -> bool:
        shutil.rmtree(cache / "generators", ignore_errors=True)
        path.write_bytes(data)
        taken = answered(prepared, ModelError, ConfigError)
        left = [each.name for each in (cache / "generators").iterdir() if each.is_dir()]
        assert not left, f"scratch is left behind: {left}"
        return taken

    yield work


TARGET = Target(
    name="gguf",
    title="files of language models, in the contained child",
    seeds=_seeds,
    mutate=_MUTATED,
    opened=_opened,
    limits=Limits(seconds=10.0),
    weight=0.03,
    reads=("/proc",),
    brief=2,
)
