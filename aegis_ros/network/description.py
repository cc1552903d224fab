"""What a network's file says of it, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit

__all__ = ["Description", "describe"]


@dataclass(frozen=True, slots=True)
class Description:
    """A network's file.

    Attributes:
        opset: version of the standard operators.
        ir_version: version of the file format.
        producer: program that wrote it, with its version.
        operators: how many nodes of each operator, most frequent first; those of other domains
            carry theirs, as ``com.microsoft:Gelu``.
        parameters: how many numbers are learned.
        inputs: what must be fed; extents that are not fixed are names, ``?`` without one.
        outputs: what it gives; as ``inputs``.
        made_by: operator that computes each output; those that only move numbers are skipped.
        metadata: the file's own.
    """

    opset: int
    ir_version: int
    producer: str
    operators: Mapping[str, int]
    parameters: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    made_by: Mapping[str, str]
    metadata: Mapping[str, str]


def describe(
    file: ModelFile, *, arena_bytes: int = 1024**3, timeout_s: float = 60.0
) -> Description:
    """Read a network's file, in a child process.

    Args:
        file: an ONNX file, already found to be allowed.
        arena_bytes: what a network may take; the child process gets a few times as much.
        timeout_s: how long the child may take.

    Raises:
        ModelError: the file is no network, or not a valid one.
    """
    facts = run_child(
        "aegis_ros.network.description_child",
        {"source": str(file.path), "descriptor": file.descriptor, "digest": file.digest},
        allowed=Containment(memory_bytes=memory_limit(arena_bytes)),
        timeout_s=timeout_s,
        subject=file.path.name,
        descriptors=(file.descriptor,),
    )
    return Description(
        opset=int(facts["opset"]),
        ir_version=int(facts["ir_version"]),
        producer=str(facts["producer"]),
        operators=dict(facts["operators"]),
        parameters=int(facts["parameters"]),
        inputs=tuple(_info(item) for item in facts["inputs"]),
        outputs=tuple(_info(item) for item in facts["outputs"]),
        made_by=dict(facts["made_by"]),
        metadata=dict(facts["metadata"]),
    )


def _info(item: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(item["name"], item["dtype"], tuple(item["shape"]))
