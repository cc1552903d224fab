"""Gives every test process a ROS domain that no other one has."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Domain", "own_domain"]


class Domain(NamedTuple):
    """A domain that is taken.

    Attributes:
        number: of the domain.
        lock: descriptor; it is taken until every process that has it open has ended.
    """

    number: int
    lock: int


def own_domain(domains: Sequence[int], folder: Path | None = None) -> Domain:
    """Return a domain that is this process' own until it ends; also if it is killed.

    Args:
        domains: to choose from.
        folder: where the locks are, by default one that all test processes of this user share.

    Raises:
        RuntimeError: all are taken.
    """
    place = folder or Path(tempfile.gettempdir()) / f"aegis_test_domains_{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    for domain in domains:
        lock = os.open(place / str(domain), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return Domain(domain, lock)
    raise RuntimeError(f"all of {len(domains)} ROS domains for tests are taken ({place})")
