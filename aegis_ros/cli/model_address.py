"""The model that a command line names, and the folders it may then be loaded from."""

from __future__ import annotations

from pathlib import Path

__all__ = ["model_address"]


def model_address(model: str) -> tuple[str, list[str]]:
    """Return the URI of a model, and the allowed roots: whoever names a file allows its folder.

    Args:
        model: path of a file, or a ``pypi://`` or ``package://`` address.
    """
    if "://" not in model:
        path = Path(model).expanduser().resolve()
        # Exports for several runtimes keep their graphs in a folder below all other files.
        folder = path.parent.parent if path.parent.name == "onnx" else path.parent
        return str(path), [str(folder)]
    if model.startswith("package://"):
        return model, ["package://" + model.split("/", 3)[2]]
    return model, []
