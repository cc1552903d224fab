"""Write the programs and plug-in metadata that setup.py lists, for an ament install.

Usage: programs.py SETUP_PY OUTPUT_DIR. Writes ``lib/<program>`` (for ``ros2 run``), ``bin/aegis``
(for the PATH) and ``dist-info/`` (so that importlib.metadata sees the plug-ins).
"""

import stat
import sys
from pathlib import Path

import setuptools

_PROGRAM = """#!/usr/bin/env python3
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def read_setup(path: Path) -> dict:
    """Return the keyword arguments setup.py hands to setuptools."""
    captured: dict = {}
    setuptools.setup = lambda **keywords: captured.update(keywords)
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "__main__"})
    return captured


def write_program(path: Path, target: str) -> None:
    """Write one executable that calls ``module:function``."""
    module, function = (part.strip() for part in target.split(":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PROGRAM.format(module=module, function=function))
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main() -> None:
    """Read setup.py and write everything."""
    setup_py, output = Path(sys.argv[1]), Path(sys.argv[2])
    keywords = read_setup(setup_py)
    entry_points = keywords["entry_points"]
    for line in entry_points["console_scripts"]:
        name, target = (part.strip() for part in line.split("="))
        write_program(output / "lib" / name, target)
        if name == "aegis":
            write_program(output / "bin" / name, target)
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


if __name__ == "__main__":
    main()
