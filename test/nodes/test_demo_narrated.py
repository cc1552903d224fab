"""The demo as a process of its own, beside a language model that is made up."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")
pytest.importorskip("rclpy", reason="ROS 2: `make build`, then `make unit`")

from test.interrupted import Interrupted
from test.network.builders import identity_network
from test.network.generator.models import LAYERS, weights, write_gguf
from test.nodes.made_up_weights import put_weights

_ROOT = Path(__file__).resolve().parents[2]


def _model(path: Path) -> Path:
    """One with a layer for each of the parts that the demo wants, and a context as long."""
    more = {
        name.replace(f"blk.{layer}.", f"blk.{layer + LAYERS}."): array
        for layer in range(LAYERS)
        for name, array in weights().items()
        if name.startswith(f"blk.{layer}.")
    }
    said = {"llama.context_length": 512, "llama.block_count": 2 * LAYERS}
    return write_gguf(path, said=said, tensors=more)


def test_the_demo_says_what_is_seen_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    packages = put_weights(tmp_path / "installed", _model(tmp_path / "tiny.gguf").read_bytes())
    identity_network(folder / "pixel.onnx", (1, 3, 1, 1))
    # One of the topics that the demo plays.
    (folder / "robot.yaml").write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], realtime_priority: 0}\n"
        f"models: {{roots: ['{folder}']}}\n"
        "tasks:\n"
        "  - {name: light, model: pixel.onnx, period_ms: 200, jitter_ms: 50,\n"
        "     input: {topic: /camera/sign/image_raw, max_size: [480, 640]},\n"
        "     preprocess: {size: [1, 1]},\n"
        "     output: {topic: /light, decoder: classification, options: {labels: [r, g, b]}}}\n"
    )
    paths = os.pathsep.join([str(packages), str(_ROOT), *sys.path])
    command = [sys.executable, "-m", "aegis_ros.nodes.demo", "--llm", "--seconds", "0"]
    command += ["--output", ".", "--config", "robot.yaml"]
    with Interrupted(command, folder, PYTHONPATH=paths) as running:
        running.until(lambda: "active | " in running.said())
        running.until(lambda: re.search(r"narrator \| answers [1-9]", running.said()))
        running.interrupt()
        assert running.ended() == 130
