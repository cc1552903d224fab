"""One error that lists several."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.errors import ConfigError

__all__ = ["together"]

_MOST = 20


def together(errors: Sequence[ConfigError], source: str) -> ConfigError:
    """Return the only error, or one that lists all.

    Args:
        errors: at least one.
        source: name of the file they are in.
    """
    if len(errors) == 1:
        return errors[0]
    more = f"\n  and {len(errors) - _MOST} more" if len(errors) > _MOST else ""
    listed = "\n  ".join(str(error) for error in errors[:_MOST])
    return ConfigError(f"{len(errors)} mistakes:\n  {listed}{more}", where=source)
