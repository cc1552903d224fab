"""Stands in for compiled code while its preprocessing is made: passes every input on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from aegis_ros.errors import ModelError
from aegis_ros.network.compiled_code import CompiledCode
from aegis_ros.network.feed import Feed
from aegis_ros.network.model_file import hashed_content
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.rationale import Rule

__all__ = ["kept_code", "require_fed_as_compiled", "stand_in"]

_OPSET, _IR_VERSION = 17, 8


def stand_in(code: CompiledCode) -> onnx.ModelProto:
    """Return a network that takes what compiled code takes, and makes nothing but that.

    With preprocessing in front of it, it is what has to run before the code: its outputs are the
    code's inputs, in their order.
    """
    taken = {item.name for item in code.inputs}
    prefix = next(
        name
        for name in (f"fed{number or ''}_" for number in itertools.count())
        if not any(each.startswith(name) for each in taken)
    )
    passed = [f"{prefix}{index}" for index in range(len(code.inputs))]
    graph = helper.make_graph(
        [
            helper.make_node("Identity", [item.name], [name])
            for item, name in zip(code.inputs, passed, strict=True)
        ],
        "stand_in",
        [_value(item.name, item) for item in code.inputs],
        [_value(name, item) for item, name in zip(code.inputs, passed, strict=True)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def kept_code(request: Mapping[str, Any], name: str) -> int:
    """Copy code from its open file to the one that is kept of it; return its size.

    Args:
        request: ``descriptor`` of the file, its ``digest``, and ``kept``, the path of the copy.
        name: of the file, for errors.

    Raises:
        ModelError: the file is not what was hashed.
    """
    content = hashed_content(request["descriptor"], request["digest"], name)
    return Path(request["kept"]).write_bytes(content)


def require_fed_as_compiled(
    code: CompiledCode, made: Sequence[TensorInfo], feeds: Sequence[Feed]
) -> None:
    """Refuse preprocessing that makes other extents than code was compiled for.

    Args:
        code: what it says that it takes.
        made: outputs of its stand-in, behind the preprocessing.
        feeds: what feeds its inputs; for the error.

    Raises:
        ModelError: they differ.
    """
    names = {feed.name: feed for feed in feeds}
    for item, fed in zip(code.inputs, made, strict=True):
        if item.shape != fed.shape:
            feed = names.get(item.name, feeds[0])
            raise ModelError(
                f"the code was compiled for an input {item.name!r} of {list(item.shape)}, and the "
                f"task feeds it {list(fed.shape)}",
                where=f"{feed.where}preprocess",
                expected=f"what makes {list(item.shape)}",
                hint="Set layout, color and size as the network was compiled, or compile it anew",
                rule=Rule.MODEL_VALID,
            )


def _value(name: str, item: TensorInfo) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(item.dtype))
    return helper.make_tensor_value_info(name, kind, item.shape)
