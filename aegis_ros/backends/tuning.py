"""What a backend offers that can search for a faster way to compute a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from aegis_ros.backends.progress import Progress

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = ["Tuned", "Tunes"]


class Tuned(msgspec.Struct, frozen=True):
    """What a search found.

    Attributes:
        kernels: how many the network has that can be computed in several ways.
        timed: how many ways were timed.
        before_ns, after_ns: what those kernels take in one run, as they would be computed without
            the search, and as they will be.
    """

    kernels: int = 0
    timed: int = 0
    before_ns: int = 0
    after_ns: int = 0


class Tunes(Protocol):
    """A backend whose :attr:`~aegis_ros.backends.base.Capabilities.tunes` is true."""

    def tune(
        self, prepared: PreparedNetwork, cache_dir: Path, seconds: float, report: Progress
    ) -> Tuned:
        """Time ways to compute a network on this machine, and keep the fastest for ``compile``.

        Numbers stay within what is tolerated of every build. What an earlier search has kept is
        where this one begins; one that is interrupted keeps nothing of its own.

        Args:
            prepared: the network.
            cache_dir: as for ``compile``.
            seconds: how long to search; loading and building come on top.
            report: called with what was found so far, and the part of the time that has passed.

        Raises:
            BackendError: the runtime cannot take the network.
        """
        ...
