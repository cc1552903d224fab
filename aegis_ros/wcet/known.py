"""What planning reads of profiles: a store, or what was read of it."""

from __future__ import annotations

from typing import Protocol

from aegis_ros.memory import Taken
from aegis_ros.wcet.profile import Profile, ProfileKey

__all__ = ["KnownMemory", "KnownProfiles", "RememberedProfiles"]


class KnownProfiles(Protocol):
    """Returns what was measured."""

    def get(self, key: ProfileKey) -> Profile | None:
        """Return all that was measured for a key, ``None`` if nothing was."""
        ...


class KnownMemory(KnownProfiles, Protocol):
    """Returns what was measured, of times and of memory."""

    def taken(self, key: ProfileKey) -> Taken | None:
        """Return what a network took in memory, ``None`` if that was not measured."""
        ...


class RememberedProfiles:
    """Asks a store for each key once: for a search that asks thousands of times.

    Args:
        profiles: where they are kept.
    """

    def __init__(self, profiles: KnownProfiles) -> None:
        """Remember nothing yet."""
        self._profiles = profiles
        self._known: dict[ProfileKey, Profile | None] = {}

    def get(self, key: ProfileKey) -> Profile | None:
        """Return all that was measured for a key when it was first asked for."""
        if key not in self._known:
            self._known[key] = self._profiles.get(key)
        return self._known[key]

    def forget(self) -> None:
        """Ask again: something was measured."""
        self._known.clear()
