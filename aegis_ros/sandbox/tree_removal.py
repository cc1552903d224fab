"""Removes a folder with all that is in it, however deep a stranger has nested it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_tree"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it; links are removed, not followed.

    :func:`shutil.rmtree` calls itself, and holds a descriptor, for each level: a thousand of them
    end it. Here, a folder with others in it hands those to the top, so that none is ever deeper
    than two levels and no path ever long.

    Args:
        folder: nobody else changes it meanwhile; nothing happens where it is gone.

    Raises:
        OSError: a part cannot be removed; it and what is left lie in ``folder``.
    """
    try:
        top = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return
    try:
        os.fchmod(top, 0o700)
        while inner := _emptied(top):
            for name in inner:
                _flatten(name, top)
    finally:
        os.close(top)
    with suppress(FileNotFoundError):
        folder.rmdir()


def _flatten(name: str, top: int) -> None:
    """Remove a folder in the top one; what folders it has move there."""
    os.chmod(name, 0o700, dir_fd=top)
    inside = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inner in _emptied(inside):
            os.chmod(inner, 0o700, dir_fd=inside)  # a folder that moves is written to
            os.rename(inner, secrets.token_hex(16), src_dir_fd=inside, dst_dir_fd=top)
    finally:
        os.close(inside)
    os.rmdir(name, dir_fd=top)


def _emptied(folder: int) -> list[str]:
    """Remove what is no folder, and return the names of folders."""
    with os.scandir(folder) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_folder in entries:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in entries if is_folder]
