"""The token comes from where nobody else can read it, and is not guessed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aegis_ros.errors import ConfigError
from aegis_ros.serving.attempts import Attempts
from aegis_ros.serving.token import read_token

TOKEN = "0123456789abcdef"
VARIABLE = "AEGIS_DASHBOARD_TOKEN"


def _file(folder: Path, text: str = TOKEN + "\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_of_ones_own_holds_the_token(tmp_path: Path) -> None:
    assert read_token(str(_file(tmp_path)), VARIABLE, {VARIABLE: "another"}) == TOKEN


def test_the_environment_holds_it_and_no_child_inherits_it() -> None:
    environment = {VARIABLE: f" {TOKEN} ", "PATH": "/bin"}
    assert read_token("", VARIABLE, environment) == TOKEN
    assert environment == {"PATH": "/bin"}


def test_without_both_there_is_none() -> None:
    assert read_token("", VARIABLE, {}) == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r"token_file: others may use.*chmod 600"):
        read_token(str(_file(tmp_path, mode=mode)), VARIABLE, {})


def test_a_file_that_is_not_there_or_no_file_or_empty_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in (*(str(tmp_path / each) for each in ("nothing", "")), "~nosuchuser/token"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_token(name, VARIABLE, {})
    with pytest.raises(ConfigError, match="not a file"):
        read_token(str(tmp_path / "pipe"), VARIABLE, {})
    with pytest.raises(ConfigError, match="empty"):
        read_token(str(_file(tmp_path, " \n")), VARIABLE, {})


def test_wrong_tokens_are_answered_until_there_are_too_many_in_a_minute() -> None:
    now = 0.0
    attempts = Attempts(most=3, window_s=60.0, clock=lambda: now)
    for _ in range(3):
        assert attempts.wait_s("a") == 0.0
        attempts.wrong("a")
        now += 10.0
    assert attempts.wait_s("a") == 30.0
    assert attempts.wait_s("b") == 0.0
    now = 61.0
    assert attempts.wait_s("a") == 0.0
    attempts.wrong("a")
    assert attempts.wait_s("a") == 9.0  # the second is the oldest now


def test_only_so_many_clients_are_remembered() -> None:
    attempts = Attempts(most=1, clients=100)
    for number in range(1000):
        attempts.wrong(str(number))
    assert sum(attempts.wait_s(str(number)) > 0 for number in range(1000)) == 100


def test_who_goes_on_guessing_is_not_forgotten_for_others_who_come_once() -> None:
    attempts = Attempts(most=2, clients=2)
    attempts.wrong("guesses")
    attempts.wrong("came before")
    attempts.wrong("guesses")
    attempts.wrong("comes after")
    assert attempts.wait_s("guesses") > 0.0
