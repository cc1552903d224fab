"""Imports what the first admission needs while something else is waited for.

An import holds the interpreter lock for tens of milliseconds at a time, where it loads a library or
reads what was compiled. In the middle of an admission, quick services and frames would wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from aegis_ros.rationale.wording import load_wordings

__all__ = ["preloading"]

_OF_BUDGETS = "scipy.special"
_log = logging.getLogger(__name__)


@contextmanager
def preloading() -> Iterator[None]:
    """Import on a thread of its own meanwhile; leave once that is done."""
    thread = threading.Thread(target=_preload, name="preload", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _preload() -> None:
    try:
        load_wordings()
        import_module(_OF_BUDGETS)
    except Exception as error:  # whoever needs it says so
        _log.debug("not imported before it is needed: %s", error)
