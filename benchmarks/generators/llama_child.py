"""The same model in llama.cpp, in a process whose Python has `llama_cpp`.

    PYTHON -m benchmarks.generators.llama_child FILE CONTEXT SLOTS CORE

It reads a number of seconds a line, generates for so long, and writes how many tokens that were.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.generators.asked import lengths

_CHUNK = 512  # tokens of a prompt at once, as llama.cpp itself takes them


class _Llama:
    """Sequences side by side in one context, on one thread.

    Attributes:
        slots: how many.
    """

    def __init__(self, path: str, context: int, slots: int) -> None:
        api = self._api = import_module("llama_cpp")
        self._quiet = api.llama_log_callback(lambda level, text, data: None)
        api.llama_log_set(self._quiet, None)
        api.llama_backend_init()
        self._model = api.llama_model_load_from_file(
            path.encode(), api.llama_model_default_params()
        )
        options = api.llama_context_default_params()
        options.n_ctx = slots * context
        options.n_batch = options.n_ubatch = _CHUNK
        options.n_seq_max = slots
        options.n_threads = options.n_threads_batch = 1
        self._context = api.llama_init_from_model(self._model, options)
        if not self._context:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self._batch = api.llama_batch_init(_CHUNK, 0, 1)
        self._lengths = [0] * slots
        self.slots = slots

    def forget(self) -> None:
        """Empty all caches."""
        api: Any = self._api
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        self._lengths = [0] * len(self._lengths)

    def step(self, slots: Sequence[int], *, logits: bool) -> None:
        """Put one token into the cache of each slot that is named, as often as it is."""
        batch = self._batch
        batch.n_tokens = len(slots)
        for at, slot in enumerate(slots):
            batch.token[at] = 0
            batch.pos[at] = self._lengths[slot]
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = slot
            batch.logits[at] = logits
            self._lengths[slot] += 1
        if self._api.llama_decode(self._context, batch):
            raise SystemExit("llama.cpp failed at a step")


def main() -> None:
    """Answer until there is no more to read."""
    path, context, slots, core = sys.argv[1], *map(int, sys.argv[2:5])
    os.sched_setaffinity(0, {core})
    llama = _Llama(path, context, slots)
    chance = np.random.default_rng(1)
    print(0, flush=True)
    for line in sys.stdin:
        print(_said(llama, context, chance, float(line)), flush=True)


def _said(llama: _Llama, context: int, chance: np.random.Generator, seconds: float) -> int:
    """Answer as many as there are slots at once, as the process of ONNX Runtime does."""
    end = time.monotonic() + seconds
    said, slots = 0, llama.slots
    while time.monotonic() < end:
        prompt, answer = lengths(chance, context)
        llama.forget()
        for slot in range(slots):
            for begin in range(0, prompt - 1, _CHUNK):
                if time.monotonic() < end:
                    llama.step([slot] * min(_CHUNK, prompt - 1 - begin), logits=False)
        for _ in range(answer):
            if time.monotonic() >= end:
                break
            llama.step(range(slots), logits=True)
            said += slots
    return said


if __name__ == "__main__":
    main()
