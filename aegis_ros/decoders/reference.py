"""Writes the tables in docs/decoders.md from what the decoders declare.

``python -m aegis_ros.decoders.reference FILE …`` renews every table that stands between a line
``<!-- keys of boxes -->``, or of ``exports``, and a line ``<!-- end of keys -->``; ``--check`` only
says whether all of them are up to date (exit code 1 if not).
"""

from __future__ import annotations

import sys

from aegis_ros.config.reference import renewed_from, run, table
from aegis_ros.decoders import exports
from aegis_ros.decoders.registry import options_of

__all__ = ["renewed"]


def renewed(text: str) -> str:
    """Return a page with all its tables as the decoders declare them.

    Raises:
        KeyError: a table is asked for that no decoder declares.
    """
    return renewed_from(text, _made)


def _made(name: str) -> str:
    if name == "exports":
        return exports.table()
    options = options_of(name)
    if options is None:
        raise KeyError(name)
    return table(options)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], renewed))
