"""A pytest plug-in: a test marked ``own_process`` runs in one.

For a library that the product has in a child process: beside all that other tests have loaded it
is in company that it never has there, and what it does to the process befalls all later tests.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_INSIDE = "AEGIS_TEST_OWN_PROCESS"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("own_process") is None or _INSIDE in os.environ:
        return None
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
            *("--rootdir", str(pyfuncitem.config.rootpath), pyfuncitem.nodeid),
        ],
        cwd=pyfuncitem.config.rootpath,
        env=os.environ | {_INSIDE: "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        pytest.fail(
            f"in its own process, which ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}",
            pytrace=False,
        )
    return True
