"""What is known of a network whose decoder is looked for, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aegis_ros.network.tensor import TensorInfo

__all__ = ["Clues", "Guess"]


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of a network.

    Attributes:
        outputs: in the file's order; extents that are not known are names.
        size: height and width of the input in pixels, where it is an image of a known size.
        metadata: the file's own.
        made_by: operator that computes each output; those that only move numbers are skipped.
        words: names that may say what the network is (file, graph, producer), lower case.
    """

    outputs: tuple[TensorInfo, ...]
    size: tuple[int, int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    made_by: Mapping[str, str] = field(default_factory=dict)
    words: str = ""

    def says(self, *words: str) -> bool:
        """Whether a name of file, producer or output has one of the words in it."""
        names = " ".join((self.words, *(item.name.lower() for item in self.outputs)))
        return any(word in names for word in words)

    def of_rank(self, *ranks: int) -> list[TensorInfo]:
        """Return the outputs of some ranks."""
        return [item for item in self.outputs if len(item.shape) in ranks]

    def cells(self, strides: Iterable[int]) -> int:
        """Return how many cells the grids of these strides have; 0 where the size is not known."""
        if self.size is None:
            return 0
        height, width = self.size
        return sum(-(-height // stride) * -(-width // stride) for stride in strides)

    def ends_in(self, name: str, *operators: str) -> bool:
        """Whether an output is computed by one of the operators."""
        return self.made_by.get(name, "") in operators


@dataclass(frozen=True, slots=True)
class Guess:
    """A decoder that may read a network.

    Attributes:
        decoder: its name.
        options: that differ from its defaults.
        why: what it was recognised by.
        sure: whether nothing else has outputs like these.
        recipe: key of the likely preprocessing; empty where nothing is known of it.
    """

    decoder: str
    options: Mapping[str, object]
    why: str
    sure: bool = True
    recipe: str = ""
