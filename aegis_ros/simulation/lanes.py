"""Takes a workload over any number of lanes at once, which may slow each other."""

from __future__ import annotations

from aegis_ros.scheduling import Dispatch, Finished, WakeAt
from aegis_ros.simulation.course import MOST_HOLDS, NEVER, REPORT_EVERY, Course
from aegis_ros.simulation.interference import Interference
from aegis_ros.simulation.outcome import Run

__all__ = ["run_lanes"]


def run_lanes(course: Course, interference: Interference | None = None) -> None:
    """Run all jobs of a course.

    Args:
        course: what is to run.
        interference: how lanes slow each other; without, they do not.
    """
    release, tick = course.scheduler.release, course.scheduler.tick
    step_done, outcome_of = course.scheduler.step_done, course.outcome_of
    started, finished, execution = course.started_ns, course.finished_ns, course.execution_ns
    switch_ns, keep_runs, progress = course.switch_ns, course.keep_runs, course.progress
    report_at = NEVER if progress is None else 0
    idle, busy = course.lanes, course.busy_ns
    ends = [NEVER] * course.lanes  # of what runs
    soonest, first = NEVER, 0  # the first of them, and its lane
    running = [(-1, 0, 0)] * course.lanes  # job, step, since when
    wake = NEVER  # when to ask the scheduler, of what is known by now
    holds: dict[int, int] = {}  # when it wants to be asked, by lane
    last = held = 0
    for new, coming in course.arrivals():
        # Of all that happens at one instant, what ends comes first, and what starts last.
        while soonest <= coming or wake < coming:
            now = soonest if soonest < wake else wake
            while soonest == now:
                job, step, begun = running[first]
                ended = None if outcome_of is None else outcome_of(job, step, now)
                for action in step_done(first, now, now - begun, ended):
                    if type(action) is Finished:
                        finished[job] = now
                busy[first] += now - begun
                if keep_runs:
                    course.runs.append(Run(job, step, begun, now, first))
                if interference is not None:
                    interference.ended(first, now)
                ends[first] = NEVER
                soonest = min(ends)
                first = ends.index(soonest)
                idle += 1
                last = now
            if now == coming:
                break
            wake = NEVER
            for action in tick(now):
                if type(action) is Dispatch:
                    lane, chosen = action.lane, action.jobs[0]
                    job, step = chosen.seq, chosen.step
                    if started[job] < 0:
                        started[job] = now
                    length = execution[job][step] + switch_ns
                    running[lane] = (job, step, now)
                    ends[lane] = end = now + length
                    if end < soonest:
                        soonest, first = end, lane
                    if interference is not None:
                        interference.started(lane, chosen.task_id, length, now)
                    idle -= 1
                    held = 0
                elif type(action) is WakeAt:
                    holds[action.lane] = action.time_ns
                    held += 1
                    if held > MOST_HOLDS:
                        raise course.endless(now)
            if holds:
                # A lane that works has no use for it, and is asked when it ends.
                holds = {lane: at for lane, at in holds.items() if at > now}
                wake = min(holds.values(), default=NEVER)
            if interference is not None:
                ends = interference.ends(now)
                soonest = min(ends)
                first = ends.index(soonest)
        if new is None:
            break
        release(new, coming)
        held = 0
        if idle:
            wake = coming
        if new.seq >= report_at and progress is not None:
            progress(new.seq + 1)
            report_at += REPORT_EVERY
    course.end_ns = last
