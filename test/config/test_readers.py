"""Text from strangers is read within bounds, or refused before anything is built of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aegis_ros.config import (
    default_state_dir,
    expanded,
    parse_task,
    read_json,
    read_text,
    read_yaml,
    yaml_reader,
)
from aegis_ros.errors import ConfigError


def multiplying(levels: int) -> str:
    """Aliases that make ten of one at each level."""
    more = (f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels))
    return "\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x,x]", *more])


@pytest.mark.parametrize("levels", [2, 7, 30])
def test_aliases_are_refused_before_they_multiply(levels: int) -> None:
    with pytest.raises(ConfigError, match=r"options:2: .*aliases"):
        read_yaml(multiplying(levels), "options")


@pytest.mark.parametrize("text", ["a: " + "[" * 33 + "]" * 33, "{a: " * 33 + "1" + "}" * 33])
def test_deep_yaml_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"options:1: .*more than 32 lists and mappings"):
        read_yaml(text, "options")
    with pytest.raises(ConfigError, match="more than 32"):
        read_yaml(text[:1] + text[1:] * 900, "options")


def test_yaml_as_deep_as_is_allowed_is_read() -> None:
    values, _ = read_yaml("a: " + "[" * 31 + "]" * 31, "options")
    assert str(values["a"]) == "[" * 31 + "]" * 31


def test_long_text_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match=r"too long \(got 11 characters\); expected at most 10"):
        read_yaml("{a: 123456}", "options", most_characters=10)
    with pytest.raises(ConfigError, match="too long"):
        read_json("[1, 2, 3, 4]", "entry", most_bytes=10)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("!!bool 3", "'3' is no bool"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("!!int ''", "'' is no int"),
        ("2020-99-99", "'2020-99-99' is no timestamp"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_line(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"robot\.yaml:2: not valid YAML: {said}"):
        read_yaml(f"tasks: []\ndevice: {value}\n", "robot.yaml")


@pytest.mark.parametrize(
    "text",
    ["{", "[1,]", "NaN", '{"a": Infinity}', "[" * 100_000, '[{"a":' * 40, "9" * 5000, b"\xff\xfe"],
)
def test_what_is_no_json_is_refused_in_words(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"entry: "):
        read_json(text, "entry")


def test_deep_json_is_refused() -> None:
    assert read_json("[" * 32 + "]" * 32, "entry") != []
    with pytest.raises(ConfigError, match="more than 32"):
        read_json("[" * 34 + "]" * 34, "entry")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match=r"not a regular file"):
            read_text(path)


def test_a_file_that_is_too_large_is_refused_by_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("#" * 11)
    with pytest.raises(ConfigError, match=r"too large \(got 11 bytes\); expected at most 10"):
        read_text(tmp_path / "big", most_bytes=10)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory\)\. Check the path"):
        read_text(tmp_path / "absent")
    (tmp_path / "latin").write_bytes("Tür".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"not text in UTF-8 \(byte 1\)"):
        read_text(tmp_path / "latin")


def test_the_home_of_nobody_is_a_path_like_any_other() -> None:
    assert expanded("~nosuch/x.onnx") == Path("~nosuch/x.onnx")


def test_state_needs_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    assert default_state_dir() == Path("/home/robot/.ros/aegis_ros")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # neither HOME nor an entry
    with pytest.raises(ConfigError, match=r"Set HOME, or give state_dir"):
        default_state_dir()


@pytest.mark.parametrize("text", ["a: [%s]" % ("x," * 30), "a: [%s]" % ("{}," * 30), "- x\n" * 40])
def test_many_short_values_are_refused_before_they_are_built(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("aegis_ros.config.yaml_reader._Reader", None)  # what builds
        with pytest.raises(ConfigError, match=r"options.*more than 20 keys and values"):
            read_yaml(text, "options", most_values=20)
    assert len(read_yaml("a: [1, 2, 3]", "options", most_values=6)[0]["a"]) == 3


@pytest.mark.parametrize(
    "text", ["a: 0x" + "f" * 5_000, "a: -0b1" + "0" * 9_000, "a: 0x" + "f" * 1_000]
)
def test_numbers_that_cannot_be_written_down_are_refused(text: str) -> None:
    """Hexadecimal ones are not bounded by Python, and an error that showed them was a traceback."""
    with pytest.raises(ConfigError, match=r"robot\.yaml:1: .*is no int"):
        read_yaml(text, "robot.yaml")


@pytest.mark.parametrize("kind", ["int", "float"])
def test_numbers_to_the_base_of_60_are_refused_before_they_are_read(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part multiplies all before it: 64 KiB took 0.6 s, a file of 1 MiB two minutes."""
    read: list[str] = []
    monkeypatch.setitem(
        yaml_reader._Reader.yaml_constructors,
        f"tag:yaml.org,2002:{kind}",
        lambda reader, node: read.append(node.value),
    )
    end = {"int": "1", "float": "1.5"}[kind]
    with pytest.raises(ConfigError, match=rf"robot\.yaml:1: .*is no {kind}"):
        read_yaml("a: " + "1:" * 600 + end, "robot.yaml")
    assert read == []
    read_yaml("a: 1:30:" + end, "robot.yaml")
    assert read == ["1:30:" + end]


def test_a_hundred_thousand_mistakes_are_counted_and_the_first_explained() -> None:
    entry = {f"key{number}": 1 for number in range(100_000)}
    with pytest.raises(ConfigError) as caught:
        parse_task(entry, "entry")
    said = str(caught.value)
    assert "mistakes:" in said and "more" in said.splitlines()[-1]
    assert said.count("unknown key") <= 20
    assert len(said) < 20_000
