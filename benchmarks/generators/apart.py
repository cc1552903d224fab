"""The same language model in a process of its own, which knows nothing of anybody's deadlines."""

from __future__ import annotations

import multiprocessing
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import numpy as np

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.network.generator.buckets import chunks
from aegis_ros.network.generator.decoder import Decoder
from benchmarks.generators.asked import lengths
from benchmarks.processes import start

__all__ = ["Apart", "apart", "llama_apart"]

_TIMEOUT_S = 600.0
_ROOT = Path(__file__).resolve().parents[2]


class Apart(Protocol):
    """A process that runs a model."""

    def begin(self, seconds: float) -> None:
        """Have it say something for a while."""
        ...

    def tokens(self) -> int:
        """Wait for the end of the while; return how many tokens it generated."""
        ...


class _Ours:
    """Asks the process of ONNX Runtime.

    Args:
        pipe: to it.
    """

    def __init__(self, pipe: Connection) -> None:
        """Wait until the model is loaded."""
        self._pipe = pipe
        self._answer()

    def begin(self, seconds: float) -> None:
        """Have it say something for a while."""
        self._pipe.send(seconds)

    def tokens(self) -> int:
        """Wait for the end of the while; return how many tokens it generated."""
        return self._answer()

    def _answer(self) -> int:
        if not self._pipe.poll(_TIMEOUT_S):
            raise SystemExit(f"the process of the model says nothing for {_TIMEOUT_S:.0f} s")
        return int(self._pipe.recv())


@contextmanager
def apart(model: CompiledGenerator, *, slots: int, core: int) -> Iterator[Apart]:
    """Yield a process that runs a model on a core, with ordinary priority, and end it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, model, slots, core), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Ours(ours)
    finally:
        ours.close()
        process.join(timeout=10.0)
        process.kill()
        process.join()


class _Llama:
    """Asks the process of llama.cpp."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ready = selectors.DefaultSelector()
        assert process.stdout is not None
        self._ready.register(process.stdout, selectors.EVENT_READ)
        self.tokens()

    def begin(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def tokens(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline() if self._ready.select(_TIMEOUT_S) else ""
        if not line:
            raise SystemExit("the process of llama.cpp says nothing")
        return int(line)


@contextmanager
def llama_apart(
    python: Path, model: Path, *, context: int, slots: int, core: int
) -> Iterator[Apart]:
    """Yield a process that runs a GGUF file in llama.cpp on a core, and end it.

    Args:
        python: an interpreter with `llama_cpp` and `numpy`.
        model: the file.
        context: longest sequence, tokens.
        slots: sequences at once.
        core: that it runs on, with ordinary priority.
    """
    process = start(
        [
            *(str(python), "-m", "benchmarks.generators.llama_child", str(model)),
            *map(str, (context, slots, core)),
        ],
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Llama(process)
    finally:
        process.kill()
        process.wait()


def _serve(pipe: Connection, model: CompiledGenerator, slots: int, core: int) -> None:
    os.sched_setaffinity(0, {core})
    with model.opened() as paths:
        decoder = Decoder(model.facts, paths, context=model.facts.context, slots=slots)
    chance = np.random.default_rng(1)
    pipe.send(0)
    while True:
        try:
            seconds = float(pipe.recv())
        except EOFError:
            return
        pipe.send(_said(decoder, model.facts.context, chance, seconds))


def _said(decoder: Decoder, context: int, chance: np.random.Generator, seconds: float) -> int:
    """Answer as many as there are slots at once, one generation of prompts after the other."""
    end = time.monotonic() + seconds
    said = 0
    while time.monotonic() < end:
        prompt, answer = lengths(chance, context)
        for slot in range(decoder.slots):
            decoder.forget(slot)
            for size in chunks(prompt - 1):
                if time.monotonic() < end:
                    decoder.prefill([0] * size, slot=slot)
        for _ in range(answer):
            if time.monotonic() >= end:
                break
            decoder.decode([0] * decoder.slots, slot=0)
            said += decoder.slots
    return said
