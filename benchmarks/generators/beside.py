"""A language model beside tasks with deadlines: who is late, and what is left for it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.memory import KvCache, KvShape, Reserved
from aegis_ros.network.generator.ending import Ending
from aegis_ros.planning.generator import Bucket
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import Criticality
from benchmarks.generators.apart import Apart, apart
from benchmarks.generators.stage import MODEL, Critical, Heard, Stage
from benchmarks.networks import compiled_networks
from benchmarks.progress import Shown, steps

__all__ = ["Latency", "Limited", "Load", "batches", "critical_set", "latencies", "limited", "loads"]

_ARMS = (
    "tasks alone",
    "in the slack",
    "model alone",
    "in a process of its own",
    "that process alone",
    "llama.cpp in a process of its own",
    "llama.cpp alone",
)
_LEAST_RUNS = 50  # of a task's network: an overrun would have its next frame skipped


@dataclass
class Load:
    """One utilization of the tasks.

    Attributes:
        share: of the lane that the tasks' budgets take.
        verdict: what the proof says of the model.
        admitted: whether it may run.
        heard: what came in each arm, all rounds together.
    """

    share: float
    verdict: str = ""
    admitted: bool = False
    heard: dict[str, Heard] = field(default_factory=dict)

    @property
    def idle(self) -> float:
        """Share of the lane that the tasks left, alone."""
        return 1.0 - self.of_tasks("tasks alone")

    def of_tasks(self, arm: str) -> float:
        """Share of the lane that the tasks took in an arm."""
        found = self.heard[arm]
        return found.execution_ns / 1e9 / found.seconds

    def of_model(self, arm: str) -> float:
        """Share of the lane that the model took in an arm; 0 where it ran elsewhere."""
        found = self.heard[arm]
        return max(0.0, found.busy_ns / 1e9 / found.seconds - self.of_tasks(arm))

    def waited(self, arm: str) -> float:
        """Share of an arm in which the lane could have run and others had its core."""
        found = self.heard[arm]
        return found.waited_ns / 1e9 / found.seconds

    def speed(self, arm: str) -> float:
        """Tokens in a second of the model's own time on the lane."""
        taken = self.of_model(arm)
        return self.rate(arm) / taken if taken else 0.0

    def rate(self, arm: str) -> float:
        """Tokens a second in an arm."""
        found = self.heard.get(arm)
        return found.tokens / found.seconds if found and found.seconds else 0.0

    @property
    def of_idle(self) -> dict[str, float]:
        """Tokens a second beside the tasks against the idle share of those alone, by arm."""
        return {
            arm: self.rate(arm) / (self.idle * self.rate(solo))
            for arm, solo in zip(_ARMS[1::2], _ARMS[2::2], strict=True)
            if self.rate(solo) and self.idle > 0.0
        }


def critical_set(stage: Stage, share: float, runs: int) -> list[Critical]:
    """Return two real networks of equal periods that take a share of the lane by their budgets.

    Args:
        stage: where they are measured.
        share: of the lane, 0 to 1.
        runs: of each.
    """
    with TemporaryDirectory() as folder:
        networks = compiled_networks(Path(folder))
        budgets = [stage.network_budgets(network, max(_LEAST_RUNS, runs)) for network in networks]
        period_ns = int(sum(map(sum, budgets)) / share)
        found = [
            Critical(
                network,
                AnalysisTask(
                    f"task_{number}_at_{100 * share:.0f}",
                    parts,
                    period_ns,
                    period_ns,
                    0,
                    Criticality.HIGH,
                    "main",
                ),
            )
            for number, (network, parts) in enumerate(zip(networks, budgets, strict=True))
        ]
        stage.load_critical(found)  # while the files are there
    return found


def loads(
    stage: Stage,
    model: CompiledGenerator,
    buckets: Sequence[Bucket],
    *,
    cache: KvShape,
    shares: Sequence[float],
    rounds: int,
    seconds: float,
    runs: int,
    llama: Apart | None,
    shown: Shown,
) -> list[Load]:
    """Run all arms in turns, at each utilization of the tasks.

    Args:
        stage: an engine.
        model: the language model.
        buckets: their budgets.
        cache: its slots.
        shares: utilizations.
        rounds: how often each arm has its turn.
        seconds: of a turn.
        runs: measured of each network.
        llama: the process of llama.cpp; ``None`` for none.
        shown: where progress is shown.
    """
    found = []
    chance = np.random.default_rng(0)
    with apart(model, slots=cache.slots, core=stage.core) as alone:
        processes = {_ARMS[3]: alone, _ARMS[4]: alone}
        if llama is not None:
            processes |= {_ARMS[5]: llama, _ARMS[6]: llama}
        for share in shares:
            critical_set(stage, share, runs)
            answer = stage.load_model(model, buckets, cache)
            one = Load(share, sentence(answer.reason), answer.admitted)
            ours = _ARMS[:3] if answer.admitted else _ARMS[:1]
            arms = [*ours, *processes]
            one.heard = {arm: Heard() for arm in arms}
            turns = [arm for _ in range(rounds) for arm in chance.permutation(arms).tolist()]
            for arm in steps(shown, turns, f"tasks at {share:.0%}"):
                stage.settle()
                if arm in processes:
                    processes[arm].begin(seconds)
                    heard = stage.run(seconds, frames=arm in (_ARMS[3], _ARMS[5]))
                    heard.tokens = processes[arm].tokens()
                else:
                    heard = stage.run(
                        seconds,
                        frames=arm != "model alone",
                        chance=None if arm == "tasks alone" else chance,
                    )
                _add(one.heard[arm], heard)
            found.append(one)
    return found


