"""Test processes do not hear each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test.domains import own_domain
from test.waiting import until

_ROOT = Path(__file__).parents[1]

_TAKE = """
import sys
from pathlib import Path
from test.domains import own_domain
print(own_domain([7, 8], Path(sys.argv[1])).number, flush=True)
sys.stdin.read()
"""

# A test that starts a process, as one starts a node, and is killed with pytest. The process does
# not end at once, and says when it is asked to.
_TEST = """
import os, subprocess, sys, time
from pathlib import Path

_NODE = '''
import signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (folder / "asked").touch())
(folder / "begun").touch()
while not (folder / "end").exists():
    time.sleep(0.02)
'''

def test_that_is_killed():
    folder = Path(__file__).parent
    (folder / "domain").write_text(os.environ["ROS_DOMAIN_ID"])
    subprocess.Popen([sys.executable, "-S", "-c", _NODE, folder], start_new_session=True)
    time.sleep(600)
"""


def test_no_two_processes_have_one_domain_and_a_killed_one_leaves_its_own(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _TAKE, str(tmp_path)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None and other.stdout.readline() == "7\n"
        assert own_domain([7, 8], tmp_path).number == 8
        with pytest.raises(RuntimeError, match="all of 2"):
            own_domain([7, 8], tmp_path)
        other.kill()
    assert own_domain([7, 8], tmp_path).number == 7


def test_what_a_killed_pytest_has_started_ends_and_keeps_its_domain_until_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "conftest.py").write_text("from test.conftest import pytest_configure\n")
    file = tmp_path / "test_it.py"
    file.write_text(_TEST)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    with subprocess.Popen(
        [*command, str(file)],
        cwd=_ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # and so the locks of domains of its own
        stdout=subprocess.DEVNULL,
    ) as killed:
        try:
            until((tmp_path / "begun").exists)
        finally:
            killed.kill()
    domain = int((tmp_path / "domain").read_text())
    (locks,) = tmp_path.glob("aegis_test_domains_*")
    until((tmp_path / "asked").exists)
    with pytest.raises(RuntimeError, match="all of 1"):
        own_domain([domain], locks)
    (tmp_path / "end").touch()
    until(lambda: _can_be_taken(domain, locks))


def _can_be_taken(domain: int, locks: Path) -> bool:
    try:
        own_domain([domain], locks)
    except RuntimeError:
        return False
    return True
