"""Finds a file that an installed distribution recorded, and the digest it was recorded with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path, PurePosixPath

from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

__all__ = ["InstalledFile", "installed_file"]

_STRONG = ("sha256", "sha384", "sha512")  # a RECORD may hold others, which prove nothing


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file that a distribution's RECORD lists.

    Attributes:
        distribution: its name.
        path: where it was installed; links are not followed.
        folder: of the top-level package that it belongs to.
        algorithm: of the digest, as :mod:`hashlib` names it; empty where RECORD has none.
        digest: in URL-safe base64.
    """

    distribution: str
    path: Path
    folder: Path
    algorithm: str
    digest: str


def installed_file(name: str, relative: PurePosixPath, uri: str) -> InstalledFile:
    """Return a file of a distribution; what merely lies where Python imports from is none.

    Args:
        name: of the distribution.
        relative: place inside its top-level package.
        uri: what was asked for, for messages.

    Raises:
        ModelError: code ``model_file``: no such distribution is installed, or it has no such file.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise _refused(
            f"no distribution named {name!r} is installed", uri, f"Install it: pip install {name}"
        ) from error
    if found.read_text("RECORD") is None:
        raise _refused(
            f"nothing records which files belong to the distribution {name!r}",
            uri,
            "Install it with pip, or name the file by its path and add its folder to models.roots",
        )
    own = name.replace("-", "_").lower()
    entries = sorted(
        (entry for entry in found.files or () if _is_inside(entry, relative)),
        key=lambda entry: (entry.parts[0].lower() != own, entry.parts[0]),
    )
    if not entries:
        raise _refused(
            f"the distribution {name!r} has not installed such a file",
            uri,
            f"See which it has: pip show --files {name}. Of an editable installation, name the "
            "path, and add its folder to models.roots",
        )
    return _described(name, found, entries[0])


def _is_inside(entry: PackagePath, relative: PurePosixPath) -> bool:
    top, *inside = entry.parts
    return tuple(inside) == relative.parts and not (
        top in ("/", "..") or top.endswith((".dist-info", ".data"))
    )


def _described(name: str, found: Distribution, entry: PackagePath) -> InstalledFile:
    recorded = entry.hash if entry.hash is not None and entry.hash.mode in _STRONG else None
    return InstalledFile(
        name,
        Path(str(found.locate_file(entry))),
        Path(str(found.locate_file(entry.parts[0]))),
        "" if recorded is None else recorded.mode,
        "" if recorded is None else recorded.value,
    )


def _refused(problem: str, uri: str, hint: str) -> ModelError:
    return ModelError(problem, where="model", value=uri, hint=hint, rule=Rule.MODEL_FILE)
