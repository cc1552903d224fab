"""Finds the files that are installed beside the nodes (launch, config, DDS profile)."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

__all__ = ["fastdds_profile", "share_file"]


def share_file(relative: str) -> Path:
    """Return an installed file of this package, or its source where nothing is installed.

    Raises:
        FileNotFoundError: neither exists.
    """
    try:
        path = Path(get_package_share_directory("aegis_ros")) / relative
    except PackageNotFoundError:
        path = Path(__file__).resolve().parents[2] / relative
    if not path.exists():
        raise FileNotFoundError(path)
    return path


def fastdds_profile() -> Path:
    """Return the Fast DDS profile with shared memory large enough for images."""
    return share_file("config/fastdds.xml")
