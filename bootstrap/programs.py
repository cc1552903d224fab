"""Write what setup.py and pyproject.toml beside it list, for an ament install.

Usage: programs.py SETUP_PY OUTPUT_DIR PYTHON

Writes ``lib/<program>`` (for ``ros2 run``), ``bin/aegis`` (for the PATH), ``dist-info/`` (which
shows the plug-ins to importlib.metadata) and ``egg-info/`` (which shows the extras to pip, for
``pip install 'aegis_ros[trace]'``). The programs run with PYTHON, the interpreter the package was
built with, whatever the caller's PATH says.
"""

import shutil
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import setuptools

_PROGRAM = """#!{python}
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def read_setup(path: Path) -> dict[str, Any]:
    """Return the keyword arguments setup.py hands to setuptools."""
    captured: dict[str, Any] = {}
    setuptools.setup = lambda **keywords: captured.update(keywords)
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "__main__"})
    return captured


def write_program(path: Path, target: str, python: str) -> None:
    """Write one executable that calls ``module:function``."""
    module, function = (part.strip() for part in target.split(":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PROGRAM.format(python=python, module=module, function=function))
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def extras_metadata(name: str, version: str, extras: dict[str, list[str]]) -> str:
    """Return metadata of an installed distribution that has extras, and needs nothing else of pip.

    What it always needs is rosdep's to bring, and may have other names there.
    """
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    for extra, requirements in extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {each} ; extra == "{extra}"' for each in requirements]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read both files and write everything."""
    setup_py, output, python = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    shutil.rmtree(output, ignore_errors=True)
    keywords = read_setup(setup_py)
    entry_points = keywords["entry_points"]
    for line in entry_points["console_scripts"]:
        name, target = (part.strip() for part in line.split("="))
        write_program(output / "lib" / name, target, python)
        if name == "aegis":
            write_program(output / "bin" / name, target, python)
    info = output / "dist-info"
    info.mkdir(parents=True, exist_ok=True)
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: aegis-ros-plugins\nVersion: {keywords['version']}\n"
    )
    sections = [
        f"[{group}]\n" + "\n".join(lines) + "\n"
        for group, lines in entry_points.items()
        if group != "console_scripts"
    ]
    info.joinpath("entry_points.txt").write_text("\n".join(sections))
    project = tomllib.loads(setup_py.with_name("pyproject.toml").read_text())["project"]
    egg = output / "egg-info"
    egg.mkdir()
    egg.joinpath("PKG-INFO").write_text(
        extras_metadata(keywords["name"], keywords["version"], project["optional-dependencies"])
    )


if __name__ == "__main__":
    main()
