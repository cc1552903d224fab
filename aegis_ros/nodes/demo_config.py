"""The demo's configuration with another runtime on its lanes."""

from __future__ import annotations

from pathlib import Path

import yaml

from aegis_ros.config import load_config, read_text
from aegis_ros.config.yaml_reader import read_yaml

__all__ = ["with_backend"]


def with_backend(config: Path, backend: str, folder: Path) -> Path:
    """Return a file that says the same, but that all lanes have one backend.

    Args:
        config: of an orchestrator; its URIs must not depend on where it lies.
        backend: its name; whether there is one, the orchestrator says.
        folder: for the file.

    Raises:
        ConfigError: the file is no configuration.
    """
    load_config(config)  # what follows takes it to be one
    values, _ = read_yaml(read_text(config), str(config))
    device = values.setdefault("device", {})
    device["backend"] = backend
    for lane in device.get("lanes", ()):
        lane.pop("backend", None)
    changed = folder / f"{config.stem}_{backend}.yaml"
    changed.write_text(yaml.safe_dump(values, sort_keys=False))
    return changed
