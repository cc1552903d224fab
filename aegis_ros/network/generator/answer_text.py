"""Puts the bytes of tokens together to text, up to where the answer is to stop."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from aegis_ros.errors import ConfigError

__all__ = ["MOST_CHARACTERS", "MOST_STOPS", "AnswerText"]

MOST_STOPS = 16
MOST_CHARACTERS = 256


class AnswerText:
    """The text of one answer, as it comes.

    Args:
        pieces: bytes of each token.
        stops: texts that end the answer; they are not part of it.

    Attributes:
        stopped: whether one of them was found.

    Raises:
        ConfigError: too many or too long stops, or an empty one.
    """

    def __init__(self, pieces: Sequence[bytes], stops: Sequence[str] = ()) -> None:
        """Begin with no text."""
        if len(stops) > MOST_STOPS or any(not 0 < len(each) <= MOST_CHARACTERS for each in stops):
            raise ConfigError(
                "not a list of texts to stop at",
                where="stop",
                value=list(stops)[:3],
                expected=f"at most {MOST_STOPS} texts of 1 to {MOST_CHARACTERS} characters",
            )
        self._pieces, self._stops = pieces, tuple(stops)
        # A character may come in several tokens; what is none is shown as U+FFFD.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Return the text that is certain after a token; may be empty."""
        piece = self._pieces[token] if token < len(self._pieces) else b""
        return self._certain(self._decoder.decode(piece))

    def end(self) -> str:
        """Return what was held back, because more might have come."""
        text = "" if self.stopped else self._certain(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return text if self.stopped else text + rest

    def _certain(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        keep = max((_begun(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text


def _begun(text: str, stop: str) -> int:
    """Return how many of the last characters of a text may be the beginning of ``stop``."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
