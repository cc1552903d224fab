"""An engine that dies while it starts says why, in the error of whoever started it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aegis_ros.engine import EngineClient
from aegis_ros.engine.client import last_words
from aegis_ros.engine.client.last_words import LastWords
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.errors import EngineError
from aegis_ros.spec import DeviceSpec, LaneSpec

_BACKEND = """
import os, sys, time
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.errors import BackendError

def say(text):
    os.write(2, text.encode())

class Unable(SimulatedBackend):
    def open(self, lanes, ended, priority):
        {body}
"""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function: offer a backend whose lanes open so, and return a device with it."""

    def made(body: str) -> DeviceSpec:
        (tmp_path / "last_words_plugin.py").write_text(_BACKEND.format(body=body))
        named = tmp_path / "last_words_plugin-0.dist-info"
        named.mkdir()
        (named / "METADATA").write_text("Metadata-Version: 2.1\nName: last-words\nVersion: 0\n")
        (named / "entry_points.txt").write_text(
            "[aegis_ros.backends]\nunable = last_words_plugin:Unable\n"
        )
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
        return DeviceSpec(backend="unable", lanes=(LaneSpec("main"),), realtime_priority=0)

    return made


def problem(device: DeviceSpec) -> EngineError:
    client = EngineClient(
        device,
        on_result=lambda result: None,
        on_skip=lambda *skip: None,
        on_event=lambda event: None,
    )
    with pytest.raises(EngineError, match="did not start") as caught:
        client.start()
    client.stop()
    return caught.value


def test_what_a_backend_refuses_is_what_the_error_says(offered, capfd) -> None:
    body = """raise BackendError(
            "5 multiprocessors cannot be had", where="device.lanes.sms", hint="Ask for 8")"""
    error = problem(offered(body))
    assert str(error) == (
        "device.lanes.sms: the engine did not start (exit code 1): 5 multiprocessors cannot be "
        "had. Ask for 8."
    )
    assert "BackendError" in capfd.readouterr().err, "with where in the code it was raised"


def test_any_other_error_is_named_with_its_kind(offered) -> None:
    assert "(exit code 1): KeyError: 'lost'" in str(problem(offered('raise KeyError("lost")')))


def test_the_last_lines_of_one_that_a_runtime_ends_are_part_of_the_error(offered, capfd) -> None:
    body = r"""say("of no interest\n" * 9 + "one\ntwo\n\nterminate called\n  what(): no kernel\n")
        os.abort()"""
    error = str(problem(offered(body)))
    assert "did not start (exit code -6): one; two; terminate called; what(): no kernel." in error
    assert "of no interest" not in error
    shown = capfd.readouterr().err
    assert shown.count("of no interest") == 9 and shown.endswith("what(): no kernel\n")


def test_one_that_takes_its_time_to_report_is_not_killed_meanwhile(offered, capfd) -> None:
    """Its sockets are closed, so that whoever waits for an answer knows, and it goes on."""
    body = r"""os.closerange(3, 256)
        time.sleep(0.5)
        say("why it ends\n")
        os._exit(7)"""
    assert "(exit code 7): why it ends." in str(problem(offered(body)))
    assert "why it ends" in capfd.readouterr().err


def test_an_engine_that_failed_before_it_was_wanted_says_why_once_it_is(offered) -> None:
    body = """pass

    @classmethod
    def warm(cls):
        raise RuntimeError("no such device")"""
    process = EngineProcess(offered(body))
    assert process.wait(60.0) == 1
    with pytest.raises(EngineError, match="RuntimeError: no such device"):
        process.begin()


def test_an_engine_that_has_started_writes_to_the_stderr_of_its_node(offered, capfd) -> None:
    body = r"""say("while it starts\n")
        super().open(lanes, ended, priority)

    def determinism(self):
        say("still\n")
        return super().determinism()

    def close(self):
        say("at the end\n")"""
    process = EngineProcess(offered(body))
    try:
        process.begin()
        assert capfd.readouterr().err == "while it starts\nstill\n"
        link = os.readlink(f"/proc/{process.pid}/fd/2")
        assert link == os.readlink("/proc/self/fd/2") and "memfd" not in link
    finally:
        process.stop()
        process.close()


def test_one_that_stands_by_and_is_never_wanted_is_heard_as_well(offered, capfd) -> None:
    body = r"""pass

    @classmethod
    def warm(cls):
        say("a warning\n")
        time.sleep(100)"""
    process = EngineProcess(offered(body), standby=True)
    while not os.path.getsize(f"/proc/{process.pid}/fd/2"):
        assert process.ended() is None
    process.kill()
    process.close()
    assert capfd.readouterr().err == "a warning\n"


def test_no_more_than_the_end_is_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    words = LastWords()
    os.write(words.fileno(), b"x" * 2 * last_words._MOST_BYTES + b"\nthe end\n")
    said = words.pass_on()
    assert said.startswith("…x") and said.endswith("; the end")
    assert len(said) == last_words._MOST_CHARACTERS
    assert len(capfd.readouterr().err) == last_words._MOST_BYTES
    assert words.pass_on() == "", "it is said once"
    words.handed_over()


def test_a_node_without_stderr_starts_engines(
    offered, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int) -> int:
        raise OSError("Bad file descriptor")

    with monkeypatch.context() as patched:
        patched.setattr(last_words.os, "dup", none)
        process = EngineProcess(offered("super().open(lanes, ended, priority)"))
    try:
        process.begin()
    finally:
        process.stop()
        process.close()
