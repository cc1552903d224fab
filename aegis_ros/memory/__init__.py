"""Memory by kind: the footprint of each task, and of all together."""

from aegis_ros.memory.footprint import Footprint, Holding, held, without

__all__ = ["Footprint", "Holding", "held", "without"]