def _add(total: Heard, heard: Heard) -> None:
    total.seconds += heard.seconds
    total.tokens += heard.tokens
    total.frames += heard.frames
    total.late += heard.late
    total.execution_ns += heard.execution_ns
    total.busy_ns += heard.busy_ns
    total.waited_ns += heard.waited_ns
    total.room = min(total.room, heard.room)
    total.late_jobs += heard.late_jobs


def batches(
    stage: Stage, sizes: Sequence[int], *, rounds: int, seconds: float, shown: Shown
) -> dict[int, float]:
    """Return tokens a second by the largest batch, alone on the lane, in turns."""
    chance = np.random.default_rng(0)
    tokens = dict.fromkeys(sizes, 0)
    spent = dict.fromkeys(sizes, 0.0)
    turns = [size for _ in range(rounds) for size in chance.permutation(sizes).tolist()]
    for size in steps(shown, turns, "tokens against batch"):
        stage.limit(batch=size)
        heard = stage.run(seconds, frames=False, chance=chance)
        tokens[size] += heard.tokens
        spent[size] += heard.seconds
    stage.limit()
    return {size: tokens[size] / spent[size] for size in sizes}


@dataclass
class Latency:
    """How long a person waits, at one utilization of the tasks.

    Attributes:
        share: of the lane that the tasks' budgets take.
        first_ms: from a prompt to the first token of its answer.
        cancel_ms: from a cancel in the middle of an answer to its end.
        free_ms: from there until nothing of it runs on the lane, the cancel included.
    """

    share: float
    first_ms: list[float] = field(default_factory=list)
    cancel_ms: list[float] = field(default_factory=list)
    free_ms: list[float] = field(default_factory=list)


def latencies(
    stage: Stage, share: float, *, count: int, prompt: int, wait_s: Callable[[], float]
) -> Latency:
    """Ask and cancel again and again, beside the tasks that are loaded.

    Args:
        stage: an engine with a language model.
        share: utilization of the tasks; 0 for none.
        count: how often.
        prompt: tokens of a prompt.
        wait_s: seconds until the answer is cancelled.
    """
    found = Latency(share)
    for number in range(count):
        asked_ns = time.monotonic_ns()
        request = stage.ask(0, [1 + number % 5] * prompt, 10_000)
        found.first_ms.append((stage.first_ns(request) - asked_ns) / 1e6)
        time.sleep(wait_s())
        cancelled_ns = time.monotonic_ns()
        stage.cancel(request)
        ending, ended_ns = stage.ended(request)
        if ending is not Ending.CANCELLED:
            continue  # it had all its tokens before
        found.cancel_ms.append((ended_ns - cancelled_ns) / 1e6)
        while any(lane.task_id == MODEL for lane in stage.client.status().lanes):
            time.sleep(0.0002)
        found.free_ms.append((time.monotonic_ns() - cancelled_ns) / 1e6)
    return found


@dataclass
class Limited:
    """Many random requests under a memory limit.

    Attributes:
        answered: that got all that they were promised.
        refused: by the cache, with a reason.
        other: that ended in any other way.
        before_bytes: resident before the first one.
        peak_bytes: the most that was.
        limit_bytes: of the engine's data.
    """

    answered: int = 0
    refused: int = 0
    other: int = 0
    before_bytes: int = 0
    peak_bytes: int = 0
    limit_bytes: int = 0


def limited(stage: Stage, cache: KvShape, *, count: int, room_bytes: int, shown: Shown) -> Limited:
    """Ask random requests, many of them longer than a slot, and forbid the engine to grow.

    Args:
        stage: an engine with a language model.
        cache: its slots.
        count: requests.
        room_bytes: that the engine's data may grow by.
        shown: where progress is shown.
    """
    stage.forget_peak()
    found = Limited(before_bytes=stage.resident_bytes())
    found.limit_bytes = stage.resident_bytes("VmData") + room_bytes
    pid = stage.client.info().pid
    resource.prlimit(pid, resource.RLIMIT_DATA, (found.limit_bytes, found.limit_bytes))
    chance = np.random.default_rng(0)
    slots = KvCache("generator", cache, most_waiting=0)
    running: dict[int, int] = {}  # numbers of the stage by those of the cache
    for number in steps(shown, range(count), "requests under a memory limit"):
        prompt = int(chance.integers(1, 2 * cache.max_len))
        answer = int(chance.integers(1, max(2, cache.max_len // 8)))
        if len(running) == cache.slots:
            _finish(stage, slots, running, found)
        reserved = slots.ask(number, prompt, answer)
        if not isinstance(reserved, Reserved):
            found.refused += 1
            continue
        tokens = chance.integers(0, 200, prompt).tolist()
        running[number] = stage.ask(reserved.slot, tokens, reserved.answer)
    while running:
        _finish(stage, slots, running, found)
    found.peak_bytes = stage.resident_bytes("VmHWM")
    return found


def _finish(stage: Stage, slots: KvCache, running: dict[int, int], found: Limited) -> None:
    """Wait for the request that has run longest."""
    number, request = next(iter(running.items()))
    ending, _ = stage.ended(request)
    if ending in (Ending.END, Ending.LENGTH, Ending.CONTEXT):
        found.answered += 1
    else:
        found.other += 1
    del running[number]
    slots.end(number)
