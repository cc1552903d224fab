"""Starts the engine process. Run by the client; not meant to be run by hand.

A robot waits here after a crash, so that what is imported counts.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Serve one node until it goes away."""
    gc.disable()  # what is left over is collected once all is imported
    _import_msgspec()
    from aegis_ros.engine.server.process import serve

    serve(sys.argv[1])


def _import_msgspec() -> None:
    """Import msgspec without typing_extensions.

    It takes from there what ``typing`` has had since Python 3.11, and that takes a tenth of the
    time of all imports.
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import msgspec  # noqa: F401
    except ImportError:  # this version cannot do without
        pass
    finally:
        del sys.modules["typing_extensions"]


if __name__ == "__main__":
    main()
