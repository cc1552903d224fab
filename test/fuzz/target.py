"""The seam: what is attacked, with what, and what must hold."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aegis_ros.errors import AegisError
from test.fuzz import targets

__all__ = ["MIB", "SEEDS", "Limits", "Target", "Try", "answered", "load", "names", "words"]

MIB = 1024 * 1024
SEEDS = Path(__file__).parent / "seeds"
_WORDS = Path(__file__).parent / "words"
_MOST_SAID = 64 * 1024  # characters of a refusal: it is logged, published and recorded

Try = Callable[[bytes], bool]
"""Works on one input; returns whether it was taken, and raises where something does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one input may cost.

    Attributes:
        seconds: longest time; it may be above that once where the machine is busy, not each time.
        memory_bytes: most memory that this process may grow by.
    """

    seconds: float = 1.0
    memory_bytes: int = 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One way in for strangers.

    Attributes:
        name: of its module.
        title: what is attacked, for the table.
        seeds: the inputs that others are made from; the first is good.
        mutate: makes an input from the seeds.
        opened: prepares a scratch folder, and gives what works on one input.
        limits: what an input may cost.
        weight: how many of the inputs it gets in a run of several targets.
        brief: inputs of a run among the tests.
        reads: further files and folders that may be opened; ``~`` is the scratch folder.
    """

    name: str
    title: str
    seeds: Callable[[], Sequence[bytes]]
    mutate: Callable[[Sequence[bytes], Random], bytes]
    opened: Callable[[Path], AbstractContextManager[Try]]
    limits: Limits = Limits()
    weight: float = 1.0
    brief: int = 200
    reads: tuple[str, ...] = ()

    def input(self, seeds: Sequence[bytes], seed: int, number: int) -> bytes:
        """Return an input by its number: first the seeds as they are, then what is made of them.

        Args:
            seeds: what :attr:`seeds` returned.
            seed: of the run.
            number: from 0.
        """
        if number < len(seeds):
            return seeds[number]
        return self.mutate(seeds, Random(f"{seed}/{self.name}/{number}"))


def answered(work: Callable[[], object], *refusals: type[AegisError]) -> bool:
    """Work on an input; return whether it was taken, ``False`` where it was refused in our words.

    Args:
        work: raises one of ``refusals``, and nothing else, where it refuses the input.
        refusals: errors of ours that are an answer.
    """
    try:
        work()
    except refusals as error:
        said = str(error)
        assert len(said) <= _MOST_SAID, f"a refusal of {len(said):,} characters"
        return False
    return True


def words(name: str) -> tuple[str, ...]:
    """Return what a format knows: the lines of a file in the folder ``words``."""
    return tuple((_WORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines())


def names() -> tuple[str, ...]:
    """Return the names of all targets: one module each."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(targets.__path__)))


def load(name: str) -> Target:
    """Return a target.

    Raises:
        ImportError: something that it needs is not installed (ROS 2, an extra).
    """
    found = importlib.import_module(f"test.fuzz.targets.{name}").TARGET
    assert isinstance(found, Target) and found.name == name
    return found
