"""Tests leave nothing to those that come after them in the same process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from test.given_back import give_back_at_the_end, giving_back
from test.left_behind import opened_now, threads_of
from test.orchestrator.house import House


def test_a_house_is_given_back_with_whoever_made_it(tmp_path: Path) -> None:
    before = threads_of("audit")
    with giving_back():
        outer = House(tmp_path / "outer")
        outer.start()
        with giving_back():
            House(tmp_path / "inner").start().cleanup()  # as a test may have done itself
            House(tmp_path / "inner").restart()
            assert len(threads_of("audit") - before) == 2
        assert len(threads_of("audit") - before) == 1
        assert outer.orchestrator.evaluate(outer.task()).accepted
    assert threads_of("audit") == before


def test_all_is_given_back_though_one_of_it_fails() -> None:
    closed: list[str] = []

    def fail() -> None:
        raise OSError("it cannot be closed")

    with pytest.raises(OSError, match="cannot be closed"), giving_back():
        give_back_at_the_end(lambda: closed.append("first"))
        give_back_at_the_end(fail)
        give_back_at_the_end(lambda: closed.append("last"))
    assert closed == ["last", "first"]


def test_what_is_open_is_counted_by_its_kind() -> None:
    before, end = opened_now(), threading.Event()
    thread = threading.Thread(target=end.wait, name="a-thread-7")
    thread.start()
    file = os.memfd_create("a-file-12")
    try:
        more = opened_now() - before
        assert more["thread a-thread-N"] == 1
        assert [count for what, count in more.items() if "a-file-N" in what] == [1]
    finally:
        os.close(file)
        end.set()
        thread.join()
