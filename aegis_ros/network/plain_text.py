"""Takes out of the texts of ONNX and ONNX Runtime what is of use only to those who wrote them."""

from __future__ import annotations

import re

__all__ = ["plain"]

_MOST_CHARACTERS = 300
_HEAD_CHARACTERS = 60


def plain(text: str) -> str:
    """Return a library's text without its own places and codes, cut where that loses least.

    The cause stands last in these texts: of a long one, a little of the beginning stays and much
    of the end.
    """
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"Load model from \S+ failed:", "", text)
    text = _without_source(text)
    text = " ".join(text.replace("==> Context:", ";").split()).strip(" ;.")
    if len(text) <= _MOST_CHARACTERS:
        return text
    tail = text[-(_MOST_CHARACTERS - _HEAD_CHARACTERS) :].partition(" ")[2]
    return f"{text[:_HEAD_CHARACTERS].rpartition(' ')[0]} … {tail}"


def _without_source(text: str) -> str:
    """Drop the place in a source file, the function there and the condition that did not hold."""
    place = re.search(r"\S+\.(?:cc|h|cpp|cu):\d+ ", text)
    if place is None:
        return text
    rest = text[place.end() :]
    opened = 0
    for index, character in enumerate(rest):
        if character == "(":
            opened += 1
        elif character == ")":
            opened -= 1
            if opened == 0:  # of the function's parameters
                rest = rest[index + 1 :].removeprefix(" const")
                break
    return text[: place.start()] + rest.rpartition(" was false. ")[2]
