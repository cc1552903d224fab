"""The format of a record, and that it means the same to all who read it."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.rationale import Rule
from aegis_ros.trace import (
    FIELDS,
    LAYOUT,
    NO_RANK,
    RECORD,
    RECORD_BYTES,
    RecordKind,
    rule_code,
    rule_of,
)


def test_a_record_is_one_cache_line_for_struct_and_numpy_alike() -> None:
    assert LAYOUT.size == RECORD.itemsize == RECORD_BYTES == 64


def test_what_struct_writes_numpy_reads() -> None:
    data = LAYOUT.pack(3, 7, 65535, 2**32 - 1, 2**64 - 1, -5, 1, -2, NO_RANK, 2**63 - 1, 9)
    record = np.frombuffer(data, RECORD)[0]
    head = [record[name] for name in ("kind", "lane", "segment", "task", "seq", "time_ns")]
    assert head == [3, 7, 65535, 2**32 - 1, 2**64 - 1, -5]
    assert record["values"].tolist() == [1, -2, NO_RANK, 2**63 - 1]
    assert record["serial"] == 9


def test_every_kind_says_what_its_values_are() -> None:
    assert set(FIELDS) == set(RecordKind)
    assert all(len(names) <= 4 for names in FIELDS.values())


@pytest.mark.parametrize("rule", [Rule.NEWER_FRAME, Rule.OVERRUN, Rule.CRITICALITY])
def test_a_rule_survives_its_code(rule: Rule) -> None:
    assert rule_of(rule_code(rule)) is rule


def test_an_unknown_code_is_no_rule() -> None:
    assert rule_of(rule_code(None)) is None
    assert rule_of(10_000) is None
