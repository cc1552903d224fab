"""Memory in which weights take turns: always whose turn it is, never more than its size."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends.cpu import place as module
from aegis_ros.backends.cpu.freeing import given_back
from aegis_ros.backends.cpu.place import Place, WeightsFile, fill, windows_of
from aegis_ros.errors import BackendError

PAGE = mmap.PAGESIZE


class Mapped:
    """A file of weights that is mapped in parts, as ONNX Runtime maps one."""

    def __init__(self, path: Path, parts: list[tuple[int, int]], seed: int = 0) -> None:
        """Write the file and map (first page, pages) of it."""
        pages = max(first + count for first, count in parts)
        self.data = np.random.default_rng(seed).bytes(pages * PAGE - 100)
        path.write_bytes(self.data)
        self.path, self.parts = path, parts
        with path.open("rb") as file:
            self.maps = [
                mmap.mmap(
                    file.fileno(),
                    min(count * PAGE, len(self.data) - first * PAGE),
                    mmap.MAP_PRIVATE,
                    offset=first * PAGE,
                )
                for first, count in parts
            ]
        self.windows = windows_of(str(path))

    def file(self, *, cold: bool = False) -> WeightsFile:
        """Return it, opened."""
        return WeightsFile(str(self.path), str(self.path), cold=cold)

    def seen(self) -> bool:
        """Return whether every window shows what was written to the file."""
        return all(
            ctypes.string_at(each.address, len(wanted)) == wanted
            for each in self.windows
            for wanted in [self.data[each.offset : each.offset + each.nbytes]]
        )


def resident(ranges: list[tuple[int, int]]) -> int:
    """Return how many bytes of (address, bytes) the kernel has pages for (proc_pid_pagemap(5))."""
    found = 0
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for address, nbytes in ranges:
            pagemap.seek(address // PAGE * 8)
            entries = np.frombuffer(pagemap.read(nbytes // PAGE * 8), np.uint64)
            found += int((entries >> np.uint64(63)).sum()) * PAGE
    return found


def test_parts_of_a_file_are_found_where_they_are_mapped(tmp_path):
    mapped = Mapped(tmp_path / "a b", [(5, 2), (0, 3)])
    assert [(each.nbytes, each.offset) for each in mapped.windows] == [
        (3 * PAGE, 0),
        (2 * PAGE, 5 * PAGE),
    ]


@pytest.mark.parametrize("cold", [False, True])
def test_10000_loads_in_any_order_show_the_right_weights_and_take_no_page_more(tmp_path, cold):
    draw = np.random.default_rng(7)
    shapes = [[(0, 3)], [(1, 1), (3, 2), (7, 1)], [(0, 1)], [(2, 4)], [(0, 2), (1, 1)]]
    mapped = [Mapped(tmp_path / str(index), parts, index) for index, parts in enumerate(shapes)]
    owners = (range(3), range(3, 5))  # two networks, each with a place of its own
    places = [
        Place([(index, mapped[index].file(cold=cold), mapped[index].windows) for index in owned])
        for owned in owners
    ]
    assert [each.nbytes // PAGE for each in places] == [4, 4]
    held = [(each.address, each.nbytes) for one in mapped for each in one.windows]
    held += [(each.home, each.nbytes) for each in places]
    order = draw.integers(0, len(shapes), 10_000 if not cold else 100)
    files = len(os.listdir("/proc/self/fd"))
    for step, index in enumerate(order.tolist()):
        places[index >= 3].bring(index)
        if step % 97 == 0:
            assert mapped[index].seen()
            assert resident(held) == sum(each.nbytes for each in places)
    assert len(os.listdir("/proc/self/fd")) == files


def test_weights_that_stay_lie_in_memory_of_their_own(tmp_path):
    mapped = Mapped(tmp_path / "kept", [(0, 2), (4, 1)])
    fill(mapped.file(), mapped.windows)
    mapped.path.write_bytes(b"")  # a mapping of the file would end this process here
    assert mapped.seen()


def in_turn(tmp_path: Path) -> tuple[list[Mapped], Place]:
    mapped = [Mapped(tmp_path / str(index), [(0, 4)], index) for index in range(2)]
    place = Place([(index, each.file(), each.windows) for index, each in enumerate(mapped)])
    place.bring(0)
    return mapped, place


def test_a_file_that_is_removed_or_replaced_is_read_on_as_it_was(tmp_path):
    mapped, place = in_turn(tmp_path)
    mapped[1].path.unlink()
    mapped[1].path.write_bytes(b"another file of this name")
    place.bring(1)
    assert mapped[1].seen()


def shorten(path: Path) -> None:
    os.truncate(path, PAGE)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other weights")
    os.utime(path, ns=(1, 1))  # another time than before, however coarse the clock


@pytest.mark.parametrize("change", [shorten, rewrite])
def test_a_file_that_was_changed_fails_the_load_and_other_segments_go_on(tmp_path, change):
    mapped, place = in_turn(tmp_path)
    change(mapped[1].path)
    for _ in range(2):
        with pytest.raises(BackendError, match=r"was changed while the network ran .*/1"):
            place.bring(1)
    place.bring(0)
    assert mapped[0].seen()


def test_a_disk_that_fails_once_fails_one_load(tmp_path, monkeypatch):
    mapped, place = in_turn(tmp_path)

    def fails(*given: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "preadv", fails)
        with pytest.raises(BackendError, match=r"cannot be loaded from .*/1 \(Input/output error"):
            place.bring(1)
    place.bring(1)
    assert mapped[1].seen()


def test_reads_that_come_in_pieces_are_joined(tmp_path, monkeypatch):
    mapped, place = in_turn(tmp_path)
    whole = os.preadv

    def pieces(descriptor: int, views: list[memoryview], offset: int) -> int:
        return whole(descriptor, [views[0][:PAGE]], offset)

    monkeypatch.setattr(module.os, "preadv", pieces)
    place.bring(1)
    assert mapped[1].seen()


def test_a_kernel_that_moves_no_pages_is_said_to_be_too_old(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOVES", 1 << 30)
    mapped = Mapped(tmp_path / "0", [(0, 4)])
    with pytest.raises(BackendError, match=r"cannot be moved \(Invalid argument\); .* Linux 5\.7"):
        Place([(0, mapped.file(), mapped.windows)])


def is_mapped(address: int) -> bool:
    spans = [
        line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()
    ]
    return any(int(low, 16) <= address < int(high, 16) for low, high in spans)


@pytest.mark.own_process  # whatever is free in a heap, by other tests, is taken first
def test_what_making_a_session_needs_goes_back_to_the_kernel():
    with given_back():
        libc = ctypes.CDLL(None)  # as it is after an earlier session
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = (ctypes.c_size_t,), (ctypes.c_void_p,)
    with given_back():
        large = libc.malloc(24 << 20)
        after = libc.malloc(1 << 19)  # in the heap: what lies below it would stay
        assert is_mapped(large)
        libc.free(large)
        assert not is_mapped(large)
        libc.free(after)
