"""The work of the child process that prepares one network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.compiled_code import CompiledCode
from aegis_ros.network.feed import Feed
from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.spec import Color, Interpolation, Layout, PreprocessSpec, ResizeMode

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the network a request describes; return the facts that are cached beside it."""
    import onnx

    from aegis_ros.network.binding import bind_inputs, fixed_batch, size_refused
    from aegis_ros.network.graph import (
        at_largest,
        estimate_bytes,
        estimate_flops,
        fuse_bound,
        read_graph,
        tensor_infos,
    )
    from aegis_ros.network.guards import guarded
    from aegis_ros.network.rebatch import runs_alone
    from aegis_ros.network.stand_in import kept_code, require_fed_as_compiled, stand_in
    from aegis_ros.network.trial import tried

    feeds = [_feed(fields) for fields in request["feeds"]]
    source = Path(request["source"])
    code = CompiledCode.from_json(request["code"]) if "code" in request else None
    if code is None:
        model = read_graph(request["descriptor"], request["digest"], source)
    else:
        code_bytes = kept_code(request, source.name)
        model = stand_in(code)
    metadata = bounded_metadata((item.key, item.value) for item in model.metadata_props)
    other_size = size_refused(model, feeds)
    if code is not None and other_size is not None:  # code runs on the size it was compiled for
        raise load_error(other_size, ModelError)
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
    plain = fuse_bound(model, feeds, bounds)
    fused = guarded(plain)
    inputs = tensor_infos(fused.graph.input)
    onnx.save_model(fused, request["target"])
    trial = tried(
        fused,
        Path(request["target"]),
        feeds,
        max_results=request["max_results"],
        other_size=other_size,
    )
    if code is not None:
        require_fed_as_compiled(code, trial.outputs, feeds)
    if any(feed.batch for feed in feeds):
        fused = at_largest(fused, feeds)
    weights, activations = estimate_bytes(fused)
    facts = {
        "differs": [
            *_differs(inputs, feeds),
            *([] if trial.busy is None else ["busy"]),
            *([] if fused is plain else ["guarded"]),
        ],
        "inputs": [asdict(item) for item in inputs],
        "frames": [
            {"largest": each.largest, "least": each.least, "most": each.most} for each in bounds
        ],
        **asdict(trial),
        "weight_bytes": weights,
        "activation_bytes": activations,
        "flops": estimate_flops(fused),
        "metadata": metadata,
    }
    return facts if code is None else _of_code(facts, code, code_bytes)


def _of_code(facts: dict[str, Any], code: CompiledCode, code_bytes: int) -> dict[str, Any]:
    """Return the facts of code that runs behind what they are of."""
    return facts | {
        "outputs": [asdict(item) for item in code.outputs],
        "weight_bytes": facts["weight_bytes"] + code_bytes,
        "activation_bytes": facts["activation_bytes"]
        + sum(item.nbytes for item in (*code.inputs, *code.outputs)),
        "metadata": code.metadata,
    }


def _differs(inputs: Sequence[TensorInfo], feeds: Sequence[Feed]) -> list[str]:
    """Return in what the prepared network differs from what versions before made of it."""
    renamed = not all(re.fullmatch("frame[0-9]*", item.name) for item in inputs)
    rounded = any(feed.preprocess.dtype in ("int32", "int64") for feed in feeds)
    return ["names"] * renamed + ["rounded"] * rounded


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
