"""Finds the folders of ROS packages: what they share, and what that was linked from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["linked_source", "share_folder"]

_MANIFEST = "package.xml"


def share_folder(name: str) -> Path | None:
    """Return the folder of shared files of a package, ``None`` where it is not installed."""
    if name == "aegis_ros":
        return Path(__file__).resolve().parents[1]
    for prefix in _prefixes():
        if (prefix / "share/ament_index/resource_index/packages" / name).exists():
            return prefix / "share" / name
    return None


def linked_source(place: Path) -> Path | None:
    """Return the source folder of the package that shares a file, if it was linked to it.

    ``colcon build --symlink-install`` links what a package installs to its source, its manifest
    included. Whoever could forge that link has the package's programs in hand, too.

    Args:
        place: of the file, links of its folder followed and its own not.

    Returns:
        ``None`` where no package shares the file, or the package was copied.
    """
    for prefix in _prefixes():
        share = Path(os.path.realpath(prefix / "share"))
        if not place.parent.is_relative_to(share) or place.parent == share:
            continue
        manifest = share / place.relative_to(share).parts[0] / _MANIFEST
        source = Path(os.path.realpath(manifest))
        if manifest.is_symlink() and source.is_file() and source.name == _MANIFEST:
            return source.parent
    return None


def _prefixes() -> Iterator[Path]:
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix)
