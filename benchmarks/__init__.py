"""What is timed: each package is a benchmark, and ``python -m benchmarks`` runs all quick ones."""
