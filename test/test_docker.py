"""The Dockerfiles, as far as they can be tried without Docker."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_FILES = ("Dockerfile", "Dockerfile.jetson")
_PAGE = (ROOT / "docs" / "install.md").read_text()
_INSTRUCTIONS = {"FROM", "SHELL", "WORKDIR", "COPY", "RUN", "ARG", "CMD"}

# As the image has it (osrf/docker_images), and as much of ROS's file as matters.
_ENTRYPOINT = '#!/bin/bash\nset -e\n\nsource "/opt/ros/$ROS_DISTRO/setup.bash" --\nexec "$@"\n'
_SETUP = 'if [ -n "$AMENT_TRACE_SETUP_FILES" ]; then\n  echo traced\nfi\n'


def _instructions(name: str) -> list[tuple[str, str]]:
    text = (ROOT / "docker" / name).read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n", " ", lines)
    return [(word, rest.strip()) for word, _, rest in map(_split, joined.splitlines()) if word]


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


def _of(name: str, word: str) -> list[str]:
    return [rest for each, rest in _instructions(name) if each == word]


@pytest.mark.parametrize("name", _FILES)
def test_what_an_image_copies_is_there(name: str) -> None:
    for arguments in _of(name, "COPY"):
        source, *_ = arguments.split()
        if source.startswith("--from="):
            # From the folder that the page's command names, on the Jetson itself.
            assert f"--build-context {source.removeprefix('--from=')}=/etc/apt" in _PAGE
        else:
            assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".venv", "build", "install"} <= set(ignored)


@pytest.mark.parametrize("name", _FILES)
def test_the_commands_of_an_image_can_be_read(name: str) -> None:
    assert {word for word, _ in _instructions(name)} <= _INSTRUCTIONS
    assert _of(name, "RUN")
    for command in _of(name, "RUN"):
        read = subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False)
        assert (read.returncode, read.stderr) == (0, b""), command


@pytest.mark.parametrize("name", _FILES)
def test_pip_leaves_alone_what_apt_has_installed(name: str) -> None:
    """It cannot uninstall that, and numpy must stay the one that ROS was built with."""
    (command,) = (each for each in _of(name, "RUN") if "pip install" in each)
    _, _, arguments = command.partition("pip install ")
    assert {"--break-system-packages", "--ignore-installed"} <= set(arguments.split())
    assert "-c /tmp/constraints.txt" in arguments
    (by_hand,) = re.findall(r"^python3 -m pip install .*$", _PAGE, re.MULTILINE)
    assert {"--break-system-packages", "--ignore-installed", "'numpy<2'"} <= set(by_hand.split())


def test_the_package_is_built_and_found_when_the_image_starts(tmp_path: Path) -> None:
    (shell,) = _of("Dockerfile", "SHELL")
    (command,) = (each for each in _of("Dockerfile", "RUN") if "colcon" in each)
    setup, entry = tmp_path / "setup.bash", tmp_path / "entrypoint.sh"
    setup.write_text(_SETUP)
    entry.write_text(_ENTRYPOINT)
    for of_the_image, here in (
        ("/opt/ros/jazzy/setup.bash", setup),
        ("/ros_entrypoint.sh", entry),
    ):
        assert of_the_image in command
        command = command.replace(of_the_image, str(here))
    colcon = tmp_path / "colcon"
    colcon.write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/built\n')
    colcon.chmod(0o755)
    ran = subprocess.run(
        [*json.loads(shell), command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    built = (tmp_path / "built").read_text().split()
    assert built[:3] == ["build", "--packages-select", "aegis_ros"]
    assert entry.read_text().splitlines()[3:] == [
        'source "/opt/ros/$ROS_DISTRO/setup.bash" --',
        "source /ws/install/setup.bash --",
        'exec "$@"',
    ]


def test_an_image_starts_a_launch_file_with_arguments_that_it_has() -> None:
    (command,) = _of("Dockerfile", "CMD")
    program, verb, package, file, *arguments = json.loads(command)
    assert (program, verb, package) == ("ros2", "launch", "aegis_ros")
    called = [
        node
        for node in ast.walk(ast.parse((ROOT / "launch" / file).read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "declare"
    ]
    declared = {
        each.value for call in called for each in call.args if isinstance(each, ast.Constant)
    }
    assert {each.partition(":=")[0] for each in arguments} <= declared


def test_the_page_builds_the_files_that_are_there_and_says_that_nobody_has() -> None:
    named = set(re.findall(r"docker build -f (\S+)", _PAGE))
    assert named == {f"docker/{name}" for name in _FILES}
    assert "have never\nbeen built" in _PAGE
    assert re.findall(r'--build-arg (\w+)="', _PAGE) == _arguments()


def _arguments() -> list[str]:
    return [each.partition("=")[0] for each in _of("Dockerfile", "ARG")]
