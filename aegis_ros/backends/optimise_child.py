"""The child process that lets ONNX Runtime optimise one graph and save it."""

from __future__ import annotations

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Answer one request: ``{"source": path, "target": path}``."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    request = json.loads(sys.stdin.read())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = request["target"]
    try:
        onnxruntime.InferenceSession(
            request["source"], options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # told to the parent, whatever it is
        print(json.dumps({"problem": f"ONNX Runtime refuses the network ({str(error)[:300]})"}))
        return
    print("{}")


if __name__ == "__main__":
    main()
