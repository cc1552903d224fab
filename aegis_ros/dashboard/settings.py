"""Where the page is served, and what may be done on it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.errors import ConfigError
from aegis_ros.serving import Listening

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Listening):
    """How to serve; without a token, nothing can be changed.

    Attributes:
        target: name of the orchestrator, shown on the page and on every metric.
        page: serve the page.
        metrics: serve ``/metrics``.
        batch_s: seconds between two batches of news.
        readers: most browsers at a time.
    """

    port: int = 8470
    target: str = "/orchestrator"
    page: bool = True
    metrics: bool = False
    batch_s: float = 0.25
    readers: int = 16

    def __post_init__(self) -> None:
        """Refuse what would not work, or would be less safe than it looks.

        Raises:
            ConfigError: names the field.
        """
        Listening.__post_init__(self)  # super() would look for the class before it had slots
        if not 0.05 <= self.batch_s <= 10.0:
            raise ConfigError(
                "out of range", where="batch_s", value=self.batch_s, expected="0.05..10 s"
            )
        if not (self.page or self.metrics):
            raise ConfigError("nothing to serve", where="page", hint="Set page or metrics to true")
