"""The state of lanes and tasks at one moment, for status and diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from aegis_ros.analysis import check_lane
from aegis_ros.engine import LaneState
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.stamps import StampWatch
from aegis_ros.orchestrator.types import LaneSummary, TaskState, TaskSummary
from aegis_ros.orchestrator.window import Window
from aegis_ros.rationale.wording import origin_words, words
from aegis_ros.spec import Criticality, DeviceSpec

__all__ = ["Summaries", "task_state"]


def task_state(entry: Entry, shedding: Collection[str]) -> TaskState:
    """Return the state of a task; ``shedding`` are lanes that run critical tasks only."""
    if entry.failed:
        return TaskState.FAILED
    if not entry.fed.enabled:
        return TaskState.DISABLED
    critical = entry.spec.criticality is Criticality.HIGH
    if entry.fed.kept_out or (entry.lane in shedding and not critical):
        return TaskState.SHED
    return TaskState.RUNNING if entry.statistics.received else TaskState.WAITING


class Summaries:
    """Draws up what is so now, and remembers what each lane did lately.

    Args:
        admitted: the tasks.
        device: the lanes.
        stamps: what the stamps of the tasks' topics are like.
        generator_name: returns the name of the generator that has a number, empty for none.
    """

    def __init__(
        self,
        admitted: AdmittedSet,
        device: DeviceSpec,
        stamps: StampWatch,
        generator_name: Callable[[int], str],
    ) -> None:
        """Begin without a past."""
        self._admitted = admitted
        self._device = device
        self._stamps = stamps
        self._generator_name = generator_name
        self._busy = [Window() for _ in device.lanes]

    def clear(self) -> None:
        """Forget the past of an engine that has ended."""
        self._busy = [Window() for _ in self._device.lanes]

    def lanes(self, states: Sequence[LaneState]) -> tuple[LaneSummary, ...]:
        """Return how much of each lane is promised, and how much jobs used of it lately."""
        now = time.monotonic_ns()
        summaries = []
        for index, lane in enumerate(self._device.lanes):
            verdict = self._admitted.verdicts.get(lane.name) or check_lane([], lane=lane.name)
            measured, running, waiting = 0.0, "", 0
            if index < len(states):
                state = states[index]
                busy = state.busy_ns + (now - state.since_ns if state.task_id >= 0 else 0)
                measured = self._busy[index].growth(now, busy).share
                entry = self._admitted.of_id(state.task_id)
                running = entry.spec.name if entry else self._generator_name(state.task_id)
                waiting = state.waiting
            summaries.append(
                LaneSummary(
                    lane.name,
                    lane.cpu,
                    verdict.utilization,
                    measured,
                    verdict.witness.slack_ns if verdict.witness else 0,
                    running,
                    waiting,
                )
            )
        return tuple(summaries)

    def task(self, entry: Entry, shedding: Collection[str]) -> TaskSummary:
        """Return the figures of one task; ``shedding`` are lanes that run critical tasks only."""
        statistics = entry.statistics
        bound = self._admitted.bound_ns(entry)
        now_ns = time.monotonic_ns()
        stamps = (self._stamps.of(stream, entry.spec.name) for stream in entry.streams)
        rate, p50, p99, worst, execution, longest, age = statistics.figures(now_ns)
        return TaskSummary(
            entry.task_id,
            entry.spec,
            task_state(entry, shedding),
            entry.lane,
            entry.candidate.prepared.digest,
            entry.candidate.work_ns,
            entry.candidate.wcet_source,
            bound,
            self._admitted.share(entry),
            entry.candidate.footprint.total,
            statistics.received,
            statistics.completed,
            statistics.missed,
            statistics.skipped,
            statistics.lost,
            statistics.overruns,
            statistics.early_exits,
            statistics.decimated,
            entry.fed.decimation.later,
            rate,
            p50,
            p99,
            worst,
            execution,
            longest,
            age,
            statistics.came(now_ns),
            (now_ns - statistics.received_ns) / 1e9 if statistics.received_ns else -1.0,
            stamps=tuple(each for each in stamps if each is not None),
            invalid=statistics.invalid,
            not_finite=statistics.not_finite,
            not_finite_lately=statistics.not_finite_lately(now_ns),
            truncated=statistics.truncated,
            slow_unpacking=statistics.slow_unpacking,
            slow_unpacking_ns=statistics.slow_unpacking_ns,
            slow_unpacking_lately=statistics.slow_unpacking_lately(now_ns),
            unanswered=statistics.unanswered(now_ns),
            gave=statistics.gave(now_ns),
            dropped=statistics.dropped(now_ns),
            in_flight=statistics.balance.in_flight,
            undecoded=statistics.undecoded,
            origin=origin_words(
                since_ns=entry.origin.since_ns,
                remembered=entry.origin.remembered,
                from_file=entry.origin.from_file,
            ),
            undecoded_lately=statistics.undecoded_lately(now_ns),
            undecoded_reason=statistics.undecoded_reason,
            problem="" if entry.failure is None else words(entry.failure),
            awaited_s=(now_ns - entry.fed.let_in_ns) / 1e9 if entry.fed.let_in_ns else 0.0,
            exit_level=statistics.exit_level,
            quota_exceeded=statistics.quota_exceeded,
            load_ns=statistics.load_ns,
        )
