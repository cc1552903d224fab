"""What the proof says of generators, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aegis_ros.cli.changes_json import changes_as_json
from aegis_ros.planning.answer import Answer
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.rationale.generators import CacheTooLarge
from aegis_ros.rationale.wording import sentence
from aegis_ros.views.terminal import say, sheet, to_ms

__all__ = ["generators_as_json", "print_generators"]


def print_generators(console: Console, answer: Answer) -> None:
    """Print the buckets of each generator, why some are admitted, and what would admit the rest."""
    for each in answer.generators:
        console.print()
        _print_one(console, each)


def _print_one(console: Console, answer: GeneratorAnswer) -> None:
    reason = answer.reason
    name = escape(answer.generator.name)
    verdict = "[green]admitted[/green]" if answer.admitted else "[red]NOT admitted[/red]"
    if not isinstance(reason, CacheTooLarge):
        table = sheet(
            f"generator {name}: {verdict}",
            [("bucket", "left"), ("parts", "right"), ("longest, ms", "right"), ("", "left")],
        )
        for bucket in reason.buckets:
            fits = Text("admitted", style="green") if bucket.fits else Text("too long", style="red")
            table.add_row(Text(bucket.name), str(bucket.parts), to_ms(bucket.longest_ns), fits)
        console.print(table)
    say(console, sentence(reason), style="" if answer.admitted else "red")
    for change in reason.counterfactuals:
        say(console, change.sentence, bullet=" •")


def generators_as_json(answer: Answer) -> list[dict[str, Any]]:
    """Return every generator in the documented JSON form; times in milliseconds."""
    return [_as_json(each) for each in answer.generators]


def _as_json(answer: GeneratorAnswer) -> dict[str, Any]:
    generator, reason = answer.generator, answer.reason
    test = reason.tested()
    common: dict[str, Any] = {
        "name": generator.name,
        "lane": generator.lane,
        "admitted": answer.admitted,
        "rule": str(reason.rule),
        "sentence": sentence(reason),
        "kv_mib": generator.cache.footprint.total / 2**20,
        "test": {
            "left": test.left,
            "relation": test.relation,
            "right": test.right,
            "unit": test.unit,
        },
        "longest_step": None,
        "buckets": [],
        "tokens_per_s": None,
        "counterfactuals": changes_as_json(reason.counterfactuals),
    }
    if isinstance(reason, CacheTooLarge):
        return common
    borne = reason.borne
    return common | {
        "longest_step": None
        if borne is None
        else {
            "longest_ms": borne.longest_ns / 1e6,
            "task": borne.task,
            "t_ms": borne.t_ns / 1e6,
            "demand_ms": borne.demand_ns / 1e6,
        },
        "buckets": [
            {
                "name": each.name,
                "parts": each.parts,
                "longest_ms": each.longest_ns / 1e6,
                "admitted": each.fits,
            }
            for each in reason.buckets
        ],
        "tokens_per_s": getattr(reason, "tokens_per_s", None),
    }
