"""Where in a file a key stands, for mistakes that are found after the file was read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from aegis_ros.errors import AegisError, ConfigError

__all__ = ["Places"]

_KNOWN = {("device",), ("models",), ("tasks",), ("generators",)}  # keys that a file may leave out
_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_LEADING_KEY = re.compile(r"([a-z_]\w*(?:\.\w+|\[\d+\])*): ")


class Places:
    """The lines of a file's keys.

    Args:
        source: name of the file; empty for none.
        lines: line of each path, from :func:`read_yaml`.
        tasks: names of its tasks, in their order.
        generators: names of its generators, in their order.
    """

    def __init__(
        self,
        source: str = "",
        lines: Mapping[tuple[str | int, ...], int] | None = None,
        tasks: Sequence[str] = (),
        generators: Sequence[str] = (),
    ) -> None:
        """Keep them."""
        self._source = source
        self._lines = dict(lines or {})
        self._entries = {name: f"generators[{index}]" for index, name in enumerate(generators)}
        self._entries |= {name: f"tasks[{index}]" for index, name in enumerate(tasks)}

    def of(self, key: str) -> str:
        """Return ``robot.yaml:7: tasks[0].period_ms`` of ``tasks[0].period_ms``.

        Args:
            key: path of a key; the line is that of the longest part of it that the file has.
        """
        path = _path(key)
        found = (path[:end] for end in range(len(path), 0, -1))
        line = next((self._lines[each] for each in found if each in self._lines), None)
        place = self._source if line is None else f"{self._source}:{line}"
        return ": ".join(filter(None, (place, key)))

    def of_task(self, task: str) -> str:
        """Return ``robot.yaml:7: tasks[0]`` of a name; empty for a task of no file.

        Args:
            task: name of a task or of a generator.
        """
        return self.of(self._entries[task]) if task in self._entries else ""

    def refused(self, task: str, problem: str) -> ConfigError:
        """Return what keeps a task or a generator from running as an error at its place.

        Args:
            task: its name.
            problem: a sentence; one that begins with a key of the task is of that key.
        """
        if task not in self._entries:
            return ConfigError(problem, where=task)
        key = self._entries[task]
        named = _LEADING_KEY.match(problem)
        # A word with a colon may be no key; one of the file is, and so is a path such as a.b.
        if named and (_path(f"{key}.{named[1]}") in self._lines or not named[1].isidentifier()):
            key, problem = f"{key}.{named[1]}", problem[named.end() :]
        return ConfigError(problem, where=f"{self.of(key)} ({task})")

    def located(self, error: AegisError) -> AegisError:
        """Return an error that names a key of the file with file and line, any other as it is."""
        first = _path(error.where)[:1]
        if not first or (first not in self._lines and first not in _KNOWN):
            return error
        return error.at(self.of(error.where))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Have errors that name a key of the file name file and line, too."""
        try:
            yield
        except AegisError as error:
            located = self.located(error)
            if located is error:
                raise
            raise located from error


def _path(key: str) -> tuple[str | int, ...]:
    """Return the path of a key; empty where the text is none."""
    parts: list[str | int] = []
    end = 0
    for part in _PART.finditer(key):
        if part.start() != end:
            return ()
        parts.append(part[1] if part[2] is None else int(part[2]))
        end = part.end()
    return tuple(parts) if end == len(key) else ()
