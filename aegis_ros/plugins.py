"""Finds plug-ins by name: ours, and those that other distributions offer as entry points.

Ours are listed here by code as well as in setup.py, so that they are found in a checkout that is
not installed; what another distribution offers under one of our names is never used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aegis_ros.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Plugins"]


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plug-ins of one kind.

    Attributes:
        kind: what they are, for people: ``backend``.
        group: entry point group.
        where: key of the configuration that names one.
        ours: ``module:attribute`` of each that comes with the package, by name.
        instead: by a word in lower case that people write for a name, what to do; of ``gpu:0`` and
            ``gpu.0``, the word is ``gpu``.
    """

    kind: str
    group: str
    where: str
    ours: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return the names of all that can be had, sorted."""
        return tuple(sorted({*self.ours, *(point.name for point in _entry_points(self.group))}))

    def load(self, name: str, where: str = "") -> Any:
        """Return what a plug-in's entry point names: its class or another factory.

        Args:
            name: of the plug-in.
            where: key that names it; empty for that of the kind.

        Raises:
            ConfigError: there is none of that name.
            Exception: whatever the import of another's module raises.
        """
        target = self.ours.get(name)
        if target is not None:
            module, _, attribute = target.partition(":")
            return getattr(import_module(module), attribute)
        for point in _entry_points(self.group):
            if point.name == name:
                return point.load()
        names = self.names()
        instead = self.instead.get(name.lower().partition(":")[0].partition(".")[0], "")
        close = difflib.get_close_matches(name, names, 1)
        offer = f"install a distribution that offers it (entry point group {self.group})"
        raise ConfigError(
            f"there is no such {self.kind}",
            where=where or self.where,
            value=name,
            expected="one of " + ", ".join(names),
            hint=instead
            or (f"Did you mean {close[0]!r}? Or {offer}" if close else offer.capitalize()),
        )


def _entry_points(group: str) -> Iterable[EntryPoint]:
    """Return what installed distributions offer."""
    # The engine process, which a robot waits for, mostly needs no other distribution's.
    from importlib.metadata import entry_points

    return entry_points(group=group)
