"""What the rounds come to: figures of tasks, of the machine and of the lane, and the goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.compare.rounds import Round, TaskRound
from benchmarks.compare.workload import Task, Workload
from benchmarks.report import Figure

__all__ = [
    "LOST_GOAL",
    "Lane",
    "bound_goal",
    "figure_rows",
    "goals",
    "lane_of",
    "lanes_of",
    "lost_goal",
    "machine_row",
    "missed",
    "missed_high",
    "ratios",
    "task_row",
    "tracing_row",
]

LOST_GOAL = "lane time lost to dispatch and switching below 2 %"
_UNKNOWN_NS = 500_000_000


@dataclass(frozen=True)
class Lane:
    """What a round says of the lane; shares of its time.

    Attributes:
        busy: at least one job was on the lane or could have been.
        executing: the device worked.
        dispatch_us: release to start of jobs that found the lane free. No result tells of a job
            that is shed while it runs: whoever waits for its segment is among them.
    """

    busy: float
    executing: float
    dispatch_us: npt.NDArray[np.float64]

    @property
    def lost(self) -> float:
        """Share of the busy time in which the device did not work: dispatch and switching."""
        return 1.0 - self.executing / self.busy if self.busy else 0.0


def lane_of(item: Round) -> Lane | None:
    """Return what the one lane of a round did; ``None`` where nothing ran."""
    parts = [one for one in item.tasks.values() if len(one.released_ns)]
    return _lane(parts, item.seconds) if parts else None


def lanes_of(item: Round) -> list[Lane]:
    """Return what each lane of a round did on which anything ran."""
    by_lane: dict[str, list[TaskRound]] = {}
    for one in item.tasks.values():
        if len(one.released_ns):
            by_lane.setdefault(one.lane, []).append(one)
    return [_lane(parts, item.seconds) for parts in by_lane.values()]


def _lane(parts: Sequence[TaskRound], seconds: float) -> Lane:
    begin = np.concatenate([one.released_ns for one in parts])
    start = np.concatenate([one.started_ns for one in parts])
    end = np.concatenate([one.finished_ns for one in parts])
    order = np.argsort(begin, kind="stable")
    begin, start, end = begin[order], start[order], end[order]
    until = np.maximum.accumulate(end)
    before = np.concatenate([begin[:1] - 1, until[:-1]])
    # Each job adds to the busy time what lies after all that came before it.
    busy_ns = int(np.sum(np.maximum(0, end - np.maximum(begin, before))))
    executing_ns = 1e6 * sum(float(one.execution_ms.sum()) for one in parts)
    # What was on the lane when the round began is not known.
    free = (begin > before) & (begin > begin[0] + _UNKNOWN_NS)
    length_ns = seconds * 1e9
    return Lane(busy_ns / length_ns, executing_ns / length_ns, (start - begin)[free] / 1e3)


def ratios(rounds: Iterable[TaskRound], deadline_ms: float) -> npt.NDArray[np.float64]:
    """Return all response times over the deadline."""
    times = [one.response_ms for one in rounds]
    return np.concatenate(times) / deadline_ms if times else np.zeros(0)


def missed(row: Mapping[str, Any]) -> int:
    """Return frames whose result was late or never came, said or not."""
    return int(row["late"]) + int(row["without"])


def task_row(task: Task, rounds: Sequence[TaskRound], jitter_ms: float) -> dict[str, Any]:
    """Return the figures of one task in one arm over all its rounds."""
    ratio = ratios(rounds, task.deadline_ms)
    execution = np.concatenate([one.execution_ms for one in rounds])
    ended = np.concatenate([one.ended_ms for one in rounds])
    bound = max(one.bound_ms for one in rounds)
    row: dict[str, Any] = {
        "criticality": task.criticality,
        "extra": task.extra,
        "period_ms": task.period_ms,
        "deadline_ms": task.deadline_ms,
        "refused": next((one.refused for one in rounds if one.refused), ""),
    }
    row |= {
        name: sum(getattr(one, name) for one in rounds)
        for name in ("frames", "without", "reported", "replaced")
    }
    row["results"] = len(ratio)
    row["late"] = int(np.sum(ratio > 1.0))
    if len(ratio):
        row |= {f"p{q:g}_over_deadline": float(np.percentile(ratio, q)) for q in (50.0, 99.0, 99.9)}
        row["max_over_deadline"] = float(ratio.max())
        row["cv"] = float(ratio.std() / ratio.mean())
        row["execution_cv"] = float(execution.std() / execution.mean())
        row["execution_p50_ms"] = float(np.median(execution))
        row["execution_max_ms"] = float(execution.max())
    if bound and len(ended):
        row["bound_ms"] = bound
        row["worst_ms"] = float(ended.max())
        row["beyond_bound"] = int(np.sum(ended > bound))
        ready = np.concatenate([one.ready_ms for one in rounds])
        row["ready_p99_ms"] = float(np.percentile(ready, 99))
        row["ready_max_ms"] = float(ready.max())
        row["beyond_jitter"] = int(np.sum(ready > jitter_ms))
        output = np.concatenate([one.response_ms for one in rounds]) - ended
        row["output_p99_ms"] = float(np.percentile(output, 99))
        row["output_max_ms"] = float(output.max())
    return row


def machine_row(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the figures of the machine in one arm; cores are means, weighted by time."""
    seconds = np.array([item.seconds for item in rounds])

    def mean(values: Iterable[float]) -> float:
        return float(np.average(list(values), weights=seconds))

    results = sum(len(one.response_ms) for item in rounds for one in item.tasks.values())
    row: dict[str, Any] = {
        "rounds": len(rounds),
        "seconds": float(seconds.sum()),
        "results_per_s": results / float(seconds.sum()),
        "cores_way": mean(item.cpu.way for item in rounds),
        "cores_cameras": mean(item.cpu.ours for item in rounds),
        "cores_others": mean(item.cpu.others for item in rounds),
        "cores_others_most": max(item.cpu.others for item in rounds),
        "cores_stolen": mean(item.cpu.stolen for item in rounds),
    }
    lanes = [lane for item in rounds for lane in lanes_of(item)]
    if lanes:
        late = np.concatenate([lane.dispatch_us for lane in lanes])
        busy, executing = sum(lane.busy for lane in lanes), sum(lane.executing for lane in lanes)
        row |= {
            "lane_admitted": rounds[-1].utilization,
            "lane_busy": busy / len(lanes),
            "lane_lost": 1.0 - executing / busy,
        }
        if len(late):
            row |= {f"dispatch_p{q}_us": float(np.percentile(late, q)) for q in (50, 99)}
            row["dispatch_max_us"] = float(late.max())
    return row


