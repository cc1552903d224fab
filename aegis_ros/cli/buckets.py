"""`aegis buckets`: what the steps of a language model take here, for `aegis check`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from aegis_ros.cli.language_model import language_model
from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.buckets import BATCHES
from aegis_ros.network.generator.measuring import WARM_UP, MeasuredBucket, measure_prepared
from aegis_ros.wcet import budget

__all__ = ["run"]

_MOST_RUNS = 100_000


def run(
    model: str,
    *,
    slots: int,
    runs: int,
    context: int,
    parts: int,
    image_parts: int,
    precision: str,
    tokenizer: Path | None,
    state_dir: Path | None,
) -> int:
    """Print the entry under ``generators`` that `aegis check` reads; return 0.

    Args:
        model: as for :func:`~aegis_ros.cli.language_model.language_model`, and so with the rest.
        slots: answers at once.
        runs: of each step.
        context: longest sequence, tokens.
        parts: groups of layers that a step is cut into.
        image_parts: parts that an image encoder is cut into.
        precision: as typed.
        tokenizer: file of one.
        state_dir: of the orchestrator.

    Raises:
        ConfigError: an option is not valid.
        ModelError: the file is not there, or no language model.
    """
    if slots not in BATCHES:
        known = ", ".join(map(str, BATCHES))
        raise ConfigError("not a size of batch", where="--slots", value=slots, expected=known)
    if not 1 <= runs <= _MOST_RUNS:
        raise ConfigError(
            "out of range", where="--runs", value=runs, expected=f"1 to {_MOST_RUNS:,}"
        )
    prepared = language_model(
        model,
        context=context,
        parts=parts,
        image_parts=image_parts,
        precision=precision,
        tokenizer=tokenizer,
        state_dir=state_dir,
    )
    facts = prepared.facts
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=runs + WARM_UP)
        found = measure_prepared(
            prepared,
            slots=slots,
            runs=runs,
            progress=lambda done: bar.update(task, completed=done),
        )
    print(f"# {runs} runs of each on one thread of this machine, with nothing on other lanes")
    print("generators:")
    print("  - name: generator")
    print(f"    slots: {1 if facts.grows else slots}")
    print(f"    max_len: {facts.context}")
    print(f"    kv_bytes_per_token: {facts.kv_bytes_per_token}")
    print("    buckets:")
    for each in found:
        print(f"      - {{{_bucket(each, precision)}}}")
    return 0


def _bucket(bucket: MeasuredBucket, precision: str) -> str:
    kind = ("encode" if bucket.image else "prefill") if bucket.prefill else "decode"
    budgets = [budget(column).value_ns for column in bucket.samples_ns.T]
    parts = ", ".join(f"{part / 1e6:.6f}".rstrip("0").rstrip(".") for part in budgets)
    return f"{kind}: {bucket.tokens}, parts_ms: [{parts}], precision: {precision}"
