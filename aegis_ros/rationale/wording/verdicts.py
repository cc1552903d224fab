"""The English of :mod:`aegis_ros.rationale.verdicts`."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.rationale import verdicts
from aegis_ros.rationale.wording.units import ms, names, percent_around_one
from aegis_ros.rationale.wording.words import words, words_of

__all__ = ["in_slack", "verdict_words"]

_DAY_S = 86_400


def verdict_words(finding: verdicts.Finding, slack: Sequence[verdicts.SlackShare]) -> str:
    """Return the English of a finding on a lane that holds, and of what is left on it.

    Args:
        finding: what the test found.
        slack: of tasks of best effort; may be empty.
    """
    if not slack:
        return words(finding)
    gaps = " in the gaps of the table" if isinstance(finding, verdicts.TableHolds) else ""
    return f"{words(finding)}; {in_slack(slack)}{gaps}"


def in_slack(shares: Sequence[verdicts.SlackShare]) -> str:
    """Return what tasks of best effort can expect.

    Args:
        shares: of one task or more.
    """
    left = ", ".join(
        f"{share.left:.3g} of {share.asked:.3g} frames a second"
        + (f" of {share.task}" if len(shares) > 1 else "")
        for share in shares
    )
    left = f"about {left}"
    asked = f"{shares[0].asked:.3g}"
    if len(shares) == 1 and f"{shares[0].left:.3g}" == asked:
        left = f"its {asked} {'frame' if asked == '1' else 'frames'} a second"
    verb = "runs" if len(shares) == 1 else "run"
    return (
        f"{names([share.task for share in shares])} {verb} in the slack: no deadline is promised, "
        f"and there is time for {left} on average"
    )


@words_of(verdicts.LaneEmpty)
def _lane_empty(finding: verdicts.LaneEmpty) -> str:
    return f"lane {finding.lane} has no task"


@words_of(verdicts.NoDeadlines)
def _no_deadlines(finding: verdicts.NoDeadlines) -> str:
    return f"no task of lane {finding.lane} has a deadline to meet"


@words_of(verdicts.LaneOverloaded)
def _lane_overloaded(finding: verdicts.LaneOverloaded) -> str:
    need = percent_around_one(finding.utilization, 1)
    return f"the tasks of lane {finding.lane} together need {need} of it"


@words_of(verdicts.TaskTooLong)
def _task_too_long(finding: verdicts.TaskTooLong) -> str:
    also = f" after up to {ms(finding.jitter_ns)} of jitter" if finding.jitter_ns else ""
    return (
        f"{finding.task} alone needs {ms(finding.wcet_ns)} to execute{also}, more than its "
        f"deadline of {ms(finding.deadline_ns)}"
    )


@words_of(verdicts.DemandTooHigh)
def _demand_too_high(finding: verdicts.DemandTooHigh) -> str:
    witness = finding.witness
    blocked = (
        f" on top of {ms(witness.blocking_ns)} of blocking by a segment of {witness.blocking_task}"
        if witness.blocking_task
        else ""
    )
    return (
        f"within {ms(witness.t_ns)}, the tasks of lane {finding.lane} can demand "
        f"{ms(witness.demand_ns)}{blocked}: {ms(-witness.slack_ns)} more than fits"
    )


@words_of(verdicts.DemandFits)
def _demand_fits(finding: verdicts.DemandFits) -> str:
    witness = finding.witness
    return (
        f"the tasks of lane {finding.lane} never demand more time than there is; the tightest "
        f"interval, {ms(witness.t_ns)}, has {ms(witness.slack_ns)} to spare"
    )


@words_of(verdicts.Undecided)
def _undecided(finding: verdicts.Undecided) -> str:
    used = percent_around_one(finding.utilization, finding.above_one)
    return (
        f"the utilization of lane {finding.lane} ({used}) is so close to 100% that the test does "
        "not end within its limits; what cannot be decided is rejected"
    )


@words_of(verdicts.NothingToDrop)
def _nothing_to_drop(finding: verdicts.NothingToDrop) -> str:
    return (
        f"{words(finding.cause)} when budgets are exceeded, and there is no task below high "
        "criticality to drop"
    )


@words_of(verdicts.LateInHighMode)
def _late_in_high_mode(finding: verdicts.LateInHighMode) -> str:
    return (
        f"lane {finding.lane} meets all deadlines while no budget is exceeded, but when one is, "
        "tasks of high criticality can be late even if all others are dropped: "
        f"{words(finding.cause)}"
    )


@words_of(verdicts.ModesHold)
def _modes_hold(finding: verdicts.ModesHold) -> str:
    return (
        f"lane {finding.lane} meets all deadlines while no budget is exceeded; when one is, tasks "
        "below high criticality are dropped and those of high criticality meet their deadlines"
    )


@words_of(verdicts.IdlingUnneeded)
def _idling_unneeded(finding: verdicts.IdlingUnneeded) -> str:
    return f"{words(finding.cause)}; the lane never has to idle"


@words_of(verdicts.BlockedInSlack)
def _blocked_in_slack(finding: verdicts.BlockedInSlack) -> str:
    return (
        f"{words(finding.cause)}; idling for the next job could help, but best-effort tasks "
        f"({names(finding.tasks)}) then need gaps that are known in advance: use policy table, or "
        "cut them into more segments"
    )


@words_of(verdicts.JitterHidesJobs)
def _jitter_hides_jobs(finding: verdicts.JitterHidesJobs) -> str:
    return (
        f"{words(finding.cause)}; idling for the next job could help, but release jitter hides "
        f"when jobs of {names(finding.tasks)} become ready"
    )


@words_of(verdicts.LateDespiteIdling)
def _late_despite_idling(finding: verdicts.LateDespiteIdling) -> str:
    return (
        f"even with idling for the next job, the job of {finding.task} that arrives at "
        f"{finding.arrival_ns / 1e6:g} ms takes {finding.response_ns / 1e6:g} ms, longer than its "
        f"deadline of {finding.deadline_ns / 1e6:g} ms, when all tasks arrive periodically and "
        "start together"
    )


@words_of(verdicts.IdlingHelps)
def _idling_helps(finding: verdicts.IdlingHelps) -> str:
    return (
        f"with idling for the next job, no job of lane {finding.lane} is late in a whole cycle of "
        f"{finding.cycle_ns / 1e6:g} ms; this holds only where all tasks arrive strictly "
        "periodically and start together"
    )


@words_of(verdicts.CycleTooLong)
def _cycle_too_long(cycle: verdicts.CycleTooLong) -> str:
    seconds = _DAY_S if cycle.cycle_ns is None else cycle.cycle_ns / 1e9
    length = f"{seconds:g} s" if seconds < _DAY_S else "more than a day"
    return (
        f"the common cycle of the periods is {length} long and has more than {cycle.limit:,} "
        f"segments: {_shorter(cycle)}"
    )


def _shorter(cycle: verdicts.CycleTooLong) -> str:
    if not cycle.instead:
        return "choose periods that divide each other"
    periods = ", ".join(
        f"{each.near_ns / 1e6:.9g} instead of {each.period_ns / 1e6:.9g} ms for {each.task}"
        for each in cycle.instead
    )
    return (
        f"with periods of {periods} it is {cycle.short_ns / 1e6:.9g} ms long and no job is late, "
        "provided that they really arrive so"
    )


@words_of(verdicts.UndecidedSchedule)
def _undecided_schedule(finding: verdicts.UndecidedSchedule) -> str:
    return (
        f"{_cycle(finding.cycle)}the schedule of lane {finding.lane} did not repeat within the "
        "limits of the test; what cannot be decided is rejected"
    )


@words_of(verdicts.UndecidedTable)
def _undecided_table(finding: verdicts.UndecidedTable) -> str:
    return (
        f"{_cycle(finding.cycle)}no table for lane {finding.lane} was found within the limits of "
        "the search; what cannot be decided is rejected"
    )


def _cycle(cycle: verdicts.CycleTooLong | None) -> str:
    return "" if cycle is None else f"{words(cycle)}; "


@words_of(verdicts.PlacesAmbiguous)
def _places_ambiguous(finding: verdicts.PlacesAmbiguous) -> str:
    return (
        f"a table cannot distinguish one job of {names(finding.tasks)} from the next: the jitter "
        "is not shorter than the period"
    )


@words_of(verdicts.NoTableExists)
def _no_table_exists(finding: verdicts.NoTableExists) -> str:
    return (
        f"no table for lane {finding.lane} exists: every order of the segments within a cycle "
        "makes a job late"
    )


@words_of(verdicts.NoGapFits)
def _no_gap_fits(finding: verdicts.NoGapFits) -> str:
    return (
        f"{_table(finding)}, but a segment of {names(finding.tasks)} fits in none of its gaps; the "
        f"longest gap is {finding.longest_gap_ns / 1e6:g} ms"
    )


@words_of(verdicts.TableHolds)
def _table_holds(finding: verdicts.TableHolds) -> str:
    return (
        f"{_table(finding)}, provided that they arrive strictly periodically from the start of "
        "the table"
    )


def _table(finding: verdicts.NoGapFits | verdicts.TableHolds) -> str:
    return (
        f"a table of {finding.places} places in a cycle of {finding.cycle_ns / 1e6:g} ms holds all "
        f"periodic tasks of lane {finding.lane}"
    )


@words_of(verdicts.LateWithChainJitter)
def _late_with_chain_jitter(finding: verdicts.LateWithChainJitter) -> str:
    return f"with the jitter that the chains cause, {words(finding.cause)}"


@words_of(verdicts.ChainTooLong)
def _chain_too_long(finding: verdicts.ChainTooLong) -> str:
    return (
        f"{finding.chain} can take {finding.latency_ns / 1e6:.2f} ms from the arrival at "
        f"{finding.first} to the end of {finding.last}, longer than its deadline of "
        f"{finding.deadline_ns / 1e6:.2f} ms"
    )


@words_of(verdicts.ChainsHold)
def _chains_hold(finding: verdicts.ChainsHold) -> str:
    return "every chain meets its deadline, and every stage its own"


@words_of(verdicts.ChainsUndecided)
def _chains_undecided(finding: verdicts.ChainsUndecided) -> str:
    return (
        "the jitter that the chains cause did not settle within the limits of the search; what "
        "cannot be decided is rejected"
    )
