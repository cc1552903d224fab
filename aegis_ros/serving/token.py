"""Reads the token that clients need, from where no other user or node can read it."""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping

from aegis_ros.config import expanded
from aegis_ros.errors import ConfigError

__all__ = ["read_token"]

_MOST_BYTES = 4096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_token(file: str, variable: str, environment: MutableMapping[str, str]) -> str:
    """Return the token of a file, else of the environment; empty where there is neither.

    A parameter would show it to every node of the ROS domain, a command line to every user.

    Args:
        file: path of the file, empty for none.
        variable: of the environment.
        environment: that of this process; the token is taken out of it, so that no child gets it.

    Raises:
        ConfigError: the file cannot be read, or others can read or change it.
    """
    given = environment.pop(variable, "").strip()
    if not file:
        return given
    path = expanded(file)
    try:
        with open(path, "rb", opener=_at_once) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError("not a file", where="token_file", value=path)
            if mode & _OTHERS:
                raise ConfigError(
                    "others may use the file",
                    where="token_file",
                    value=f"{path}, mode {stat.S_IMODE(mode):o}",
                    expected="mode 600",
                    hint=f"Keep it to yourself: chmod 600 {path}",
                )
            text = opened.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read ({error.strerror or error})",
            where="token_file",
            value=path,
            hint=f"Make one: (umask 077; openssl rand -hex 16 > {path})",
        ) from error
    token = text.decode("ascii", "replace").strip()
    if not token:
        raise ConfigError("the file is empty", where="token_file", value=path)
    return token


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would be waited for
