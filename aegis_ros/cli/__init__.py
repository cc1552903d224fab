"""The commands of `aegis`, one module each."""