def tracing_row(
    plain: Sequence[Round], traced: Sequence[Round], tasks: Sequence[Task]
) -> dict[str, Any] | None:
    """Return what tracing costs: traced less plain rounds of the same number; ``None`` for none.

    Lane time is what the declared rates need: mean execution of each task, and what is lost to
    dispatch and switching.
    """
    pairs = [(one, other) for one in plain for other in traced if one.number == other.number]
    found = []
    for one, other in pairs:
        lanes = lane_of(one), lane_of(other)
        if lanes[0] is None or lanes[1] is None:
            continue
        loads = [
            sum(
                float(item.tasks[task.name].execution_ms.mean()) / task.period_ms
                for task in tasks
                if len(item.tasks[task.name].execution_ms)
            )
            for item in (one, other)
        ]
        p99 = [float(np.percentile(lane.dispatch_us, 99)) for lane in lanes if lane]
        p50 = [float(np.median(lane.dispatch_us)) for lane in lanes if lane]
        lost = [lane.busy - lane.executing for lane in lanes if lane]
        found.append((loads[1] - loads[0], lost[1] - lost[0], p50[1] - p50[0], p99[1] - p99[0]))
    if not found:
        return None
    middle = np.median(np.array(found), axis=0)
    names = ("execution", "dispatch_and_switching", "dispatch_p50_us", "dispatch_p99_us")
    return {"pairs": len(found)} | dict(zip(names, map(float, middle), strict=True))


