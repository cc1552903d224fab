"""Where the page is served, and what may be done on it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from aegis_ros.errors import ConfigError

__all__ = ["Settings"]

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        target: name of the orchestrator, shown on the page and on every metric.
        host: address to listen on.
        port: port to listen on, 0 for any free one.
        token: what a request that changes something must carry; empty: nothing can be changed.
        page: serve the page.
        metrics: serve ``/metrics``.
        batch_s: seconds between two batches of news.
        readers: most browsers at a time.
        connections: most connections at a time.
        request_s: seconds in which a request must be whole, and a client must read on.
    """

    target: str = "/orchestrator"
    host: str = "127.0.0.1"
    port: int = 8470
    token: str = ""
    page: bool = True
    metrics: bool = False
    batch_s: float = 0.25
    readers: int = 16
    connections: int = 64
    request_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what would not work, or would be less safe than it looks.

        Raises:
            ConfigError: names the field.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError("no port", where="port", value=self.port, expected="0..65535")
        if not 0.05 <= self.batch_s <= 10.0:
            raise ConfigError(
                "out of range", where="batch_s", value=self.batch_s, expected="0.05..10 s"
            )
        if self.token and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            raise ConfigError(
                "the token can be guessed",
                where="token",
                expected=f"at least {_SHORTEST_TOKEN} ASCII characters",
                hint="Make one: openssl rand -hex 16",
            )
        if not (self.page or self.metrics):
            raise ConfigError("nothing to serve", where="page", hint="Set page or metrics to true")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
