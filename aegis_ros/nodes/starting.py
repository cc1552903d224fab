"""Has ROS's refusal to start a program end in one sentence instead of a traceback."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.secured import security_refusal, warn_unless_enforced

__all__ = ["argument_refusal", "starting"]

_DOMAIN = "ROS_DOMAIN_ID"
_LAST_DOMAIN = 232  # the ports of the next one do not exist
_LOG = "ROS_LOG_DIR"
_LOG_FOLDERS = (_LOG, "ROS_HOME", "HOME")  # the first that is set is taken
_PARSED = re.compile(
    r"Couldn't parse (?P<kind>[^:]+): '(?P<given>.*?)'\. Error: (?P<why>.*?), at /"
)
_OWN_WORDS = "lexeme"  # of the parser's reasons, which say nothing to others


@contextmanager
def starting() -> Iterator[None]:
    """Explain why ROS does not start, or a node is not made.

    Raises:
        ConfigError: instead of the error of rclpy.
    """
    _check_domain()
    if not any(os.environ.get(name) for name in _LOG_FOLDERS):
        raise _no_log_folder()
    warn_unless_enforced()
    try:
        yield
    except RuntimeError as error:  # what rclpy raises has no name outside of it
        text = str(error)
        # The log first: with security on, everything else looks like a refusal of its own.
        refusal = _log_refusal(text) or argument_refusal(error) or security_refusal(text)
        if refusal is None:
            raise
        raise refusal from error


def _log_refusal(text: str) -> ConfigError | None:
    """Return what is wrong with the folder of the log, if that is what an error is about."""
    if "log directory" not in text and "logging directory" not in text:
        return None
    return _no_log_folder()


def argument_refusal(error: RuntimeError) -> ConfigError | None:
    """Return which argument of ROS cannot be used, if that is what an error of rclpy is about."""
    hint = (
        "After --ros-args stand -p NAME:=VALUE, -r FROM:=TO, --params-file FILE and --log-level "
        "LEVEL"
    )
    kind = type(error).__name__  # what rclpy raises has no name outside of it
    if kind == "UnknownROSArgsError":
        return ConfigError(
            "ROS does not know these arguments", where="--ros-args", value=error, hint=hint
        )
    if kind != "RCLInvalidROSArgsError":
        return None
    found = _PARSED.search(str(error))
    if found is None:
        return ConfigError(f"ROS cannot use its arguments ({error})", where="--ros-args", hint=hint)
    why = "" if _OWN_WORDS in found["why"] else f" ({found['why']})"
    return ConfigError(
        f"the {found['kind']} cannot be used{why}",
        where="--ros-args",
        value=found["given"],
        hint=hint,
    )


def _no_log_folder() -> ConfigError:
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