def missed_high(rows: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many frames of high criticality were missed, and how many there were."""
    high = [row for row in rows.values() if row["criticality"] == "high"]
    return sum(missed(row) for row in high), sum(int(row["frames"]) for row in high)


def figure_rows(
    summary: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]
) -> list[Figure]:
    """Return the figures that a page shows.

    Args:
        summary: by load: ``rows`` and ``machine`` by arm.
        labels: of the arms.
    """
    found = []
    for load, one in summary.items():
        for arm, rows in one["rows"].items():
            where = f"load {float(load):.0%}, {labels[arm]}"
            bad, frames = missed_high(rows)
            what = "frames of high criticality late or without a result"
            found.append(Figure(f"{where}: {what}", f"of {frames:,}", frames, bad))
            slowest = [
                row["max_over_deadline"]
                for row in rows.values()
                if row["criticality"] == "high" and "max_over_deadline" in row
            ]
            if slowest:
                what = "slowest of their responses over its deadline"
                found.append(Figure(f"{where}: {what}", "", frames - bad, max(slowest)))
            lane = one["machine"][arm]
            if "dispatch_p50_us" in lane:
                times = (lane[f"dispatch_{each}_us"] for each in ("p50", "p99", "max"))
                what = "release to start on a free lane"
                found.append(Figure(f"{where}: {what}", "us", frames, *times))
            if "lane_lost" in lane:
                what = "lane time lost to dispatch and switching"
                found.append(Figure(f"{where}: {what}", "%", frames, 100.0 * lane["lane_lost"]))
    return found


def bound_goal(percent: str, rows: Mapping[str, Mapping[str, Any]]) -> tuple[str, str, bool]:
    """Return the goal that the orchestrator's responses keep to what was proven."""
    proven = [row for row in rows.values() if "bound_ms" in row]
    beyond = sum(row["beyond_bound"] for row in proven)
    nearest = max((row["worst_ms"] / row["bound_ms"] for row in proven), default=0.0)
    return (
        f"{percent}: every response within its bound",
        f"{beyond} beyond; worst at {nearest:.0%} of its bound",
        beyond == 0,
    )


def lost_goal(percent: str, machine: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return the goal for lane time lost to us; nothing where that is not known."""
    lost = machine.get("lane_lost")
    if lost is None:
        return []
    return [(f"{percent}: {LOST_GOAL}", f"{lost:.2%}", lost < 0.02)]


def goals(summary: Mapping[str, Any], workload: Workload) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether that is it.

    Args:
        summary: by load: ``rows`` and ``machine`` by arm, as written to the file.
        workload: what was run.
    """
    urgent = workload.urgent
    found: list[tuple[str, str, bool]] = []
    for load, one in summary.items():
        rows = one["rows"].get("aegis")
        if rows is None:
            continue
        percent = f"at {float(load):.0%}"
        bad, frames = missed_high(rows)
        minutes = one["machine"]["aegis"]["seconds"] / 60
        found.append(
            (
                f"{percent}: no frame of high criticality late or without a result",
                f"{bad} of {frames:,} in {minutes:.1f} min",
                bad == 0,
            )
        )
        found.append(bound_goal(percent, rows))
        proven = [row for row in rows.values() if "bound_ms" in row]
        tardy = sum(row["beyond_jitter"] for row in proven)
        ready = max((row["ready_max_ms"] for row in proven), default=0.0)
        found.append(
            (
                f"{percent}: every frame ready within the declared jitter of "
                f"{workload.jitter_ms:g} ms, "
                "on which the bounds rest",
                f"{tardy} later; worst {ready:.1f} ms",
                tardy == 0,
            )
        )
        output = max((row["output_max_ms"] for row in proven), default=0.0)
        found.append(
            (
                f"{percent}: every result published within the {workload.publish_ms:g} ms kept "
                "for that",
                f"worst {output:.1f} ms",
                output <= workload.publish_ms,
            )
        )
        unsaid = sum(row["without"] - row["reported"] for row in rows.values())
        found.append(
            (f"{percent}: every frame left out is reported", f"{unsaid} unreported", unsaid == 0)
        )
        found += lost_goal(percent, one["machine"]["aegis"])
        for arm in ("aegis", "aegis_constant"):
            floor = one["rows"].get("alone_node", {}).get(urgent, {}).get("cv")
            cv = one["rows"].get(arm, {}).get(urgent, {}).get("cv")
            if cv is None or floor is None:
                continue
            most = max(0.05, 1.2 * floor)
            how = ", at constant latency" if arm != "aegis" else ""
            found.append(
                (
                    f"{percent}: CV of {urgent}{how}: 5 %, or 1.2 times that of it alone "
                    f"({floor:.1%})",
                    f"{cv:.1%}",
                    cv <= most,
                )
            )
        tracing = one.get("tracing")
        if tracing:
            cost = tracing["dispatch_and_switching"]
            found.append((f"{percent}: tracing below 1 % of lane time", f"{cost:.2%}", cost < 0.01))
    return found
