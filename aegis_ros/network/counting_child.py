"""The work of the child process that counts what a network finds in frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.network.model_file import hashed_content

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most that the network of a request finds in one of its frames."""
    import onnx

    from aegis_ros.network.trial import most_rows

    scratch = Path(request["scratch"])
    content = hashed_content(request["descriptor"], request["digest"], request["name"])
    path = scratch / "network.onnx"
    path.write_bytes(content)
    frames = [
        np.load(scratch / f"{index}.npy", mmap_mode="r", allow_pickle=False)
        for index in range(request["inputs"])
    ]
    model = onnx.load_model_from_string(content)
    return {"found": most_rows(model, path, frames, request["rows_axes"])}
