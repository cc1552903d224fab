"""Resolves names of topics and services as a ROS node does: made absolute first, then remapped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aegis_ros.errors import ConfigError

__all__ = ["Names", "check_path"]

_PART = r"[A-Za-z_][A-Za-z0-9_]*"
_NODE = re.compile(_PART)
_NAMESPACE = re.compile(rf"/|(/{_PART})+")
_NAME = re.compile(rf"(~/|/)?{_PART}(/{_PART})*")


@dataclass(frozen=True, slots=True)
class Names:
    """How one node resolves names.

    Attributes:
        node: its name, without namespace.
        namespace: absolute.
        remaps: pairs of a name and what takes its place; the first that fits counts.

    Raises:
        ConfigError: a name is none of ROS.
    """

    node: str
    namespace: str = "/"
    remaps: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no node could be called."""
        _check(_NODE, "name", self.node, "letters, digits and underscores")
        check_path("namespace", self.namespace)
        for pair in self.remaps:
            for name in pair:
                _check(_NAME, "remap", name, "names as in --remap image:=/camera/image")

    @property
    def own(self) -> str:
        """Full name of the node."""
        return f"{self.namespace.rstrip('/')}/{self.node}"

    def absolute(self, name: str) -> str:
        """Return a name as it is before it is remapped."""
        if name.startswith("/"):
            return name
        if name.startswith("~"):
            return f"{self.own}{name[1:]}"
        return f"{self.namespace.rstrip('/')}/{name}"

    def resolved(self, name: str) -> str:
        """Return the name that is used on the network."""
        full = self.absolute(name)
        return next(
            (self.absolute(new) for old, new in self.remaps if self.absolute(old) == full), full
        )

    def all(self, *names: str) -> tuple[str, ...]:
        """Return several names, resolved."""
        return tuple(self.resolved(name) for name in names)

    def beside(self, topic: str, names: Iterable[str]) -> tuple[str, ...]:
        """Return the topics beside that of a task's results, which move with it.

        Args:
            topic: declared topic of the results.
            names: what follows it, as ``annotated``.
        """
        found = []
        for name in names:
            declared = f"{topic}/{name}"
            named = self.resolved(declared)
            moved = named != self.absolute(declared)
            found.append(named if moved else f"{self.resolved(topic)}/{name}")
        return tuple(found)


def check_path(where: str, value: str) -> None:
    """Refuse what is no absolute namespace.

    Raises:
        ConfigError: names ``where``.
    """
    _check(_NAMESPACE, where, value, "an absolute one, as /robot1")


def _check(pattern: re.Pattern[str], where: str, value: str, expected: str) -> None:
    if not pattern.fullmatch(value):
        raise ConfigError("no name of ROS", where=where, value=value or "''", expected=expected)
