"""The page on theory says what the code does: its files and lines are run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from aegis_ros.analysis import assign
from aegis_ros.planning.task_set import read_task_set

_PAGE = Path(__file__).parents[1] / "docs" / "theory.md"
_FILES = re.findall(
    r"```yaml\n(# (\S+): (schedulable|not schedulable)\n.*?)```", _PAGE.read_text(), re.S
)


def test_the_lines_for_python_give_what_the_page_says() -> None:
    failed, tried = doctest.testfile(str(_PAGE), module_relative=False, encoding="utf-8")
    assert tried > 10 and failed == 0


@pytest.mark.parametrize(
    ("text", "answer"), [(f[0], f[2]) for f in _FILES], ids=[f[1] for f in _FILES]
)
def test_the_files_get_the_answer_that_their_first_line_says(
    text: str, answer: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.yaml"
    path.write_text(text)
    found = read_task_set(path)
    verdict = assign(found.tasks, found.lanes, switch_ns=found.switch_ns, policy=found.policy)
    assert verdict.schedulable == (answer == "schedulable")


def test_no_file_of_the_page_is_left_out() -> None:
    assert len(_FILES) == _PAGE.read_text().count("```yaml")
