"""Has ROS's refusal to start a program end in one sentence instead of a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.secured import security_refusal, warn_unless_enforced

__all__ = ["starting"]

_DOMAIN = "ROS_DOMAIN_ID"
_LAST_DOMAIN = 232  # the ports of the next one do not exist
_LOG = "ROS_LOG_DIR"


@contextmanager
def starting() -> Iterator[None]:
    """Explain why ROS does not start, or a node is not made.

    Raises:
        ConfigError: instead of the error of rclpy.
    """
    _check_domain()
    warn_unless_enforced()
    try:
        yield
    except RuntimeError as error:  # what rclpy raises has no name outside of it
        text = str(error)
        # The log first: with security on, everything else looks like a refusal of its own.
        refusal = _log_refusal(text) or security_refusal(text)
        if refusal is None:
            raise
        raise refusal from error


def _log_refusal(text: str) -> ConfigError | None:
    """Return what is wrong with the folder of the log, if that is what an error is about."""
    if "log directory" not in text and "logging directory" not in text:
        return None
    return ConfigError(
        "the folder for ROS's log cannot be created",
        where=_LOG if os.environ.get(_LOG) else "HOME",
        value=os.environ.get(_LOG) or os.environ.get("HOME") or "nothing",
        hint=f"Set {_LOG} to a folder that can be written to",
    )


def _check_domain() -> None:
    given = os.environ.get(_DOMAIN, "")
    try:
        possible = not given or 0 <= int(given) <= _LAST_DOMAIN
    except ValueError:
        possible = False
    if not possible:
        raise ConfigError(
            "no ROS domain",
            where=_DOMAIN,
            value=given,
            expected=f"a whole number from 0 to {_LAST_DOMAIN}",
            hint="Take one below 102: the ports of higher ones may be in use by other programs",
        )
