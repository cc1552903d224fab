"""Whatever is typed ends with an answer or with one message that names the field."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from test.cli.conftest import Aegis, Write
from test.cli.sets import FITS

ONE = "tasks: [{name: a, period_ms: %s, segments_ms: [1]}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE % "0", "tasks[0].period_ms: out of range (got 0)"),
        (ONE % "-5", "tasks[0].period_ms: out of range"),
        (ONE % "9223372036854775808", "tasks[0].period_ms: out of range"),
        (ONE % "1e300", "tasks[0].period_ms: out of range"),
        (ONE % ".inf", "tasks[0].period_ms: out of range (got inf)"),
        (ONE % ".nan", "tasks[0].period_ms: out of range (got nan)"),
        (ONE % "true", "tasks[0].period_ms: not valid (got True)"),
        (ONE % "fast", "tasks[0].period_ms: not valid (got 'fast')"),
        ("", "tasks: missing"),
        ("tasks: []", "tasks: not valid (got 0 of them); expected at least 1 item"),
        ("tasks:", "tasks: not valid"),
        ("nonsense", "not a mapping"),
        ("[1, 2]", "not a mapping"),
        (": :", "not valid YAML"),
        ("tasks: [{name: a, name: b, period_ms: 4, segments_ms: [2]}]", "'name' stands twice"),
        (FITS.replace("name: b", "name: a"), "tasks[1].name: the name is taken by tasks[0]"),
        ("tasks: [{name: a, period_ms: 4, segments_ms: [2, 0]}]", "tasks[0].segments_ms[1]: out"),
        ("tasks: [{name: a, period_ms: 4, segments_ms: []}]", "tasks[0].segments_ms: not valid"),
        ("tasks: [{name: a, period_ms: 4}]", "tasks[0].segments_ms: missing"),
        ("tasks: [{name: a, perod_ms: 4, segments_ms: [2]}]", "Did you mean 'period_ms'?"),
        (FITS + "\nswich_us: 5", "Did you mean 'switch_us'?"),
        (FITS + "\npolicy: cwedf", "Did you mean 'cw_edf'?"),
        ("tasks: [{name: a, period_ms: 4, segments_ms: [2], criticality: hihg}]", "mean 'high'?"),
        ("tasks: [{name: a, period_ms: 4, segments_ms: [2], lane: x}]", "there is no such lane"),
        ("lanes: [{name: a}, {name: a}]\n" + ONE % 5, "two lanes have this name (got a)"),
        ("tasks: [{name: '[red]', period_ms: 4, segments_ms: [2]}]", "tasks[0].name: not valid"),
        ("a: &a [x]\ntasks: *a", "aliases (*name) are not allowed"),
        ("tasks: " + "[" * 3000 + "]" * 3000, "not valid YAML"),
        ("tasks: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("tasks: [{name: a, period_ms: 4, segments_ms: [1], copies: 20000}]", "tasks[0].copies"),
        (
            "tasks: [{name: a, period_ms: 4, segments_ms: [1], copies: 6000},"
            " {name: b, period_ms: 4, segments_ms: [1], copies: 6000}]",
            "too many tasks",
        ),
        ("#" * 3_000_000, "the file is too large"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
@pytest.mark.parametrize("command", ["check", "simulate"])
def test_a_bad_set_ends_with_code_2_and_names_the_field(
    aegis: Aegis, write: Write, command: str, text: str, message: str
) -> None:
    said = aegis(command, write(text))
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("aegis: ")
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_file_that_cannot_be_read_is_named(aegis: Aegis, tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    for path in (binary, tmp_path, tmp_path / "nowhere.yaml"):
        said = aegis("check", str(path))
        assert said.code == 2 and str(path) in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("chek",),
        ("check",),
        ("check", "{file}", "--formt", "json"),
        ("check", "{file}", "--format", "xml"),
        ("check", "{file}", "--plot", "picture.txt"),
        ("check", "{file}", "--plot", "/nowhere/at/all/picture.png"),
        ("simulate", "{file}", "--seed", "x"),
        ("simulate", "{file}", "--seed", "-1"),
        ("simulate", "{file}", "--duration", "10"),
        ("simulate", "{file}", "--duration", "0s"),
        ("simulate", "{file}", "--duration", "9999h"),
        ("simulate", "{file}", "--duration", "24h"),
        ("simulate", "{file}", "--arrivals", "never"),
        ("simulate", "{file}", "--execution", "guess"),
        ("simulate", "{file}", "--execution", "profile"),
        ("whatif", "{file}"),
    ],
    ids=" ".join,
)
def test_bad_arguments_end_with_code_2(
    aegis: Aegis, write: Write, arguments: tuple[str, ...]
) -> None:
    path = write(FITS)
    said = aegis(*(part.replace("{file}", path) for part in arguments))
    assert said.code == 2
    assert "Traceback" not in said.err


def test_full_use_of_a_lane_is_decided_exactly(aegis: Aegis, write: Write) -> None:
    full = (
        "tasks: [{name: a, period_ms: 4, segments_ms: [2]}, {name: b, period_ms: 8, "
        "segments_ms: [%s, 2]}]"
    )
    assert aegis("check", write(full % "2")).code == 0
    assert aegis("check", write(full % "2.000001")).code == 1


def test_a_hyperperiod_beyond_64_bits_is_decided(aegis: Aegis, write: Write) -> None:
    primes = [1009.000007, 1013.000009, 1019.000011, 1021.000019, 1031.000021, 1033.000031]
    rows = "".join(
        f"- {{name: t{p:.0f}, period_ms: {p}, segments_ms: [{p / 7:.6f}]}}\n" for p in primes
    )
    assert aegis("check", write("tasks:\n" + rows)).code == 0


@pytest.mark.parametrize(("longest", "code"), [(0.15, 0), (0.6, 1)])
def test_five_thousand_tasks_are_answered(
    aegis: Aegis, write: Write, longest: float, code: int
) -> None:
    chance = random.Random(1)
    rows = "".join(
        f"- {{name: t{i}, period_ms: {chance.randint(50, 5000)}, "
        f"segments_ms: [{chance.uniform(0.01, longest):.3f}]}}\n"
        for i in range(5000)
    )
    assert aegis("check", write("tasks:\n" + rows)).code == code


def test_a_mistake_of_ours_is_no_answer(aegis: Aegis, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("aegis_ros.cli.check.run", broken)
    said = aegis("check", "any.yaml")
    assert said.code == 3
    assert "a bug in aegis" in said.err
