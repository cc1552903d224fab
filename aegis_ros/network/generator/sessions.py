"""Opens the parts of a model in ONNX Runtime, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aegis_ros.errors import BackendError, load_error
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["opened_sessions"]


def opened_sessions(paths: Sequence[str]) -> list[Any]:
    """Return a session of each part, on one thread that does not spin.

    Args:
        paths: of graphs that were optimised when they were made.

    Raises:
        BackendError: ONNX Runtime refuses a part.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # In the arena, what the same model takes differed by up to 160 MiB from one load to the next.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    try:
        return [
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for path in paths
        ]
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), BackendError) from error
