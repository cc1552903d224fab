"""The same networks on each runtime that computes on processor cores."""
