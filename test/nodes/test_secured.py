"""Where SROS2 does not let a program start, it says why in one sentence and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.starting import starting

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = {
    "orchestrator": "orchestrator_main",
    "replay": "replay",
    "monitor": "monitor",
    "dashboard": "dashboard",
    "chat": "chat",
    "demo": "demo",
}
_NO_SECURITY = "This Fast DDS version doesn't have the security libraries\nPlease compile"


def _started(program: str, folder: Path, **security: str) -> subprocess.CompletedProcess[str]:
    """Run a program with security that cannot work; it must end by itself."""
    return subprocess.run(
        [
            *(sys.executable, "-m", f"aegis_ros.nodes.{_PROGRAMS[program]}"),
            *(("--output", str(folder)) if program == "demo" else ()),
        ],
        env={
            **{name: value for name, value in os.environ.items() if "ROS_SECURITY" not in name},
            "ROS_SECURITY_ENABLE": "true",
            "ROS_SECURITY_STRATEGY": "Enforce",
            **security,
        },
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("program", list(_PROGRAMS))
def test_a_program_without_keys_says_what_makes_them(program: str, tmp_path: Path) -> None:
    if program in ("dashboard", "chat"):
        pytest.importorskip("fastapi", reason=f"the extra `{program}` is not installed")
    keystore = str(tmp_path / "keystore")
    ended = _started(program, tmp_path, ROS_SECURITY_KEYSTORE=keystore)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert f"(got {keystore})" in ended.stderr
    assert "aegis security policy robot.yaml" in ended.stderr


def test_a_keystore_that_is_not_named_is_asked_for(tmp_path: Path) -> None:
    ended = _started("monitor", tmp_path)
    assert "ROS_SECURITY_KEYSTORE: security is asked for" in ended.stderr
    assert "(got nothing)" in ended.stderr


@pytest.mark.parametrize(
    ("text", "keystore", "says"),
    [
        (_NO_SECURITY, "/keys", r"this build of the ROS middleware has none .* apt repository"),
        ("failed to initialize rcl: error not set", "", r"there are no keys \(got nothing\)"),
        ("SECURITY ERROR: unable to find a folder", "/keys", r"no keys: SECURITY .* \(got /keys\)"),
        ("could not create publisher", "/keys", r"refused: could not create publisher .* expire"),
    ],
)
def test_each_refusal_has_its_advice(
    text: str, keystore: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", keystore)
    with pytest.raises(ConfigError, match=says), starting():
        raise RuntimeError(text)


@pytest.mark.parametrize(
    ("enable", "strategy", "warned"),
    [
        ("true", "Enforce", False),
        ("true", "Permissive", True),
        ("true", "enforce", True),  # ROS compares it to the letter
        ("true", "", True),
        ("false", "", False),
    ],
)
def test_security_that_is_not_enforced_is_warned_about(
    enable: str,
    strategy: str,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", enable)
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", strategy)
    with starting():
        pass
    assert ("starts unprotected" in capsys.readouterr().err) == warned


def test_a_folder_for_the_log_that_cannot_be_made_is_no_matter_of_security(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", "/keys")
    monkeypatch.setenv("ROS_LOG_DIR", "/nowhere")
    with pytest.raises(ConfigError, match=r"ROS_LOG_DIR: the folder for ROS's log"), starting():
        raise RuntimeError("failed to configure logging: Failed to create log directory: /nowhere")


def test_without_security_an_error_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_SECURITY_ENABLE", raising=False)
    with pytest.raises(RuntimeError, match="broken"), starting():
        raise RuntimeError("broken")
