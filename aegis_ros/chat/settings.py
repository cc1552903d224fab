"""Where chats are served, and how many at a time."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.errors import ConfigError
from aegis_ros.serving import Listening

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Listening):
    """How to serve. Whoever is not on this machine needs a token.

    Attributes:
        requests: most requests at a time, those included that the generators have wait. Each may
            hold two megabytes, and four of them sixteen.
    """

    port: int = 8471
    connections: int = 256
    requests: int = 64

    def __post_init__(self) -> None:
        """Refuse what would not work, or would be less safe than it looks.

        Raises:
            ConfigError: names the field.
        """
        Listening.__post_init__(self)  # super() would look for the class before it had slots
        if not (self.loopback or self.token):
            raise ConfigError(
                "whoever reaches this address could have the robot answer",
                where="host",
                value=self.host,
                expected="127.0.0.1, or a token",
                hint="Name the file of a token with token_file: "
                "(umask 077; openssl rand -hex 16 > ~/.aegis_chat_token)",
            )
