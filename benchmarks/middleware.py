"""The Fast DDS profile that every process of a benchmark uses."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["use_profile"]


def use_profile() -> None:
    """Have this process, and those that it starts, use the profile of this checkout.

    What is installed may be older than the code that is measured.
    """
    profile = Path(__file__).parents[1] / "config" / "fastdds.xml"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(profile)
