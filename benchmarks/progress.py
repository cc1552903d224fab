"""Shows how far a benchmark is: bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TaskID as Row

__all__ = ["Lines", "Row", "Shown", "progress", "steps"]

_EVERY_S = 10.0
_PIPE_WIDTH = 160
_Item = TypeVar("_Item")


class Shown(Protocol):
    """Where progress is shown, with the methods of ``rich.progress.Progress`` that are used."""

    @property
    def console(self) -> Console:
        """Where else to print meanwhile."""

    def add_task(self, description: str, *, total: float | None = None) -> Row:
        """Begin a step of ``total`` parts; ``None`` where that is not known."""

    def update(
        self, task_id: Row, *, completed: float | None = None, description: str | None = None
    ) -> None:
        """Say how many parts are done, or what is being done now."""

    def advance(self, task_id: Row, advance: float = 1) -> None:
        """Say that so many more parts are done."""

    def remove_task(self, task_id: Row) -> None:
        """End a step."""


class Lines:
    """Prints a line when a step begins or changes, and every ten seconds how far it is.

    Args:
        output: where to.
        clock: seconds.
    """

    def __init__(
        self, output: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without steps."""
        self._output = output or sys.stderr
        self.console = Console(file=self._output, width=_PIPE_WIDTH, no_color=True)
        self._clock = clock
        self._begin = self._said = clock()
        self._steps: list[tuple[str, float, float | None]] = []

    def add_task(self, description: str, *, total: float | None = None) -> Row:
        """Begin a step."""
        self._steps.append((description, 0.0, total))
        if description:
            self._say(description)
        return Row(len(self._steps) - 1)

    def update(
        self, task_id: Row, *, completed: float | None = None, description: str | None = None
    ) -> None:
        """Take down what is said; print a change of what is done at once."""
        text, done, total = self._steps[task_id]
        done = done if completed is None else completed
        self._steps[task_id] = (description or text, done, total)
        changed = description is not None and description != text
        if changed or self._clock() - self._said >= _EVERY_S:
            self._say(self._line(task_id))

    def advance(self, task_id: Row, advance: float = 1) -> None:
        """Take down that so many more parts are done."""
        self.update(task_id, completed=self._steps[task_id][1] + advance)

    def remove_task(self, task_id: Row) -> None:
        """Say nothing more of a step."""

    def _line(self, at: int) -> str:
        text, done, total = self._steps[at]
        return text if total is None else f"{text} ({done:g} of {total:g})"

    def _say(self, text: str) -> None:
        self._said = self._clock()
        print(f"{self._said - self._begin:5.0f} s  {text}", file=self._output, flush=True)


@contextmanager
def progress() -> Iterator[Shown]:
    """Show the progress of what runs in the block on the error output."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as made:
        yield made


def steps(shown: Shown, items: Sequence[_Item] | Iterable[_Item], what: str) -> Iterator[_Item]:
    """Yield the items, and show how many are done."""
    total = len(items) if isinstance(items, Sequence) else None
    row = shown.add_task(what, total=total)
    for item in items:
        yield item
        shown.advance(row)
    shown.remove_task(row)
