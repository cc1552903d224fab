"""Where something is served, and how much of it a client may hold."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from aegis_ros.errors import ConfigError

__all__ = ["Listening"]

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How to serve.

    Attributes:
        host: address to listen on.
        port: port to listen on, 0 for any free one.
        token: what a request that needs one must carry; empty: there is none.
        connections: most connections at a time.
        request_s: seconds in which a request must be whole, and a client must read on.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    connections: int = 64
    request_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what would not work, or would be less safe than it looks.

        Raises:
            ConfigError: names the field.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError("no port", where="port", value=self.port, expected="0..65535")
        if self.token and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            raise ConfigError(
                "the token can be guessed",
                where="token",
                expected=f"at least {_SHORTEST_TOKEN} ASCII characters",
                hint="Make one: openssl rand -hex 16",
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
