"""When a lane had better idle: the critical window of jobs that are about to come."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Coming", "idle_until"]

Coming = tuple[int, int, int]  # absolute deadline, arrival, budget of one job; nanoseconds


def idle_until(
    now_ns: int, *, need_ns: int, rest_ns: int, deadline_ns: int, coming: Iterable[Coming]
) -> int:
    """Return until when to idle instead of starting the job in line; 0 to start it now.

    The next job of every other task is packed backwards from its deadline (the critical window
    of CW-EDF; Nasri & Fohler 2016). If the job in line would end after the latest start of that
    window, one of those jobs is late for certain when it starts now: the lane idles until the
    next of them comes. So the lane never idles where starting at once does no harm, and a set
    that needs no idling runs exactly as under EDF. Unlike the original, it does not idle where
    the job in line would then be late itself: one of the two is late anyway.

    Args:
        now_ns: present time.
        need_ns: budget of the segment that would start, switch included.
        rest_ns: budget of all its segments that are left, this one included.
        deadline_ns: absolute deadline of the job in line.
        coming: the next job of every other task of the lane that has yet to arrive.
    """
    end = now_ns + need_ns
    window = sorted(coming, reverse=True)
    if not window:
        return 0
    wake = min(arrival for _, arrival, _ in window)
    if wake >= end:
        return 0
    latest = window[0][0]
    blocked_ns, blocked_need = 0, 0
    for due, arrival, need in window:
        latest = min(due, latest) - need
        if end > latest and arrival < end:
            blocked_ns, blocked_need = arrival, need
    if end <= latest or not blocked_need:
        return 0
    if max(blocked_ns, wake) + blocked_need + rest_ns > deadline_ns:
        return 0
    return wake if wake > now_ns else 0
