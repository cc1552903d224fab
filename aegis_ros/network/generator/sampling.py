"""Chooses the next token from logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import BackendError, ConfigError

__all__ = ["Sampler", "Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: 0 takes the most likely one, 1 draws as the model was trained; up to 10.
        top_p: draw from the most likely tokens that together have this probability, above 0 up
            to 1.
        seed: of the draws; the same one repeats an answer.

    Raises:
        ConfigError: a value is out of its range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, valid, expected in (
            ("temperature", 0 <= self.temperature <= 10, "0 to 10"),
            ("top_p", 0 < self.top_p <= 1, "above 0, at most 1"),
            ("seed", 0 <= self.seed < 2**64, "0 to 2^64 - 1"),
        ):
            if not valid:
                raise ConfigError(
                    "out of range", where=name, value=getattr(self, name), expected=expected
                )


class Sampler:
    """Draws token after token; two with the same settings draw the same from the same logits."""

    def __init__(self, sampling: Sampling) -> None:
        """Begin with the seed."""
        self._sampling = sampling
        self._random = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """Return a token.

        Args:
            logits: float32 [vocabulary].

        Raises:
            BackendError: they hold no finite numbers.
        """
        if not np.isfinite(logits).all():
            raise BackendError(
                "the model computes logits that are no finite numbers",
                where="logits",
                hint="Prepare the model with --precision float32",
            )
        if self._sampling.temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64) / self._sampling.temperature
        weights = np.exp(scaled - scaled.max())
        order = np.argsort(-weights, kind="stable")
        sums = np.cumsum(weights[order])
        # The first tokens whose probability reaches top_p, at least one.
        kept = int(np.searchsorted(sums, self._sampling.top_p * sums[-1])) + 1
        kept = min(kept, len(order))
        drawn = self._random.random() * sums[kept - 1]
        return int(order[min(int(np.searchsorted(sums[:kept], drawn, "right")), kept - 1)])
