"""Writes the sentences of all examples to ``sentences.txt``: ``python -m test.rationale.golden``.

Read the whole file after a change of wording; it is what people will read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aegis_ros.errors import ModelError, load_error
from aegis_ros.rationale import Reason
from aegis_ros.rationale.loading import LoadFailure
from aegis_ros.rationale.plain import kind_of
from aegis_ros.rationale.wording import in_slack, sentence, verdict_words, words

from .samples import CHANGES, FINDINGS, LOAD_FAILURES, PARTS, REASONS, SLACK

__all__ = ["FILE", "text"]

FILE = Path(__file__).with_name("sentences.txt")


def text() -> str:
    """Return every sentence under the stable name of what it is made of."""
    return "".join(_blocks())


def _blocks() -> Iterator[str]:
    shown = ""
    for item in (*REASONS, *FINDINGS, *CHANGES, *PARTS, *LOAD_FAILURES):
        head = kind_of(type(item))
        if isinstance(item, Reason):
            head += f" ({item.decision} by {item.rule})"
        if head != shown:
            yield f"{head}\n"
            shown = head
        if isinstance(item, LoadFailure):
            yield f"    {load_error(item, ModelError)}\n"
            continue
        yield f"    {sentence(item) if isinstance(item, Reason) else words(item)}\n"
    yield "slack\n"
    yield f"    {in_slack(SLACK)}\n"
    yield f"    {verdict_words(FINDINGS[-5], SLACK)}\n"


if __name__ == "__main__":
    FILE.write_text(text())
