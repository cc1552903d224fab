"""Requests to register a task: every field of the message, the model it names, its decoder.

An input is the request as JSON, with the fields of ``ModelTask``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from aegis_ros.msg import ModelTask, TaskSource

from aegis_ros.decoders import create_decoder, decoder_names
from aegis_ros.errors import AegisError
from aegis_ros.network import TensorInfo, open_model
from aegis_ros.nodes.task_message import task_from_message, task_to_message
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, SEEDS, Target, Try, answered, words
from test.fuzz.targets.configuration import YAML_WORDS
from test.orchestrator.house import make_model

__all__ = ["TARGET"]

_OUTPUTS = (TensorInfo("output", "float32", (1, 84, 100)), TensorInfo("other", "int64", (1, 8)))
_MODELS = words("models")
_WORDS = (
    *YAML_WORDS,
    *(name.encode() for name in (*decoder_names(), *_MODELS)),
    *b"batch=1 batch=-1 batch=1_0 =1 a==1 high low best_effort skip_next demote stop".split(),
    *b"sensor_msgs/msg/Image /camera ../x \\x00 {threshold: 0.5} {labels: coco}".split(b" "),
)
_TEXT = Mutator(_WORDS, most_bytes=128 * 1024, text=True)
_NUMBERS = (0.0, -0.0, 1e-9, 0.001, 1.0, 33.3, 1e9, 1e308, -1.0, float("nan"), float("inf"))
_COUNTS = (0, 1, 2, 3, 16, 255, 65_535, 2**31 - 1, 2**32 - 1)


def _request(**changes: Any) -> dict[str, Any]:
    task: dict[str, Any] = {
        "name": "detector",
        "model": "net.onnx",
        "input": {"topic": "/camera", "max_size": [16, 24]},
        "preprocess": {"size": [8, 8]},
        "period_ms": 100.0,
        "wcet_ms": 10.0,
        "output": {"topic": "/result"},
    }
    return task | changes


def _seeds() -> Sequence[bytes]:
    stream = {"topic": "/left", "max_size": [16, 24]}
    tasks = [
        _request(),
        _request(output={"topic": "/r", "decoder": "boxes", "options": "{threshold: 0.5}"}),
        _request(output={"topic": "/r", "decoder": "classification", "options": "{labels: coco}"}),
        _request(criticality="low", max_decimation=4, dimensions=["batch=1"], queue=2),
        _request(on_overrun="early_exit", early_exit="{output: other}"),
        {
            **_request(input={}, preprocess={}),
            "inputs": [
                {"name": name, "stream": stream, "preprocess": {"size": [8, 8]}}
                for name in ("left", "right")
            ],
            "sync": {"tolerance_ms": 5.0},
        },
        *(
            _request(output={"topic": "/r", "options": path.read_text()})
            for path in sorted((SEEDS / "service").iterdir())
        ),
    ]
    return [json.dumps(task).encode() for task in tasks]


def _mutate(seeds: Sequence[bytes], rng: Random) -> bytes:
    task = json.loads(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        _bend(task, ModelTask(), rng)
    return json.dumps(task).encode()


def _bend(values: dict[str, Any], message: Any, rng: Random) -> None:
    """Change a field of a request, or of what lies in it."""
    kinds = message.get_fields_and_field_types()
    name = rng.choice(list(kinds))
    now = getattr(message, name)
    if hasattr(now, "get_fields_and_field_types"):
        inner = values.setdefault(name, {})
        _bend(inner if isinstance(inner, dict) else {}, now, rng)
    elif kinds[name] == "sequence<aegis_ros/TaskSource>":
        sources = values.setdefault(name, [])
        if not sources or rng.random() < 0.2:
            sources += [{"name": "x"}] * rng.choice((1, 2, 300))
        _bend(rng.choice(sources), TaskSource(), rng)
    elif isinstance(now, bool):
        values[name] = rng.random() < 0.5
    elif isinstance(now, str):
        values[name] = _text(values.get(name, ""), rng)
    elif isinstance(now, float):
        values[name] = rng.choice(_NUMBERS)
    elif isinstance(now, int):
        values[name] = rng.choice(_COUNTS)
    elif isinstance(now, list):  # of text
        values[name] = [_text("batch=1", rng) for _ in range(rng.choice((0, 1, 2, 65, 5_000)))]
    else:  # an array of numbers
        of = _COUNTS if "int" in kinds[name] else _NUMBERS
        values[name] = [rng.choice(of) for _ in range(rng.randint(0, 6))]


def _text(now: object, rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(_WORDS).decode(errors="replace")
    return _TEXT([str(now).encode(errors="replace")], rng).decode(errors="replace")


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder = scratch / "models"
    _fill(folder, scratch)
    before = Path.cwd()
    os.chdir(folder)

    def register(message: ModelTask) -> None:
        spec = task_from_message(message)
        assert task_from_message(task_to_message(spec)) == spec
        with open_model(spec.model, [str(folder), "package://aegis_ros/models"]) as file:
            if file.size < MIB:
                assert file.digest
        create_decoder(
            spec.output.decoder, spec.output.options, spec.main_preprocess, _OUTPUTS, metadata={}
        )

    def work(data: bytes) -> bool:
        message = ModelTask()
        try:
            _assign(message, json.loads(data))
        except (ValueError, AssertionError, TypeError, AttributeError, RecursionError):
            return False  # ROS itself would not send it
        return answered(lambda: register(message), AegisError)

    try:
        yield work
    finally:
        os.chdir(before)


def _fill(folder: Path, scratch: Path) -> None:
    """Lay out what a models folder may hold."""
    folder.mkdir()
    make_model(folder / "net.onnx")
    make_model(scratch / "secret.onnx")
    (folder / "out.onnx").symlink_to("/etc/passwd")
    (folder / "loop.onnx").symlink_to("loop.onnx")
    (folder / "folder.onnx").mkdir()
    os.mkfifo(folder / "pipe.onnx")
    with (folder / "sparse.onnx").open("wb") as file:
        file.truncate(8 * 1024**3)
    (folder / "empty.onnx").touch()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n"
    (folder / "lfs.onnx").write_text(pointer)


def _assign(message: Any, values: dict[str, Any]) -> None:
    """Set fields as ``ros2 service call`` sets them."""
    for name, value in values.items():
        now = getattr(message, name)
        if isinstance(value, dict):
            _assign(now, value)
        elif name == "inputs":
            sources = []
            for each in value:
                sources.append(TaskSource())
                _assign(sources[-1], each)
            message.inputs = sources
        else:
            setattr(message, name, value)


TARGET = Target(
    name="service",
    title="register_model requests",
    seeds=_seeds,
    mutate=_mutate,
    opened=_opened,
    weight=0.6,
    brief=400,
)
