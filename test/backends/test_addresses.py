"""Addresses of arrays are remembered for as long as the arrays live, and no longer."""

from __future__ import annotations

import weakref

import numpy as np

from aegis_ros.backends import addresses
from aegis_ros.backends.addresses import address_of


def test_an_address_is_that_of_the_first_element() -> None:
    whole = np.arange(64, dtype=np.float32)
    for array in (whole, whole[8:], whole.reshape(8, 8)[1:]):
        for _ in range(2):
            assert address_of(array) == array.ctypes.data


def test_numpy_is_asked_once_of_each_array() -> None:
    class Asked(np.ndarray):
        times = 0

        @property
        def __array_interface__(self) -> dict[str, tuple[int, bool]]:  # type: ignore[override]
            Asked.times += 1
            return {"data": (7, False)}

    array = np.zeros(4).view(Asked)
    assert [address_of(array) for _ in range(3)] == [7, 7, 7]
    assert Asked.times == 1


def test_nothing_is_kept_of_an_array_that_is_gone() -> None:
    array = np.zeros(4)
    address_of(array)
    key, gone = id(array), weakref.ref(array)
    assert key in addresses._known
    del array
    assert gone() is None
    assert key not in addresses._known


def test_what_is_known_of_an_array_is_not_taken_for_one_in_its_place() -> None:
    array, other = np.zeros(4), np.zeros(4)
    address_of(other)
    addresses._known[id(array)] = addresses._known[id(other)]  # as if it had been there before
    assert address_of(array) == array.ctypes.data
    address_of(other)
    stale = weakref.ref(other)
    addresses._forget(id(array), stale)  # type: ignore[arg-type]
    assert id(array) in addresses._known
