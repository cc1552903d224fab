"""What the node hears of a job is what that very job computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.engine import JobResult
from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.contents import Contents
from aegis_ros.engine.client.in_flight import JobInFlight
from aegis_ros.engine.client.results import ResultReader
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import LeftOut, LoadSpec
from aegis_ros.engine.wire import DONE, Kind
from aegis_ros.network import TensorInfo
from test.engine.bench import MS, simulated

_KEPT = 3
_COMPILED = replace(
    simulated(MS, MS),
    outputs=tuple(TensorInfo(name, "float32", (_KEPT, 4), 0) for name in ("boxes", "rough")),
    dynamic_outputs=("boxes", "rough"),
    complete_after=(1, 0),
)


def _result(early: bool, early_exit: Mapping[str, str], found: tuple[int, int]) -> JobResult:
    """Return the result of a job whose slot says how many rows its outputs have."""
    slots = OutputSlots(_COMPILED, 1)
    slots.note_extents(0, tuple((rows, 4) for rows in found))
    contents = Contents()
    contents.add_network(LoadSpec(1, "eye", _COMPILED, 0, "", early_exit=early_exit))
    heard: list[JobResult] = []
    ignored: Any = lambda *_: None  # noqa: E731
    callbacks = Callbacks(heard.append, *[ignored] * 6)
    table: Any = SimpleNamespace(take=lambda task, seq: JobInFlight((), 0, 0, 0, None))
    process: Any = SimpleNamespace(outputs={1: slots})
    record = bytearray(DONE.pack(Kind.DONE, early, 1, 5, 0, 1, 2, 3, 4))
    speeches: Any = None  # the job is of a network
    ResultReader(table, contents, speeches, callbacks)._take(process, record, len(record))
    (result,) = heard
    return result


@pytest.mark.parametrize(("rough", "expected"), [(2, ()), (9, (LeftOut("boxes", _KEPT, 9),))])
def test_rows_of_an_earlier_job_are_not_reported_by_one_that_ends_early(
    rough: int, expected: tuple[LeftOut, ...]
) -> None:
    result = _result(True, {"boxes": "rough"}, (7, rough))  # 7: the last whole job's
    assert result.outputs["boxes"].shape == (min(rough, _KEPT), 4)
    assert result.left_out == expected


def test_a_whole_job_reports_the_rows_that_are_left_out_of_each_output() -> None:
    result = _result(False, {}, (7, 9))
    assert result.left_out == (LeftOut("boxes", _KEPT, 7), LeftOut("rough", _KEPT, 9))
