"""What a helper opens for a test is given back with it, or with the module that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["give_back_at_the_end", "giving_back"]

_around: list[ExitStack] = []  # a module, and the test of it that runs


@contextmanager
def giving_back() -> Iterator[None]:
    """Give back at the end what is opened meanwhile, last things first."""
    with ExitStack() as opened:
        _around.append(opened)
        try:
            yield
        finally:
            _around.pop()


def give_back_at_the_end(give_back: Callable[[], object]) -> None:
    """Have a function called at the end of the test or module; in a program there is no such end.

    Args:
        give_back: may be called after the test has done the same itself.
    """
    if _around:
        _around[-1].callback(give_back)
