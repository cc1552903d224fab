"""The same networks, frames and deadlines run in four ways: what admission and EDF are worth."""
