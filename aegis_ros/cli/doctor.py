"""`aegis doctor`: what on this machine costs determinism, and which backends can be used."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from aegis_ros.backends.availability import Availability, availability
from aegis_ros.backends.lanes import lanes_by_backend, lanes_on_one_core
from aegis_ros.config import load_config
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.host import (
    Finding,
    Grade,
    Machine,
    Needs,
    core_text,
    examine,
    measure,
    pinnable_cores,
    standstills,
)
from aegis_ros.host.finding import unknown
from aegis_ros.planning.layouts import with_most_lanes
from aegis_ros.spec import DeviceSpec
from aegis_ros.views.terminal import say, sheet, terminal

__all__ = ["run"]

_SIGNS = {
    Grade.GOOD: ("✓", "green"),
    Grade.COSTS: ("✗", "red"),
    Grade.UNKNOWN: ("?", "dim"),
}


def run(
    config: Path | None,
    form: str,
    machine: Machine | None = None,
    *,
    stalls_s: float = 0.0,
    backends: Sequence[Availability] | None = None,
    cores: Collection[int] | None = None,
) -> int:
    """Print what was found.

    Returns 0 where nothing costs determinism and what the lanes need is there, 1 otherwise.

    Nothing is changed: the commands are for the reader to run.

    Args:
        config: an orchestrator's YAML, whose lanes' cores and priority are then asked for.
        form: ``text`` or ``json``.
        machine: what to look at; this one if not given.
        stalls_s: for how long each core of a lane (the last core, without a configuration) is kept
            busy to see whether it is ever stopped; 0 for not at all.
        backends: what can be used; this machine's if not given.
        cores: that threads can be pinned to; those of this process if not given.

    Raises:
        ConfigError: the format or the file is not valid.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    needs, used, absent = Needs(), frozenset[str](), list[int]()
    device = DeviceSpec(lanes=())
    if config is not None:
        own = pinnable_cores() if cores is None else cores
        device = with_most_lanes(load_config(config).device, own)
        wanted = {lane.cpu for lane in device.lanes if lane.cpu is not None}
        there = wanted.intersection(own)
        absent = sorted(wanted - there)
        needs = Needs(tuple(sorted(there)), device.realtime_priority)
        used = frozenset(lanes_by_backend(device.backend, device.lanes))
    found = examine(machine or Machine(environment=os.environ), needs)
    if stalls_s:
        found = (*found, _stalls(needs.cores or (max(os.sched_getaffinity(0)),), stalls_s))
    bad = [item for item in found if item.grade is Grade.COSTS]
    tried = availability(used) if backends is None else backends
    lacking = [each for each in tried if each.missing and each.name in used]
    shared = [] if lacking else [str(each) for each in lanes_on_one_core(device)]
    if form == "json":
        answer = {
            "deterministic": not bad,
            "findings": [asdict(item) for item in found],
            "backends": [asdict(each) | {"used": each.name in used} for each in tried],
            "absent_cores": absent,
            "shared_cores": shared,
        }
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        console = terminal()
        _print_backends(console, tried, used)
        _print(console, found, bad)
        for each in lacking:
            say(console, f"A lane uses {each.name}, which cannot be used here", style="red")
        if absent:
            say(
                console,
                f"Lanes are pinned to what this process has not: cores {core_text(absent)}. The "
                "orchestrator refuses that. `lscpu -e` lists the cores of the machine; a container "
                "may have fewer",
                style="red",
            )
        for mistake in shared:
            say(console, f"The orchestrator refuses {mistake}", style="red")
    return 1 if bad or lacking or absent or shared else 0


def _stalls(cores: Sequence[int], seconds: float) -> Finding:
    columns = (TextColumn("watching {task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        seen = []
        for core in cores:
            row = progress.add_task(f"core {core}", total=1.0)

            def show(share: float, row: TaskID = row) -> None:
                progress.update(row, completed=share)

            try:
                seen.append(measure(core, seconds, show))
            except AegisError as error:  # the findings of the other checks are printed all the same
                return unknown("standstills", str(error))
    return standstills(seen)


def _print(console: Console, found: Sequence[Finding], bad: Sequence[Finding]) -> None:
    table = sheet("this machine", [("", "left"), ("checked", "left"), ("here", "left")])
    for item in found:
        mark, style = _SIGNS[item.grade]
        dim = "dim" if item.grade is Grade.UNKNOWN else ""
        table.add_row(Text(mark, style=style), Text(item.name, dim), Text(item.found, dim))
    console.print(table)
    for item in bad:
        console.print(
            Text.assemble((item.name, "bold red"), ": ", f"{item.cost}."),
            soft_wrap=not console.is_terminal,
        )
        # Never wrapped: it is there to be copied.
        console.print(Text(f"  {item.hint}", style="cyan"), soft_wrap=True)
        console.print()
    unknown = sum(item.grade is Grade.UNKNOWN for item in found)
    more = f"; {unknown} cannot be checked here" if unknown else ""
    if bad:
        say(
            console,
            f"{len(bad)} of {len(found)} checks found a cost to determinism{more}",
            style="red",
        )
    else:
        say(console, f"No check found a cost to determinism{more}", style="green")


def _print_backends(console: Console, tried: Sequence[Availability], used: frozenset[str]) -> None:
    """Print a table; a backend that is missing counts only where a lane uses it."""
    table = sheet("backends", [("", "left"), ("name", "left"), ("here", "left")])
    for each in tried:
        mark, style = _SIGNS[Grade.COSTS if each.missing else Grade.GOOD]
        dim = ""
        if each.missing and each.name not in used:
            mark, style, dim = "–", "dim", "dim"
        here = Text(each.missing or each.device, dim)
        table.add_row(Text(mark, style=style), Text(each.name, dim), here)
    console.print(table)
