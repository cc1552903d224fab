"""Finds a network's file from its URI, and refuses whatever lies outside the allowed roots."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from aegis_ros.config import expanded
from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.contents import HEAD_BYTES, lfs_pointer
from aegis_ros.network.model_file import ModelFile
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import FileChanged, TooLarge

__all__ = ["MOST_BYTES", "expand_root", "open_model", "resolve_model", "resolve_resource"]

MOST_BYTES = 2 * 1024**3 - 1  # of a message of protocol buffers, which an ONNX file is
_URI = re.compile(
    r"^(?P<scheme>pypi|package)://(?P<owner>[A-Za-z0-9][A-Za-z0-9._-]*)/(?P<path>.+)$"
)


def resolve_model(uri: str, roots: Sequence[str]) -> Path:
    """Return where the file lies that a model URI stands for; see :func:`open_model`.

    Raises:
        ModelError: as :func:`open_model`.
    """
    with open_model(uri, roots) as file:
        return file.path


def open_model(uri: str, roots: Sequence[str]) -> ModelFile:
    """Open the file that a model URI stands for; what is looked at here is the open file.

    Args:
        uri: ``pypi://distribution/path.onnx`` (a file of an installed distribution),
            ``package://ros_package/path.onnx`` or a file path under one of ``roots``.
        roots: allowed folders, as paths or ``package://`` URIs.

    Raises:
        ModelError: code ``model_file`` (absent or unreadable) or ``model_roots`` (not allowed).
    """
    path = resolve_resource(uri, roots)
    # A cache may keep the file under its digest: the name of a link to it counts as well.
    if not {_suffix(uri), path.suffix.lower()} & {".onnx"}:
        raise ModelError(
            "only ONNX files can be loaded",
            where="model",
            value=uri,
            expected="a file that ends in .onnx",
            rule=Rule.MODEL_FILE,
        )
    try:
        file = ModelFile(path)
    except OSError as error:
        raise _unreadable(uri, path, error) from error
    with ExitStack() as undo:
        undo.enter_context(file)
        _check(file, uri)
        undo.pop_all()
    return file


def _check(file: ModelFile, uri: str) -> None:
    """Refuse an open file that is not the one that was found, or seen to be no network."""
    if file.place != file.path or not file.is_regular:
        raise load_error(FileChanged(), ModelError, uri)
    size = file.size
    if size == 0:
        raise ModelError(
            "the file is empty",
            where="model",
            value=uri,
            rule=Rule.MODEL_FILE,
            hint="Copy the file again",
        )
    if size > MOST_BYTES:
        raise load_error(TooLarge(size, MOST_BYTES), ModelError, uri)
    pointer = lfs_pointer(file.head(HEAD_BYTES))
    if pointer is not None:
        raise load_error(pointer, ModelError, uri)


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
        named = folder / relative
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
        named = expanded(uri)
        allowed = _folders(roots)
    path = Path(os.path.realpath(named))
    if not _below(path, allowed):
        if _below(_unlinked(named), allowed):
            raise _leads_out(uri, path)
        raise _outside(uri, roots, path)
    if not path.exists():
        raise ModelError(
            "there is no such file",
            where="model",
            value=uri,
            hint="Check the path (relative paths start in the orchestrator's working directory)",
            rule=Rule.MODEL_FILE,
        )
    if not path.is_file():
        raise ModelError(
            "not a regular file",
            where="model",
            value=uri,
            rule=Rule.MODEL_FILE,
            expected="a readable file",
        )
    if not os.access(path, os.R_OK):
        raise _unreadable(uri, path)
    return path


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


def _suffix(uri: str) -> str:
    return PurePosixPath(uri).suffix.lower()


def _below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _unlinked(path: Path) -> Path:
    """Return where a file lies, links of its folder followed and its own not."""
    return Path(os.path.realpath(path.parent)) / path.name


def _leads_out(uri: str, target: Path) -> ModelError:
    return ModelError(
        f"the file is a link to {target}, which lies outside the folders models may be loaded from",
        where="model",
        value=uri,
        hint=f"Put the file itself there (cp --dereference), or add {target.parent} to "
        "models.roots",
        rule=Rule.MODEL_ROOTS,
    )


def _unreadable(uri: str, path: Path, error: OSError | None = None) -> ModelError:
    reason = f" ({error.strerror})" if error is not None else ""
    return ModelError(
        f"the file cannot be read{reason}",
        where="model",
        value=uri,
        rule=Rule.MODEL_FILE,
        hint=f"Give this user read permission: chmod a+r {path}",
    )


def _outside(uri: str, roots: Sequence[str], place: Path | None = None) -> ModelError:
    # A path that starts in the working directory may not lead where its writer thinks.
    named = "the file" if place is None or uri == str(place) else str(place)
    return ModelError(
        f"{named} lies outside the folders models may be loaded from",
        where="model",
        value=uri,
        expected="a file under " + " or ".join(roots)
        if roots
        else "no file: models.roots is empty",
        hint="Move the file, or add its folder to models.roots",
        rule=Rule.MODEL_ROOTS,
    )
