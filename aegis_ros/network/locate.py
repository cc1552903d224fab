"""Finds a network's file from its URI, and refuses whatever lies outside the allowed roots."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from aegis_ros.config import expanded
from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.contents import HEAD_BYTES, lfs_pointer, other_contents
from aegis_ros.network.installed import InstalledFile, installed_file
from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.outline import is_outline_of_network
from aegis_ros.network.ros_packages import linked_source, share_folder
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import FileChanged, TooLarge
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit

__all__ = ["MOST_BYTES", "ONNX", "expand_root", "open_model", "resolve_model", "resolve_resource"]

MOST_BYTES = 2 * 1024**3 - 1  # of a message of protocol buffers, which an ONNX file is
_SLOW_BYTES = 64 * 1024**2  # to hash and to read in a child takes tenths of a second, and more
_SLOWER_BYTES = 512 * 1024**2  # to hash takes longer than to start a child that looks at it before
_LOOK_SECONDS = 60.0
ONNX = ".onnx"
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


def open_model(uri: str, roots: Sequence[str], suffixes: Collection[str] = (ONNX,)) -> ModelFile:
    """Open the file that a model URI stands for; what is looked at here is the open file.

    Args:
        uri: ``pypi://distribution/path.onnx`` (a file of an installed distribution, which must be
            what was installed where that recorded a digest),
            ``package://ros_package/path.onnx`` or a file path under one of ``roots``.
        roots: allowed folders, as paths or ``package://`` URIs.
        suffixes: kinds of file that are asked for.

    Raises:
        ModelError: code ``model_file`` (absent or unreadable), ``model_roots`` (not allowed) or
            ``model_digest`` (not what was installed).
    """
    path, installed = _located(uri, roots)
    # A cache may keep the file under its digest: the name of a link to it counts as well.
    if not {_suffix(uri), path.suffix.lower()} & set(suffixes):
        kinds = " and ".join(sorted(each.removeprefix(".").upper() for each in suffixes))
        raise ModelError(
            f"only {kinds} files can be loaded",
            where="model",
            value=uri,
            expected="a file that ends in " + " or ".join(sorted(suffixes)),
            rule=Rule.MODEL_FILE,
        )
    try:
        file = ModelFile(path)
    except OSError as error:
        raise _unreadable(uri, path, error) from error
    with ExitStack() as undo:
        undo.enter_context(file)
        _check(file, uri, installed)
        undo.pop_all()
    return file


def _check(file: ModelFile, uri: str, installed: InstalledFile | None) -> None:
    """Refuse an open file that is not what was found or installed, or is seen to be no network."""
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
    is_onnx = ONNX in {_suffix(uri), file.path.suffix.lower()}
    if is_onnx and size > MOST_BYTES:
        raise load_error(TooLarge(size, MOST_BYTES), ModelError, uri)
    head = file.head(HEAD_BYTES)
    pointer = lfs_pointer(head)
    if pointer is not None:
        raise load_error(pointer, ModelError, uri)
    if is_onnx and size > _SLOW_BYTES and not is_outline_of_network(file.descriptor, size):
        raise load_error(other_contents(head), ModelError, file.path.name)
    if is_onnx and size > _SLOWER_BYTES:
        run_child(
            "aegis_ros.network.validity_child",
            {"source": str(file.path), "descriptor": file.descriptor},
            allowed=Containment(memory_bytes=memory_limit(0)),
            timeout_s=_LOOK_SECONDS,
            subject=file.path.name,
            descriptors=(file.descriptor,),
        )
    if installed is None or not installed.algorithm:
        return
    if not file.matches(installed.algorithm, installed.digest):
        raise ModelError(
            f"the file is not the one that the distribution {installed.distribution!r} installed",
            where="model",
            value=uri,
            rule=Rule.MODEL_DIGEST,
            hint=f"Restore it: pip install --force-reinstall {installed.distribution}. One that "
            "was changed on purpose belongs into a folder of models.roots",
        )


def resolve_resource(uri: str, roots: Sequence[str]) -> Path:
    """Return the existing regular file a URI stands for, with all symbolic links followed.

    Raises:
        ModelError: code ``model_file`` (absent or unreadable) or ``model_roots`` (not allowed).
    """
    return _located(uri, roots)[0]


def _located(uri: str, roots: Sequence[str]) -> tuple[Path, InstalledFile | None]:
    """Return the file, and what its distribution recorded of it if it belongs to one."""
    if not uri or "\x00" in uri or len(uri) > 4096:
        raise ModelError(
            "not a file name",
            where="model",
            value=repr(uri[:60]),
            rule=Rule.MODEL_FILE,
            expected="pypi://dist/path, package://pkg/path or a path",
        )
    match = _URI.match(uri)
    allowed = _folders(roots)
    installed = None
    if match:
        relative = PurePosixPath(match["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise _outside(uri, [f"{match['scheme']}://{match['owner']}"])
        if match["scheme"] == "pypi":
            installed = installed_file(match["owner"], relative, uri)
            named = installed.path
            allowed = [Path(os.path.realpath(installed.folder)), *allowed]
        else:
            named = _share(match["owner"], uri) / relative
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
    path = Path(os.path.realpath(named))
    if not _below(path, allowed):
        place = _unlinked(named)
        if not _below(place, allowed):
            raise _outside(uri, roots, path)
        source = linked_source(place)
        if source is None or not path.is_relative_to(source):
            raise _leads_out(uri, path)
    if not os.path.exists(path):  # also where its name is too long to ask for
        raise ModelError(
            "there is no such file",
            where="model",
            value=uri,
            hint="Check the path (a relative one starts where this program was started)",
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
    return path, installed


def expand_root(root: str) -> Path | None:
    """Return the folder an allowed root stands for, ``None`` where its package is absent."""
    match = re.match(r"^package://(?P<owner>[^/]+)/?(?P<path>.*)$", root)
    if not match:
        return Path(os.path.realpath(expanded(root)))
    folder = share_folder(match["owner"])
    return None if folder is None else Path(os.path.realpath(folder / match["path"]))


def _folders(roots: Sequence[str]) -> list[Path]:
    return [folder for root in roots if (folder := expand_root(root)) is not None]


def _share(owner: str, uri: str) -> Path:
    folder = share_folder(owner)
    if folder is None:
        raise ModelError(
            f"no ROS package named {owner!r} is installed",
            where="model",
            value=uri,
            hint=f"Build and source the ROS package {owner}",
            rule=Rule.MODEL_FILE,
        )
    return Path(os.path.realpath(folder))


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
