"""The work of the child process that prepares one network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.feed import Feed
from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.network.model_file import hashed_content
from aegis_ros.network.rows import SeenOutput, bound_rows
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.network.tensor import DTYPE_OF_ONNX, TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import (
    GraphInvalid,
    LoadFailure,
    OperatorFailed,
    RuntimeRefuses,
    ShapesDoNotFit,
)
from aegis_ros.spec import Color, Interpolation, Layout, PreprocessSpec, ResizeMode

__all__ = ["answer"]

_OF_SHAPES = (
    GraphInvalid,
    OperatorFailed,
    RuntimeRefuses,
    ShapesDoNotFit,
)  # what a wrong size ends in


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the network a request describes; return the facts that are cached beside it."""
    import onnx

    from aegis_ros.network.binding import bind_inputs, fixed_batch, size_refused
    from aegis_ros.network.graph import (
        at_largest,
        checked_graph,
        estimate_bytes,
        estimate_flops,
        fuse_bound,
        tensor_infos,
    )
    from aegis_ros.network.rebatch import runs_alone

    feeds = [_feed(fields) for fields in request["feeds"]]
    source = Path(request["source"])
    content = hashed_content(request["descriptor"], request["digest"], source.name)
    model = checked_graph(content, source)
    del content
    metadata = bounded_metadata((item.key, item.value) for item in model.metadata_props)
    other_size = size_refused(model, feeds)
    batch = fixed_batch(model, feeds)
    if batch != 1 and not runs_alone(model, batch):
        raise ModelError(
            f"the network takes exactly {batch} images at once, and 1 comes at a time",
            where="model",
            expected="a first extent of 1, or one that is free",
            hint="Export the network with a batch of 1, or with a dynamic batch dimension",
            rule=Rule.MODEL_VALID,
        )
    bounds = bind_inputs(model, feeds, request["dimensions"])
    feeds = [
        replace(feed, max_shape=bound.largest) for feed, bound in zip(feeds, bounds, strict=True)
    ]
    fused = fuse_bound(model, feeds, bounds)
    inputs = tensor_infos(fused.graph.input)
    onnx.save_model(fused, request["target"])
    outputs = _probe(
        Path(request["target"]), inputs, feeds, other_size, max_results=request["max_results"]
    )
    if any(feed.batch for feed in feeds):
        fused = at_largest(fused, feeds)
    weights, activations = estimate_bytes(fused)
    return {
        "differs": _differs(inputs, feeds),
        "inputs": [asdict(item) for item in inputs],
        "frames": [
            {"largest": each.largest, "least": each.least, "most": each.most} for each in bounds
        ],
        "outputs": [asdict(item) for item in outputs],
        "weight_bytes": weights,
        "activation_bytes": activations,
        "flops": estimate_flops(fused),
        "metadata": metadata,
    }


def _differs(inputs: Sequence[TensorInfo], feeds: Sequence[Feed]) -> list[str]:
    """Return in what the prepared network differs from what versions before made of it."""
    renamed = not all(re.fullmatch("frame[0-9]*", item.name) for item in inputs)
    rounded = any(feed.preprocess.dtype in ("int32", "int64") for feed in feeds)
    return ["names"] * renamed + ["rounded"] * rounded


def _probe(
    path: Path,
    inputs: Sequence[TensorInfo],
    feeds: Sequence[Feed],
    other_size: LoadFailure | None,
    *,
    max_results: int,
) -> tuple[TensorInfo, ...]:
    """Run the network twice and return its outputs with the extents they had, or may have.

    Args:
        path: of the fused network.
        inputs: its inputs.
        feeds: what feeds them.
        other_size: why it is likely to fail on its input, if it does.
        max_results: rows that are kept of outputs of which each run decides how many there are; 0
            for what is usual.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [item.name for item in session.get_outputs()]
        generator = np.random.default_rng(0)
        fed = list(zip(inputs, feeds, strict=True))
        runs = [
            session.run(names, frames)
            for frames in (
                {item.name: np.zeros(feed.max_shape, item.dtype) for item, feed in fed},
                {
                    item.name: (generator.random(feed.max_shape, np.float32) * 255).astype(
                        item.dtype
                    )
                    for item, feed in fed
                },
            )
        ]
    except Exception as error:
        failure = runtime_failure(error)
        if other_size is not None and isinstance(failure, _OF_SHAPES):
            failure = other_size
        raise load_error(failure, ModelError) from error
    infos, seen = [], []
    for item, first, second in zip(session.get_outputs(), *runs, strict=True):
        if not isinstance(first, np.ndarray) or item.type not in DTYPE_OF_ONNX:
            raise ModelError(
                f"output {item.name!r} is {item.type}, not a tensor of numbers",
                where="model",
                hint="Cut it off, or convert it inside the graph",
                rule=Rule.MODEL_VALID,
            )
        extents = tuple(max(a, b) for a, b in zip(first.shape, second.shape, strict=True))
        infos.append(TensorInfo(item.name, DTYPE_OF_ONNX[item.type], extents))
        seen.append(SeenOutput(tuple(item.shape), (first.shape, second.shape)))
    return bound_rows(infos, seen, max_results)


def _feed(fields: Mapping[str, Any]) -> Feed:
    return Feed(
        _spec(fields["preprocess"]), tuple(fields["max_shape"]), fields["name"], fields["batch"]
    )


def _spec(fields: Mapping[str, Any]) -> PreprocessSpec:
    values = dict(fields)
    values["size"] = tuple(values["size"]) if values["size"] else None
    values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
    for name, kind in (
        ("color", Color),
        ("layout", Layout),
        ("resize", ResizeMode),
        ("interpolation", Interpolation),
    ):
        values[name] = kind(values[name])
    return PreprocessSpec(**values)
