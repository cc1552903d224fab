"""Which threads and files a test module leaves behind in the process that all tests share."""

from __future__ import annotations

import gc
import os
import re
import threading
from collections import Counter
from contextlib import suppress

__all__ = ["opened_now", "threads_of"]


def threads_of(name: str) -> set[threading.Thread]:
    """Return the threads of a name that run."""
    return {thread for thread in threading.enumerate() if thread.name == name}


def opened_now() -> Counter[str]:
    """Count threads by their names and open files by what they are, without their numbers."""
    gc.collect()  # what only waits for that is not left behind
    found = Counter(f"thread {_kind(thread.name)}" for thread in threading.enumerate())
    found["threads in all"] = len(os.listdir("/proc/self/task"))
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the list itself
            found[f"file {_kind(os.readlink(f'/proc/self/fd/{number}'))}"] += 1
    return found


def _kind(name: str) -> str:
    return re.sub(r"[0-9]+", "N", name.rpartition("/")[2] or name)
