"""Guesses which decoder reads a network, from its outputs, its names and what its file says."""

from __future__ import annotations

from aegis_ros.decoders.guessing.clues import Clues, Guess
from aegis_ros.decoders.guessing.named import NAMED
from aegis_ros.decoders.guessing.recipes import RECIPES, SIZES, Recipe
from aegis_ros.decoders.guessing.shaped import SHAPED

__all__ = ["RECIPES", "SIZES", "Clues", "Guess", "Recipe", "guess"]


def guess(clues: Clues) -> Guess:
    """Return the likeliest decoder; ``raw`` where nothing is recognised."""
    for rule in (*NAMED, *SHAPED):
        found = rule(clues)
        if found is not None:
            return found
    return Guess("raw", {}, "no decoder is known for these outputs", sure=False)
