"""Memory by kind: the footprint of each task, and of all together."""

from aegis_ros.memory.footprint import Footprint, Holding, held, without
from aegis_ros.memory.kv_cache import KvCache, KvShape, Reserved

__all__ = ["Footprint", "Holding", "KvCache", "KvShape", "Reserved", "held", "without"]
