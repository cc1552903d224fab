"""Sentences stay whole where they hold another one."""

from __future__ import annotations

import re
from pathlib import Path

_SENTENCES = (Path(__file__).parent / "sentences.txt").read_text()


def test_no_sentence_has_two_marks_in_a_row() -> None:
    doubled = re.findall(r".*(?<!\.)(?:\.[;,)]|\.\.(?!\.)).*", _SENTENCES)
    assert [line for line in doubled if "e.g." not in line] == []
