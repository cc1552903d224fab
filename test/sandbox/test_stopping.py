"""What a thread waits for ends when it is asked to stop."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from aegis_ros.errors import StoppedError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment
from aegis_ros.sandbox.stopping import Stop, check_stop, ended_by_stop
from test.waiting import until

GIB = 1024**3


def test_a_child_process_ends_with_the_work_that_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    stop, place = Stop(), tmp_path / "pid"
    raised: list[StoppedError] = []

    def work() -> None:
        with stop.applied(), pytest.raises(StoppedError) as error:
            run_child(
                "misbehaving",
                {"do": "stay", "how": {"place": str(place)}},
                allowed=Containment(memory_bytes=GIB, writes=(str(tmp_path),)),
                timeout_s=300,
                subject="x",
            )
        raised.append(error.value)

    thread = threading.Thread(target=work)
    thread.start()
    until(place.exists)
    stop.set()
    thread.join()
    assert raised[0].rule is Rule.OPERATOR
    assert not Path(f"/proc/{place.read_text()}").exists()


def test_no_child_is_started_for_work_that_is_to_end(tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    with stop.applied(), pytest.raises(StoppedError):
        run_child(
            "no_such_module", {}, allowed=Containment(memory_bytes=GIB), timeout_s=1, subject="x"
        )


def test_what_is_called_is_called_once_and_only_while_it_is_waited_for() -> None:
    stop, called = Stop(), []
    with stop.calling(lambda: called.append("before")):
        pass
    with stop.calling(lambda: called.append("meanwhile")):
        stop.set()
        stop.set()
    with stop.calling(lambda: called.append("after")):
        pass
    assert called == ["meanwhile", "after"]


def test_a_thread_that_nobody_can_stop_goes_on() -> None:
    with ended_by_stop(lambda: pytest.fail("called")):
        check_stop()
