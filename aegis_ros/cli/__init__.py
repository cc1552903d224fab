"""The commands of `aegis`: what a person asks from a terminal."""
