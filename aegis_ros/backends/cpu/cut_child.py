"""The work of the child process that cuts one optimised graph.

It holds the parts to the outputs of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork
from aegis_ros.backends.exact import not_exact
from aegis_ros.backends.probes import probes
from aegis_ros.errors import ModelError, StateError
from aegis_ros.network.plain_text import plain

__all__ = ["answer"]

_TIMED_RUNS = 7
_EVERY_OPERATOR_NS = 1_000.0  # around each of them; the profiler reports whole microseconds
_KERNEL = "_kernel_time"


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Cut a network as :func:`cut_network` does; whatever goes wrong is ``refused``."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        return cut_network(request)
    except (OSError, MemoryError, StateError):
        raise  # of the machine, not of the network: another time it may work
    except ModelError as error:
        return {"refused": error.problem}
    except Exception as error:  # reported to the parent, whatever it is
        return {"refused": f"its parts cannot be run ({plain(str(error))})"}


def cut_network(request: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the graph of ``request["compiled"]`` into ``request["parts"]`` files.

    ``request["load_ns_per_byte"]`` is what loading a byte of weights counts, beside computing.

    Returns:
        ``paths``, ``shares``, ``cuts``, ``crossing_bytes``, ``complete_after``; or ``refused``, a
        sentence.

    Raises:
        ModelError: code ``model_cut``: there are too few places to cut at.
        StateError: the graph is not what was built.
    """
    import onnx

    from aegis_ros.backends.cpu.onnxruntime import load_session
    from aegis_ros.network.cut import cut, runtime_tensors

    whole = CompiledNetwork.from_json(request["compiled"])
    folder = Path(request["folder"])
    with whole.opened(StateError) as (file,):
        model = onnx.load_model(file)
    made = cut(
        model,
        request["parts"],
        tensors=runtime_tensors(model, _session),
        costs=[
            computing + request["load_ns_per_byte"] * loading
            for computing, loading in zip(
                _measure_operators(model, _named(whole, probes(whole.inputs)[0]), folder),
                _weight_bytes(model),
                strict=True,
            )
        ],
    )
    paths = [str(path) for path in made.save(folder)]
    complete_after = [made.completes(item.name) for item in whole.outputs]
    parts = replace(whole, paths=tuple(paths), digests=(), complete_after=tuple(complete_after))
    with whole.opened(StateError) as files:
        one = load_session(whole, files)
    refused = not_exact(whole, one, parts, load_session(parts, parts.paths))
    if refused:
        return {"refused": refused}
    sizes = [item.nbytes for items in made.crossings for item in items if item.static]
    return {
        "paths": paths,
        "shares": list(made.shares),
        "cuts": made.identity,
        "crossing_bytes": sum(sizes),
        "complete_after": complete_after,
    }


def _measure_operators(
    model: Any, frames: dict[str, npt.NDArray[np.generic]], folder: Path
) -> list[float]:
    """Return the execution time of each operator, nanoseconds."""
    import onnx

    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = f"operator{index}"
    session = _session(named, profile=str(folder / "operators"))
    for _ in range(_TIMED_RUNS):
        session.run(None, frames)
    profile = Path(session.end_profiling())
    taken: dict[str, list[float]] = {}
    for event in json.loads(profile.read_text()):
        if event["name"].endswith(_KERNEL):
            taken.setdefault(event["name"].removesuffix(_KERNEL), []).append(event["dur"] * 1e3)
    profile.unlink()
    return [
        _EVERY_OPERATOR_NS + float(np.median(taken.get(node.name, [0.0])))
        for node in named.graph.node
    ]


def _weight_bytes(model: Any) -> list[int]:
    """Return the bytes of the weights of each operator; those of several count for the first."""
    left = {item.name: item.ByteSize() for item in model.graph.initializer}
    return [sum(left.pop(name, 0) for name in node.input) for node in model.graph.node]


def _named(compiled: CompiledNetwork, inputs: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    names = [item.tensor.name for item in compiled.inputs]
    return dict(zip(names, inputs, strict=True))


def _session(model: Any, profile: str = "") -> Any:
    import onnxruntime

    from aegis_ros.backends.cpu.onnxruntime import session_options

    options = session_options()
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
