"""Frames and tensors lie where no other user can find them."""

from __future__ import annotations

import os

from aegis_ros.engine.memory import SharedMemory


def test_memory_that_is_shared_with_the_engine_has_no_name() -> None:
    memory = SharedMemory(10)
    try:
        assert os.readlink(f"/proc/self/fd/{memory.fd}").startswith("/memfd:")
        assert not os.get_inheritable(memory.fd)  # it is handed over, to one process
    finally:
        memory.close()
