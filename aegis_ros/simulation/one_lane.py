"""Takes a workload over one lane: the short way of what ``lanes.py`` does for any number.

Analyses try millions of jobs on one lane. With a single end to wait for, half of the bookkeeping
for several lanes is not needed; a property test holds the two to the same results.
"""

from __future__ import annotations

from aegis_ros.scheduling import Dispatch, Finished, WakeAt
from aegis_ros.simulation.course import MOST_HOLDS, NEVER, REPORT_EVERY, Course
from aegis_ros.simulation.outcome import Run

__all__ = ["run_one_lane"]


def run_one_lane(course: Course) -> None:
    """Run all jobs of a course on lane 0."""
    release, tick = course.scheduler.release, course.scheduler.tick
    step_done, outcome_of = course.scheduler.step_done, course.outcome_of
    started, finished, execution = course.started_ns, course.finished_ns, course.execution_ns
    switch_ns, keep_runs, progress = course.switch_ns, course.keep_runs, course.progress
    report_at = NEVER if progress is None else 0
    end = NEVER  # of what runs
    wake = NEVER  # when to ask the scheduler, of what is known by now
    hold = NEVER  # when it wants to be asked
    last = job = step = length = busy = held = 0
    for new, coming in course.arrivals():
        # Of all that happens at one instant, what ends comes first, and what starts last.
        while end <= coming or wake < coming:
            if end <= wake:
                now = last = end
                end = NEVER
                ended = None if outcome_of is None else outcome_of(job, step, now)
                for action in step_done(0, now, length, ended):
                    if type(action) is Finished:
                        finished[job] = now
                if keep_runs:
                    course.runs.append(Run(job, step, now - length, now))
                if now == coming:
                    break
            else:
                now = wake
                wake = NEVER if hold <= now else hold
            for action in tick(now):
                if type(action) is Dispatch:
                    chosen = action.jobs[0]
                    job, step = chosen.seq, chosen.step
                    if started[job] < 0:
                        started[job] = now
                    length = execution[job][step] + switch_ns
                    end = now + length
                    busy += length
                    wake = hold = NEVER  # a lane that works is asked when it ends
                    held = 0
                elif type(action) is WakeAt:
                    wake = hold = action.time_ns
                    held += 1
                    if held > MOST_HOLDS:
                        raise course.endless(now)
        if new is None:
            break
        release(new, coming)
        held = 0
        if end == NEVER:
            wake = coming
        if new.seq >= report_at and progress is not None:
            progress(new.seq + 1)
            report_at += REPORT_EVERY
    course.busy_ns[0], course.end_ns = busy, last
