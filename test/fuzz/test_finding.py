"""The fuzzing itself: whatever can go wrong on an input is found, and can be tried again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from test.fuzz.broken import broken
from test.fuzz.kept import Kept, command, target_of
from test.fuzz.mutation import Mutator
from test.fuzz.report import Outcome, markdown
from test.fuzz.session import Failure, opened
from test.fuzz.target import MIB, Limits, load, names
from test.fuzz.watch import Watch
from test.fuzz.workers import Order, run

_BAD = 2  # number of the seed that goes wrong


def found_in(way: str, **limits: float) -> list[Failure]:
    """Return what is found in the seeds, in this process."""
    limited = Limits(**{"seconds": 3600.0, **limits})  # type: ignore[arg-type]
    target, found = broken(way, limits=limited), list[Failure]()
    with opened(target, found.append) as session:
        for number, data in enumerate(target.seeds()):
            session.attempt(number, data)
    return found


@pytest.mark.parametrize(
    ("way", "kind", "problem"),
    [
        ("raises", "KeyError in broken.py:_raises", "a mistake of ours"),
        ("says too much", "AssertionError in target.py:answered", "a refusal of 100,001 char"),
        ("reads", "outside: read /etc/passwd", "/etc/passwd"),
        ("writes", "outside: write", ".outside"),
        ("starts", "outside: subprocess.Popen true", "true"),
    ],
)
def test_what_does_not_hold_is_found(way: str, kind: str, problem: str) -> None:
    found = found_in(way)
    assert {each.number for each in found} == {_BAD}
    assert found[0].kind.startswith(kind)
    assert problem in found[0].problem


def test_an_input_that_takes_too_much_memory_is_found() -> None:
    (found,) = found_in("fills memory", memory_bytes=16 * MIB)
    assert (found.number, found.kind) == (_BAD, "memory")
    assert found_in("fills memory", memory_bytes=256 * MIB) == []


def test_what_others_give_back_meanwhile_hides_no_memory() -> None:
    target, found = (
        broken("fills memory", limits=Limits(seconds=3600.0, memory_bytes=16 * MIB)),
        list[Failure](),
    )
    of_others = [b"x" * (128 * MIB)]
    with opened(target, found.append) as session:
        of_others.clear()
        session.attempt(_BAD, target.seeds()[_BAD])
    assert [each.kind for each in found] == ["memory"]


def test_what_threads_of_earlier_tests_open_is_no_finding(tmp_path: Path) -> None:
    asked, opened_it, ended = threading.Event(), threading.Event(), threading.Event()

    def stranger() -> None:
        while asked.wait(100.0) and not ended.is_set():
            asked.clear()
            os.listdir("/")
            opened_it.set()

    thread = threading.Thread(target=stranger)
    thread.start()
    assert thread.ident is not None

    def work() -> None:
        asked.set()
        assert opened_it.wait(100.0)
        os.listdir("/etc")

    assert Watch(tmp_path, strangers=[thread.ident]).cost(work).outside == ("read /etc",)
    target, found = broken("stays inside"), list[Failure]()
    with opened(target, found.append) as session:
        opened_it.clear()
        session._work = lambda data: bool(work())
        session.attempt(0, b"")
    assert [each.kind for each in found] == ["outside: read /etc"]
    ended.set()
    asked.set()
    thread.join()


def test_an_input_that_takes_too_long_each_time_is_found() -> None:
    found = found_in("stays inside", seconds=0.0)  # everything takes longer than no time
    assert [each.kind for each in found] == ["time"] * 3


def test_what_is_allowed_is_no_failure() -> None:
    assert found_in("stays inside") == []


@pytest.mark.parametrize(
    ("way", "kind"), [("crashes", "ended with SIGSEGV"), ("hangs", "did not end within 1 s")]
)
def test_a_process_that_dies_is_a_failure_and_the_next_goes_on(way: str, kind: str) -> None:
    found: list[Failure] = []
    order = Order(count=4, hang_s=1.0)
    tally = run(broken(way), order, on_failure=found.append)
    assert found[0].number == _BAD and found[0].data == b"bad"
    assert {each.kind for each in found} == {kind}
    assert tally.inputs == 4
    assert tally.failures == {kind: len(found)}


def test_what_a_process_finds_comes_back_with_its_input() -> None:
    found: list[Failure] = []
    tally = run(broken("raises"), Order(seed=3, count=30), on_failure=found.append)
    assert tally.inputs == 30
    assert tally.failures == {"KeyError in broken.py:_raises": len(found)}
    target = broken("raises")
    for each in found:
        assert each.data == target.input(target.seeds(), 3, each.number)


def test_what_is_kept_names_its_target_and_the_way_to_try_it_again(tmp_path: Path) -> None:
    kept, target = Kept(tmp_path), broken("raises")
    files = [kept.keep(target, Failure(n, "k", "why", b"%d" % n)) for n in range(5)]
    assert [file is not None for file in files] == [True, True, True, False, False]
    assert files[0] is not None and files[0].read_bytes() == b"0"
    assert "why" in files[0].with_suffix(".txt").read_text()
    assert target_of(files[0]) == target.name
    assert str(files[0]) in command(files[0])


@pytest.mark.parametrize("text", [False, True])
def test_the_same_seed_gives_the_same_inputs(text: bool) -> None:
    target = broken("raises")
    seeds = [b"one: {two: 3}", b"four"]

    def inputs(seed: int) -> list[bytes]:
        made = broken("raises").__class__(
            name=target.name,
            title="",
            seeds=lambda: seeds,
            mutate=Mutator((b"word",), most_bytes=500, text=text),
            opened=target.opened,
        )
        return [made.input(seeds, seed, number) for number in range(300)]

    assert inputs(1) == inputs(1)
    assert inputs(1)[:2] == seeds == inputs(2)[:2]
    assert inputs(1)[2:] != inputs(2)[2:]
    assert len(set(inputs(1))) > 250
    assert max(map(len, inputs(1))) <= 500


def test_the_table_says_what_was_tried_and_what_it_cost() -> None:
    tally = run(broken("raises"), Order(count=10), on_failure=lambda failure: None)
    page = markdown([Outcome(broken("raises"), tally)], "a machine", "make fuzz")
    assert "`make fuzz`" in page and "a machine" in page
    assert "| raises | 10 |" in page
    assert f"10 inputs, {sum(tally.failures.values())} failures" in page


def test_every_target_is_found_by_its_name() -> None:
    assert {"compressed", "configuration", "journal", "service", "onnx"} <= set(names())
    assert load("configuration").name == "configuration"
