"""What a language model is asked where it is to be busy all the time."""

from __future__ import annotations

import numpy as np

__all__ = ["lengths"]

_PART = 16  # of a context


def lengths(chance: np.random.Generator, context: int) -> tuple[int, int]:
    """Return tokens of a prompt and of its answer.

    They are short, so that a turn in which little time is left for the model has many of them, too,
    and spends no more of that time on prompts than any other.
    """
    most = max(3, context // _PART)
    return int(chance.integers(2, most)), int(chance.integers(1, most))
