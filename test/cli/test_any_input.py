"""Whatever a file or an argument holds, there is an answer or a message, and no traceback."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.cli.main import main
from aegis_ros.sandbox.scratch import Scratch

_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.integers(0, 40),
    st.floats(),
    st.floats(0, 50),
    st.text(max_size=5),
    st.lists(st.floats(0, 20), max_size=3),
)


def _mapping(*known: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(known) | st.text(max_size=3), _VALUES, max_size=4)


_TASKS = st.builds(
    lambda good, odd: {**good, **odd},
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b", "c"]),
            "period_ms": st.integers(1, 50),
            "segments_ms": st.lists(st.integers(1, 9), min_size=1, max_size=3),
        }
    ),
    st.one_of(
        st.just({}),
        _mapping(
            "deadline_ms",
            "jitter_ms",
            "criticality",
            "lane",
            "copies",
            "name",
            "period_ms",
            "high_segments_ms",
        ),
    ),
)
_SETS = st.builds(
    lambda tasks, odd: {"tasks": tasks, **odd},
    st.lists(_TASKS, max_size=4) | _VALUES,
    st.one_of(st.just({}), _mapping("lanes", "policy", "switch_us", "device", "tasks")),
)


def _run(text: str, *arguments: str) -> tuple[int, str]:
    """Run the command on a file; each example has its own, and no fixture is shared."""
    with Scratch() as folder:
        path = folder / "set.yaml"
        path.write_text(text, encoding="utf-8", errors="replace")
        before, sys.argv = sys.argv, ["aegis", arguments[0], str(path), *arguments[1:]]
        stderr = io.StringIO()
        try:
            with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
                code = main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.argv = before
    return code, stderr.getvalue()


@given(_SETS)
def test_any_set_gets_an_answer_or_a_message(values: Any) -> None:
    code, stderr = _run(yaml.safe_dump(values), "check", "--format", "json")
    assert code in (0, 1, 2), stderr
    assert (code == 2) == stderr.startswith("aegis: "), stderr


@given(st.text(max_size=60))
def test_any_text_gets_a_message(text: str) -> None:
    code, stderr = _run(text, "check")
    assert code == 2 and stderr.startswith("aegis: "), stderr


@given(
    st.sampled_from(["--add", "--drop", "--set"]),
    st.text(max_size=20)
    | st.builds(
        "{}{}{}={}".format,
        st.sampled_from(["a", "b", "", "policy", "name=x,a"]),
        st.sampled_from([".", ",", ""]),
        st.sampled_from(
            ["period_ms", "segments_ms", "high_segments_ms", "copies", "lane", "wcet_ms", "x"]
        ),
        st.sampled_from(["1", "0", "-1", "nan", "1e400", "2;3", ";", "inf", "9" * 30]),
    ),
)
def test_any_change_gets_an_answer_or_a_message(option: str, value: str) -> None:
    base = "tasks: [{name: a, period_ms: 10, segments_ms: [2]}]"
    code, stderr = _run(base, "whatif", f"{option}={value}")
    assert code in (0, 1, 2), stderr
    assert (code == 2) == bool(stderr), stderr
