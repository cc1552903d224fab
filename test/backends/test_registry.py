"""Backends by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import aegis_ros
from aegis_ros.backends import (
    backend_names,
    capabilities_of,
    create_backend,
    create_backends,
    registry,
)
from aegis_ros.backends.base import Capabilities
from aegis_ros.config import parse_config
from aegis_ros.errors import BackendError, ConfigError
from aegis_ros.plugins import Plugins
from aegis_ros.spec import DeviceSpec, LaneSpec


def test_ours_are_always_there():
    assert {"onnxruntime", "onnxruntime_cuda", "simulated"} <= set(backend_names())


def test_creates_a_backend_that_knows_its_name():
    assert create_backend("simulated").name == "simulated"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"onnxruntime, onnxruntime_cuda, .*simulated"):
        create_backend("onnxruntim")


@pytest.mark.parametrize("name", ["", "onnxruntime", "simulated"])
def test_lanes_get_multiprocessors_of_their_own_only_where_the_backend_has_them(name):
    lanes = parse_config(
        f"device: {{backend: '{name}', lanes: [{{name: a, sms: 8}}, {{name: b}}]}}"
    ).device.lanes
    with pytest.raises(ConfigError) as caught:
        create_backend(name, lanes)
    text = str(caught.value)
    assert f"backend '{name or 'onnxruntime'}' cannot divide a GPU" in text
    assert "device.lanes" in text
    assert "`backend: onnxruntime_cuda` or `tensorrt`" in text
    assert create_backend(name, (LaneSpec("main"),)).name == (name or "onnxruntime")


class _Able:
    capabilities = Capabilities(tf32=True)

    def __init__(self, *, tf32: bool = False) -> None:
        self.tf32 = tf32


class _Exact:
    capabilities = Capabilities()


def test_tf32_is_allowed_to_whoever_has_it_and_kept_from_the_others(monkeypatch):
    made = {"able": _Able, "exact": _Exact}
    monkeypatch.setattr(registry, "_factory", lambda name, where="": made[name])
    device = DeviceSpec("able", (LaneSpec("a"), LaneSpec("b", backend="exact")), tf32=True)
    backends = create_backends(device)
    assert backends["able"].tf32
    assert type(backends["exact"]) is _Exact
    assert not create_backends(replace(device, tf32=False))["able"].tf32
    with pytest.raises(ConfigError, match=r"device\.tf32.* has no effect"):
        create_backends(replace(device, backend="exact"))


def test_what_a_backend_can_do_is_known_without_its_device():
    assert capabilities_of("tensorrt").partitions
    assert not capabilities_of("tensorrt").on_cores
    assert capabilities_of().on_cores
    with pytest.raises(ConfigError):
        capabilities_of("onnxruntim")


class Boom:
    def __init__(self) -> None:
        raise RuntimeError("no such chip")


class Odd:
    capabilities = "fast"


@pytest.mark.parametrize(
    ("name", "said"),
    [("gone", "ModuleNotFoundError"), ("nameless", "AttributeError"), ("boom", "no such chip")],
)
def test_a_backend_whose_module_fails_is_named_with_its_key(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    here = f"{__name__}:"
    theirs = {"gone": "no_such_module:X", "nameless": f"{here}Nope", "boom": f"{here}Boom"}
    monkeypatch.setattr(registry, "_BACKENDS", Plugins("backend", "none", "here", theirs))
    with pytest.raises(BackendError, match=rf"^lanes: backend '{name}' cannot be used.*{said}"):
        create_backend(name, where="lanes")


def test_a_backend_that_says_nonsense_of_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"odd": f"{__name__}:Odd"}
    monkeypatch.setattr(registry, "_BACKENDS", Plugins("backend", "none", "here", theirs))
    with pytest.raises(BackendError, match=r"backend 'odd' cannot be used.*its capabilities"):
        capabilities_of("odd")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("GPU", "an Intel GPU by `backend: openvino_gpu`"),
        ("GPU.1", "`backend: tensorrt`, an Intel GPU by `backend: openvino_gpu`"),
        ("cuda:0", "an NVIDIA GPU is used by `backend: onnxruntime_cuda` or `backend: tensorrt`."),
        ("CPU", "`backend: openvino` and `backend: tvm` compute on the processor"),
        ("npu", "an Intel NPU is used by `backend: openvino_npu`"),
    ],
)
def test_a_kind_of_device_for_a_backend_is_answered_with_what_computes_on_it(
    word: str, said: str
) -> None:
    with pytest.raises(ConfigError, match="there is no such backend") as caught:
        create_backend(word)
    assert said in str(caught.value) and "Did you mean" not in str(caught.value)
    named = set(re.findall(r"`backend: (\w+)`", str(caught.value)))
    assert named and named <= set(backend_names())


ROOT = Path(aegis_ros.__file__).parents[1]
# Backends whose names are words of their own: not "simulated", and not the library that reads and
# checks every network, whatever runs it.
RUNTIMES = sorted({*backend_names()} - {"simulated", "onnxruntime"})
# A decoder reads what an exporter of that name has added to a network.
OF_EXPORTERS = {"aegis_ros/decoders/exports.py: TensorRT"}
SHIPPED = ("aegis_ros", "launch", "config", "msg", "srv", "action")


def _beside_backends() -> Iterator[Path]:
    """Yield the files that a robot gets, but for those of the backends."""
    ours = ROOT / "aegis_ros" / "backends"
    for folder in SHIPPED:
        for path in sorted((ROOT / folder).rglob("*")):
            text = path.suffix in {
                ".py",
                ".yaml",
                ".xml",
                ".msg",
                ".srv",
                ".action",
                ".html",
                ".js",
            }
            if text and not path.is_relative_to(ours):
                yield path


def test_no_runtime_is_named_or_imported_outside_the_folder_of_backends() -> None:
    """Neither in code nor in sentences, comments, launch files and configurations."""
    names = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(RUNTIMES)})(?![A-Za-z])", re.IGNORECASE)
    folders = [path.parent.name for path in (ROOT / "aegis_ros/backends").glob("*/__init__.py")]
    inside = re.compile(rf"aegis_ros\.backends\.(?:{'|'.join(folders)})\b")
    assert {"cpu", "cuda"} <= {*folders}
    found = {
        f"{path.relative_to(ROOT)}: {said[0]}"
        for path in _beside_backends()
        for pattern in (names, inside)
        for said in pattern.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == OF_EXPORTERS


def test_no_backend_is_asked_for_by_name_outside_the_folder_of_backends() -> None:
    names = {*backend_names(), "trt", "ort"}
    found = [
        f"{path.relative_to(ROOT)}: {text[:60]!r}"
        for path in _beside_backends()
        if path.suffix == ".py"
        for text in _texts(path)
        if re.search(r"\bonnxruntime\b", text) or text in names
    ]
    assert found == []


def _texts(path: Path) -> list[str]:
    """Return the texts of a module, but not the names of distributions whose version it asks."""
    tree = ast.parse(path.read_text())
    asked = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "version"
        for argument in node.args
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in asked
    ]
