"""What a file is that should be a network and is none."""

from __future__ import annotations

import re

from aegis_ros.rationale.loading import LfsPointer, LoadFailure, NotOnnx

__all__ = ["HEAD_BYTES", "lfs_pointer", "other_contents"]

HEAD_BYTES = 512  # of a file, in which all of this is seen
_POINTER = re.compile(rb"\Aversion https://git-lfs\S*\noid \S+\nsize (\d{1,15})\n")
_KINDS = (
    (re.compile(rb"\A\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\APK\x03\x04"), "a zip archive, as PyTorch saves models"),
    (re.compile(rb"\A\x80[\x02-\x05]"), "a Python pickle, as PyTorch saves models"),
    (re.compile(rb"\A....TFL3", re.DOTALL), "a TensorFlow Lite model"),
    (re.compile(rb"\A\x89HDF\r\n"), "a Keras model (HDF5)"),
    (re.compile(rb"\A(ftrt|ptrt)"), "an engine built for one GPU"),
    (re.compile(rb"\AORTM|\A....ORTM", re.DOTALL), "a model in ORT format"),
    (re.compile(rb"\A\x1f\x8b|\A\xfd7zXZ|\ABZh"), "a compressed archive"),
)


def lfs_pointer(head: bytes) -> LfsPointer | None:
    """Return what a file says that stands for another one in Git LFS; ``None`` for any other file.

    Args:
        head: the first :data:`HEAD_BYTES` of the file, or more.
    """
    found = _POINTER.search(head[:HEAD_BYTES])
    return None if found is None else LfsPointer(int(found[1]))


def other_contents(head: bytes) -> LoadFailure:
    """Return what a file is that cannot be read as a network.

    Args:
        head: the first :data:`HEAD_BYTES` of the file, or more.
    """
    head = head[:HEAD_BYTES]
    return NotOnnx(next((kind for pattern, kind in _KINDS if pattern.search(head)), ""))
