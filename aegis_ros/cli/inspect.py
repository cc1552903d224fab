"""`aegis inspect`: what a network takes, gives and costs, and a task that runs it."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from aegis_ros.cli.model_address import model_address
from aegis_ros.config import parse_config
from aegis_ros.decoders import options_of
from aegis_ros.decoders.guessing import RECIPES
from aegis_ros.errors import ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.network import TensorInfo, open_model
from aegis_ros.planning.entry_text import in_yaml
from aegis_ros.planning.inspection import Inspection, inspect
from aegis_ros.views.terminal import say, sheet, terminal

__all__ = ["configuration", "run"]

_MOST_OPERATORS = 8


def run(model: str, *, size: str = "", form: str = "text") -> int:
    """Print what was found.

    Args:
        model: path of an ONNX file, or a ``pypi://`` or ``package://`` address.
        size: height and width of its images, as ``480x640``; empty for those in the file.
        form: ``text``, ``json`` or ``yaml`` (the configuration alone).

    Returns:
        0 when the task could run, 1 when the network cannot be prepared.

    Raises:
        ConfigError: an option is not valid.
        ModelError: the file is not there, or no network.
    """
    if form not in ("text", "json", "yaml"):
        raise ConfigError(
            "unknown format", where="--format", value=form, expected="text, json or yaml"
        )
    named, roots = model_address(model)
    with open_model(named, roots) as file:
        found = inspect(file, named, size=_size(size) if size else None)
    text = configuration(found, roots)
    if form == "json":
        print(json.dumps(_as_json(found, text), indent=2))
    elif form == "yaml":
        print(text, end="")
    else:
        _print(terminal(), found, text)
    return 1 if found.problem else 0


def configuration(found: Inspection, roots: list[str]) -> str:
    """Return a configuration with one task that runs the network; it is checked.

    Args:
        found: what is known of it.
        roots: folders that networks load from.
    """
    task = found.task
    sure = "" if found.guess.sure else ", a guess"
    comments = {
        "topic": "your topic",
        "max_size": "largest image that the camera sends",
        "max_points": "most points of a scan",
        "period_ms": "shortest time between two frames",
        "jitter_ms": "longest time from the stamp until the frame is in the engine",
        "output": f"{found.guess.why}{sure}",
    }
    options = options_of(found.guess.decoder)
    if (
        options is not None
        and "labels" in options.model_fields
        and "labels" not in found.guess.options
    ):
        known = {"names", "character"} & found.description.metadata.keys()
        yours = "your list of names" + (
            " or coco" if found.guess.decoder != "classification" else ""
        )
        comments["decoder"] = (
            "labels are those in the file" if known else f"add options.labels: {yours}"
        )
    recipe = RECIPES.get(found.guess.recipe)
    if recipe is not None:
        comments["preprocess"] = f"usual for {recipe.family}: compare with how yours was trained"
    cores = pinnable_cores()
    core = max(cores) if len(cores) > 1 else None  # interrupts use the first
    text = in_yaml(task, comments, roots=roots, core=core)
    if not found.problem:
        parse_config(text, "the suggested configuration")
    return text


def _print(console: Console, found: Inspection, text: str) -> None:
    about = found.description
    size = f"{found.bytes / 1e6:,.1f} MB, {about.parameters / 1e6:,.2f} M parameters"
    console.print(Text(f"{found.path.name}: {size}"))
    made = f", written by {about.producer}" if about.producer else ""
    console.print(
        Text(f"ONNX opset {about.opset}, IR {about.ir_version}{made}; {_operators(found)}")
    )
    console.print()
    table = sheet(
        "inputs and outputs",
        [("name", "left"), ("type", "left"), ("in the file", "left"), ("as it runs", "left")],
    )
    ready = found.prepared
    for item in about.inputs:
        extents = found.sizes.get(item.name)
        shown = "" if extents is None else f"{extents[0]} x {extents[1]}"
        shown += " (assumed)" if item.name in found.assumed else ""
        table.add_row(Text(item.name), item.dtype, Text(_extents(item)), shown)
    for index, item in enumerate(about.outputs):
        shown = _extents(ready.outputs[index]) if ready is not None else ""
        table.add_row(Text(item.name), item.dtype, Text(_extents(item)), Text(shown))
    console.print(table)
    if found.in_front:
        say(console, f"Fused in front of the network: {_counted(found.in_front)}")
    if ready is not None:
        weights, activations = ready.weight_bytes / 2**20, ready.activation_bytes / 2**20
        say(
            console,
            f"One run costs {ready.flops / 1e9:,.3g} GFLOP, {weights:,.1f} MiB of weights and "
            f"about {activations:,.1f} MiB of activations",
        )
    sure = "" if found.guess.sure else "; other networks have such outputs, too"
    say(console, f"Decoder: {found.guess.decoder} ({found.guess.why}{sure})")
    if found.assumed:
        say(console, f"Nothing fixes the size of {', '.join(found.assumed)}; choose it with --size")
    if found.problem:
        say(console, f"As suggested here it cannot run: {found.problem}", style="red")
    console.print()
    console.print(
        Text(
            "# robot.yaml: a start. Next: aegis profile robot.yaml, aegis check robot.yaml",
            style="dim",
        )
    )
    console.print(Text(text.rstrip()), soft_wrap=True)


def _operators(found: Inspection) -> str:
    counts = found.description.operators
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_MOST_OPERATORS]]
    rest = len(counts) - len(shown)
    more = f" and {rest} more kinds" if rest > 0 else ""
    return f"{sum(counts.values())} operators: {', '.join(shown)}{more}"


def _counted(names: tuple[str, ...]) -> str:
    runs = [(name, len(list(each))) for name, each in groupby(names)]
    return ", ".join(name if count == 1 else f"{name} x {count}" for name, count in runs)


def _extents(item: TensorInfo) -> str:
    return "[" + ", ".join(str(extent) for extent in item.shape) + "]"


def _as_json(found: Inspection, text: str) -> dict[str, Any]:
    about, ready = found.description, found.prepared

    def tensor(item: TensorInfo) -> dict[str, Any]:
        return {"name": item.name, "dtype": item.dtype, "shape": list(item.shape)}

    return {
        "file": str(found.path),
        "sha256": found.digest,
        "bytes": found.bytes,
        "opset": about.opset,
        "ir_version": about.ir_version,
        "producer": about.producer,
        "operators": dict(about.operators),
        "parameters": about.parameters,
        "metadata": dict(about.metadata),
        "inputs": [tensor(item) for item in about.inputs],
        "outputs": [tensor(item) for item in about.outputs],
        "outputs_as_run": None if ready is None else [tensor(item) for item in ready.outputs],
        "fused": list(found.in_front),
        "flops": None if ready is None else ready.flops,
        "weight_bytes": None if ready is None else ready.weight_bytes,
        "activation_bytes": None if ready is None else ready.activation_bytes,
        "decoder": found.guess.decoder,
        "options": dict(found.guess.options),
        "why": found.guess.why,
        "sure": found.guess.sure,
        "task": dict(found.task),
        "yaml": text,
        "problem": found.problem,
    }


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None or not 0 < int(found[1]) <= 16384 or not 0 < int(found[2]) <= 16384:
        raise ConfigError(
            "not a size", where="--size", value=text, expected="height x width, as 480x640"
        )
    return int(found[1]), int(found[2])
