"""Files that are mapped while all memory of the process is locked."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

_MAPPED_IN_A_LOCKED_PROCESS = """
import ctypes, mmap, sys
from pathlib import Path
from aegis_ros.backends.cpu.locks import untouched

PAGES = 64

def pulled_in(file):
    mapped = mmap.mmap(file.fileno(), PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(begin // mmap.PAGESIZE * 8)
        entries = memoryview(pagemap.read(PAGES * 8)).cast("Q")
    kept.append(mapped)
    return sum(each >> 63 for each in entries)

kept = []
file = open(sys.argv[1], "r+b")
if ctypes.CDLL(None).mlockall(int(sys.argv[2])):
    sys.exit(77)
with untouched():
    print(pulled_in(file))
print(pulled_in(file))
"""


@pytest.mark.parametrize(("locks", "afterwards"), [(1, 0), (3, 64)])
def test_a_file_that_is_mapped_in_the_block_is_not_pulled_in(tmp_path, locks, afterwards):
    file = tmp_path / "weights"
    file.write_bytes(bytes(64 * mmap.PAGESIZE))
    ended = subprocess.run(
        [sys.executable, "-c", _MAPPED_IN_A_LOCKED_PROCESS, str(file), str(locks)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 77:
        pytest.skip("memory may not be locked here")
    assert ended.stdout.split() == ["0", str(afterwards)], ended.stderr
