"""Who holds how much memory, by kind, and what that comes to together."""

from aegis_ros.memory.footprint import Footprint, Holding, held, without

__all__ = ["Footprint", "Holding", "held", "without"]
