"""What threads that come and go allocate does not stay behind in one part of memory for each."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import ctypes, re, sys, threading
from pathlib import Path
from aegis_ros.nodes.allocator import tune_allocator

assert tune_allocator()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.free.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
together = threading.Barrier(32)

def run():
    block = libc.malloc(200_000)
    together.wait()
    libc.free(block)

threads = [threading.Thread(target=run) for _ in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(len(re.findall("<heap nr=", Path(sys.argv[1]).read_text())))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this is not glibc")
def test_many_threads_share_few_arenas_of_malloc(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / "arenas.xml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(found.stdout) <= 4
