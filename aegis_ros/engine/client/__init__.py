"""The node's side of the engine: requests, jobs in flight, and a supervisor that keeps it alive."""

from aegis_ros.engine.client.client import EngineClient

__all__ = ["EngineClient"]
