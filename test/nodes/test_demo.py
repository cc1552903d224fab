"""The demo's own configuration on the demo's own recordings: every network is right."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from rclpy.serialization import serialize_message

from aegis_ros.config import load_config
from aegis_ros.decoders import Decoded, FrameInfo, create_decoder
from aegis_ros.network import Feed, prepare, resolve_model
from aegis_ros.nodes import cdr
from aegis_ros.nodes.intake import write_frame
from aegis_ros.nodes.recordings import open_recording
from aegis_ros.nodes.replay_config import load_replay, locate
from aegis_ros.orchestrator import Stream
from aegis_ros.planning.feeds import max_shape
from aegis_ros.spec import TaskSpec

_CONFIG = Path(__file__).resolve().parents[2] / "config"


@cache
def first_message(topic: str) -> Any:
    config = load_replay(_CONFIG / "demo_replay.yaml")
    (source,) = [each for each in config.sources if each.topic == topic]
    return next(iter(open_recording(source, locate(source)))).message


def frame_of(spec: TaskSpec) -> np.ndarray:
    """Take the recording's first message as the node would."""
    layout, shape = spec.preprocess.frame_format, max_shape(spec)
    stream = Stream("", spec.input.topic, spec.input.type, spec.input.qos, layout, shape)
    reader = cdr.Reader(bytes(serialize_message(first_message(spec.input.topic))))
    header = cdr.read_header(reader)
    dtype = np.uint8 if len(shape) == 3 else np.float32
    return write_frame(stream, reader, header, lambda extents: np.zeros(extents, dtype))[0]


def answer(name: str, cache_dir: Path) -> Decoded:
    config = load_config(_CONFIG / "demo.yaml")
    (spec,) = [each for each in config.tasks if each.name == name]
    root = Path(__file__).resolve().parents[2]
    model = spec.model.replace("package://aegis_ros/models", str(root / "aegis_ros" / "models"))
    prepared = prepare(
        resolve_model(model, [str(root)]),
        (Feed(spec.preprocess, max_shape(spec)),),
        cache_dir=cache_dir,
    )
    frame = frame_of(spec)
    session = onnxruntime.InferenceSession(str(prepared.path))
    names = [item.name for item in prepared.outputs]
    outputs = dict(zip(names, session.run(names, {"frame": frame}), strict=True))
    output = spec.output
    decoder = create_decoder(
        output.decoder,
        output.options,
        spec.preprocess,
        prepared.outputs,
        metadata=prepared.metadata,
    )
    return decoder.decode(outputs, FrameInfo.of(frame.shape, spec.preprocess))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("face_detector", lambda found: len(found.boxes) == 1 and found.scores[0] > 0.7),
        ("obstacles", lambda found: len(found.boxes) > 10),
        ("text_detector", lambda found: len(found.quads) >= 5),
        ("text_reader", lambda found: found.texts == ("Region-based segmentation",)),
        ("direction", lambda found: found.labels[0] == "upright" and found.scores[0] > 0.9),
        ("orientation", lambda found: found.labels[0] == "0" and found.scores[0] > 0.8),
    ],
)
def test_the_networks_of_the_demo_are_right(name: str, right: Any, tmp_path: Path) -> None:
    assert right(answer(name, tmp_path))


def test_every_topic_the_demo_takes_is_one_it_plays() -> None:
    played = {each.topic for each in load_replay(_CONFIG / "demo_replay.yaml").sources}
    taken = {each.input.topic for each in load_config(_CONFIG / "demo.yaml").tasks}
    assert taken == played
