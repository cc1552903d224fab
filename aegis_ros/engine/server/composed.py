"""Several backends as one: each owns some of the engine's lanes, and gets what is for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import (
    Backend,
    CompiledNetwork,
    Ended,
    LoadedNetwork,
    Runtime,
    Work,
)
from aegis_ros.backends.generators import CompiledGenerator, generating
from aegis_ros.backends.lanes import lanes_by_backend
from aegis_ros.backends.registry import create_backend
from aegis_ros.memory import KvShape
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import LaneSpec

__all__ = ["ComposedBackends", "runtime_for"]

_Arrays = Sequence[npt.NDArray[np.generic]]


class ComposedBackends:
    """Routes by lane. Lane indices are those of the engine; each backend counts its own from 0.

    Tokens stay as they are: the engine makes them, and no backend looks into them.

    Args:
        backends: by name, with the engine's indices of the lanes each one owns.
    """

    def __init__(self, backends: Mapping[str, tuple[Backend, Sequence[int]]]) -> None:
        """Open nothing yet."""
        self._backends = {name: backend for name, (backend, _) in backends.items()}
        self._owned = {name: tuple(indices) for name, (_, indices) in backends.items()}
        # By the engine's index of a lane: its backend, and its index there.
        self._lanes: list[tuple[Backend, int]] = [
            owned
            for _, owned in sorted(
                (
                    (index, (backend, local))
                    for backend, indices in backends.values()
                    for local, index in enumerate(indices)
                ),
                key=lambda item: item[0],
            )
        ]
        self._starts = [backend.start for backend, _ in self._lanes]
        self._local = [local for _, local in self._lanes]
        self._of: dict[int, Backend] = {}  # by identity of a loaded network

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Open each backend with its own lanes; all or none.

        Raises:
            BackendError: a device cannot be had.
        """
        with ExitStack() as undo:
            for name, backend in self._backends.items():
                backend.open([lanes[index] for index in self._owned[name]], ended, priority)
                undo.callback(backend.close)
            undo.pop_all()

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Load a network into the backend of its lane.

        Raises:
            BackendError: it cannot be loaded; nothing is left behind.
        """
        backend, local = self._lanes[lane]
        network = backend.load(compiled, local)
        self._of[id(network)] = backend
        return network

    def load_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> LoadedNetwork:
        """Load a language model into the backend of its lane.

        Raises:
            BackendError: that runs none, or it cannot be loaded; nothing is left behind.
        """
        backend, local = self._lanes[lane]
        network = generating(backend, backend.name).load_generator(compiled, local, shapes, cache)
        self._of[id(network)] = backend
        return network

    def unload(self, network: LoadedNetwork) -> None:
        """Give back what ``load`` allocated; not while it runs."""
        self._of.pop(id(network)).unload(network)

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Show the memory of frames to all: a stream may feed tasks of several lanes.

        Raises:
            BackendError: a device is lost; no backend keeps the memory.
        """
        with ExitStack() as undo:
            for backend in self._backends.values():
                backend.pin(memory)
                undo.callback(backend.unpin, memory)
            undo.pop_all()

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Take the memory of frames back from all, also where one of them fails.

        Raises:
            BackendError: as the device says.
        """
        with ExitStack() as all_of_them:
            for backend in self._backends.values():
                all_of_them.callback(backend.unpin, memory)

    def prefetch(self, network: LoadedNetwork, inputs: _Arrays) -> bool:
        """Begin to bring inputs to the device of the network's lane."""
        return self._of[id(network)].prefetch(network, inputs)

    def start(self, lane: int, work: Work) -> None:
        """Begin one work on an idle lane; returns at once."""
        self._starts[lane](self._local[lane], work)

    def device_name(self) -> str:
        """Return the names of all devices, each with the lanes it has."""
        return self._described(lambda backend: backend.device_name())

    def determinism(self) -> str:
        """Say what the lanes of each backend were permitted."""
        return self._described(lambda backend: backend.determinism())

    def close(self) -> None:
        """End all lanes, also where one of the backends fails."""
        with ExitStack() as all_of_them:
            for backend in self._backends.values():
                all_of_them.callback(backend.close)

    def _described(self, of: Callable[[Backend], str]) -> str:
        return "; ".join(f"{name}: {of(backend)}" for name, backend in self._backends.items())


def runtime_for(default: str, lanes: Sequence[LaneSpec]) -> tuple[Runtime, str]:
    """Return what runs the work of these lanes, not opened yet, and the names of its backends.

    Where all lanes have the same backend it is that one itself: nothing lies between it and the
    loop.

    Args:
        default: backend of lanes that name none; empty for the default of all.
        lanes: of the whole device.

    Raises:
        ConfigError: there is no backend of that name.
        BackendError: what it needs is not there.
    """
    owned = lanes_by_backend(default, lanes)
    made = {name: (create_backend(name), indices) for name, indices in owned.items()}
    names = " + ".join(backend.name for backend, _ in made.values())
    if len(made) == 1:
        ((backend, _),) = made.values()
        return backend, names
    return ComposedBackends(made), names
