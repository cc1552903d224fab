"""`aegis check`: is a set of tasks schedulable, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aegis_ros.analysis import LaneVerdict
from aegis_ros.cli.answer_json import as_json
from aegis_ros.cli.generators import print_generators
from aegis_ros.cli.lanes_table import print_lanes
from aegis_ros.cli.memory_table import print_memory
from aegis_ros.errors import ConfigError
from aegis_ros.planning.answer import Answer, blocker_of, judge
from aegis_ros.planning.critical import CriticalRun, critical_run
from aegis_ros.planning.modes import Modes
from aegis_ros.planning.slowdown import Slowdown
from aegis_ros.planning.task_set import ASSUMED_SLOWDOWN, read_task_set
from aegis_ros.rationale import Rule, Witness
from aegis_ros.rationale.wording import fewer_frames
from aegis_ros.views.terminal import inequality, reason, say, sheet, sign, terminal, to_ms

__all__ = ["print_lane", "print_reason", "run"]

_ARRIVALS = {
    "sporadic": "all arrivals that respect period and jitter",
    "periodic": "arrivals that are strictly periodic and begin together, and only for those",
}
_MANY_NAMES = 20
_STANDS_STILL = 1e-3  # of the speed: what holds until here has no deadline to lose
_MANY_TASKS = 60  # a table longer than this is shortened to what is tight


def run(
    path: Path,
    form: str,
    state_dir: Path | None,
    plot: Path | None = None,
    *,
    lanes: str = "",
    slowdown: float = float(ASSUMED_SLOWDOWN),
) -> int:
    """Print the answer; return 0 where everything is admitted, 1 where not.

    Args:
        path: what to check.
        form: ``text`` or ``json``.
        state_dir: where the orchestrator keeps its profiles.
        plot: also draw a picture there.
        lanes: ``auto`` to choose them; empty for those of the file.
        slowdown: assumed for tasks that were never measured beside each other.

    Raises:
        ConfigError: the file, an option or the name of the picture is not valid.
    """
    if lanes not in ("", "auto"):
        raise ConfigError(
            "lanes are named in the file, or chosen", where="--lanes", value=lanes, expected="auto"
        )
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    if plot is not None:
        from aegis_ros.cli.picture import require_picture

        require_picture(plot)
    asked = read_task_set(
        path,
        state_dir,
        choose_lanes=lanes == "auto",
        slowdown=Fraction(slowdown).limit_denominator(1000),
    )
    answer = judge(asked)
    if form == "json":
        print(json.dumps(as_json(answer), indent=2))
    else:
        console = terminal()
        if asked.lanes_chosen is not None:
            print_lanes(console, asked.lanes_chosen)
        for verdict in answer.assignment.verdicts.values():
            print_lane(console, answer, verdict)
        print_reason(console, answer)
        print_generators(console, answer)
        print_memory(console, answer.memory)
    if plot is not None:
        from aegis_ros.cli.picture import draw_answer

        draw_answer(answer, plot)
    return 0 if answer.admitted else 1


def print_lane(console: Console, answer: Answer, verdict: LaneVerdict) -> None:
    """Print the table of one lane; columns that a narrow terminal has no room for are left out."""
    tasks = answer.planned_on(verdict.lane)
    share = answer.utilization(verdict.lane)
    title = f"lane {escape(verdict.lane)}: {sign(verdict.schedulable)}, U = {share:.1%}"
    if not tasks:
        console.print(f"[bold]{title}[/bold], nothing runs here")
        return
    switch_ns = answer.asked.switch_ns
    judged = answer.judged_on(verdict.lane) if answer.generators else tasks
    wide = console.width >= 100
    modes = answer.modes_of(verdict.lane)
    shares = wide or modes is None  # a narrow terminal has no room for both
    columns = [("task", "left"), *([("U", "right")] if shares else []), ("budget", "right")]
    columns += [] if modes is None else [("high", "right")]
    columns += [("period", "right")]
    columns += [("parts", "right"), ("jitter", "right")] if wide else []
    columns += [("bound", "right"), ("deadline", "right"), ("slack", "right")]
    columns += [("blocked by", "left")]
    table = sheet(title + "[dim], times in ms[/dim]", columns)
    planned = verdict.rule in (Rule.CRITICAL_WINDOW, Rule.TABLE)
    bounds = {item.task: item.bound_ns for item in verdict.responses}
    shown = tasks
    if len(tasks) > _MANY_TASKS:
        tight = sorted(
            tasks,
            key=lambda task: (task.best_effort, task.deadline_ns - bounds.get(task.name, 0)),
        )
        kept = {task.name for task in tight[:_MANY_TASKS]}
        shown = tuple(task for task in tasks if task.name in kept)
    for task in shown:
        wcet = task.wcet_ns(switch_ns)
        bound = bounds.get(task.name)
        blocker = None if planned else blocker_of(task, judged, switch_ns)
        length = f" {to_ms(blocker[1])}" if blocker is not None and wide else ""
        blocked = "-" if blocker is None else blocker[0] + length
        cells: list[str | Text] = [
            Text(task.name),
            *(["-" if task.best_effort else f"{wcet / task.period_ns:.1%}"] if shares else []),
            to_ms(wcet),
        ]
        if modes is not None:
            high = bool(task.high_segments_ns)
            cells += [to_ms(task.at_high().wcet_ns(switch_ns)) if high else "-"]
        cells += [to_ms(task.period_ns)]
        cells += [str(len(task.segments_ns)), to_ms(task.jitter_ns)] if wide else []
        cells += [
            _bound(bound, task.deadline_ns),
            "none" if task.best_effort else to_ms(task.deadline_ns),
            "-" if bound is None else to_ms(task.deadline_ns - bound),
            Text(blocked),
        ]
        table.add_row(*cells)
    console.print(table)
    if any(task.name in answer.asked.kept_free_ns for task in tasks):
        say(console, "Deadlines exclude the time reserved for publishing (publish_ms)")
    for task in shown:
        first = answer.asked.follows.get(task.name)
        if first is not None and not task.best_effort:
            say(
                console,
                f"{task.name} runs on results of {first}: its bound and deadline count from the "
                f"frame of {first}, and its jitter includes the response time of {first}",
            )
    if len(shown) < len(tasks):
        say(console, f"Shown are the {len(shown)} of {len(tasks)} tasks with the least slack")


def print_reason(console: Console, answer: Answer) -> None:
    """Print why each lane passes, or why some fail and what would help."""
    verdicts = list(answer.assignment.verdicts.values())
    for verdict in verdicts if answer.schedulable else _failed(answer):
        if verdict.responses or verdict.slack or not verdict.schedulable:
            _print_lane_reason(console, answer, verdict)
            console.print()
    _print_conclusion(console, answer)
    for warning in answer.asked.warnings:
        say(console, warning, style="yellow")


def _failed(answer: Answer) -> list[LaneVerdict]:
    return [item for item in answer.assignment.verdicts.values() if not item.schedulable]


def _print_lane_reason(console: Console, answer: Answer, verdict: LaneVerdict) -> None:
    say(console, reason(verdict))
    witness = verdict.witness
    modes = answer.modes_of(verdict.lane)
    if modes is not None:
        _print_modes(console, modes)
    elif witness is not None:
        console.print(_inequality(verdict, witness), soft_wrap=True)
    slowdown = answer.slowdown_of(verdict.lane)
    if slowdown is not None:
        say(console, _when_slow(slowdown))
    if not verdict.schedulable:
        shown = critical_run(answer, verdict)
        if shown is not None:
            say(console, _what_happens(shown))


def _print_modes(console: Console, modes: Modes) -> None:
    rest = f"{_names(modes.sheds)} dropped, in this order" if modes.sheds else "nothing dropped"
    both = (
        ("Low mode (no budget is exceeded)", modes.low, ""),
        ("High mode (from a budget exceeded until the lane is idle)", modes.high, f", {rest}"),
    )
    for words, mode, more in both:
        holds = "schedulable" if mode.schedulable else "NOT schedulable"
        more = more if mode.schedulable else ""
        say(console, f"{words}: {holds}, U = {mode.utilization:.1%}{more}", bullet=" •")
        if mode.witness is not None:
            left, relation, right = inequality(mode.witness)
            console.print(Text(f"   {left} {relation} {right}"), soft_wrap=True)
    if modes.virtual_ns:
        each = ", ".join(f"{name} {to_ms(own)} ms" for name, own in modes.virtual_ns.items())
        say(console, f"Virtual deadlines in low mode: {each}", bullet=" •")


def _when_slow(slowdown: Slowdown) -> str:
    if slowdown.slowest_speed >= 1.0:
        text = "Deadlines hold only at the full speed of the device"
    else:
        text = (
            f"All deadlines hold down to {slowdown.slowest_speed:.1%} of the device's nominal speed"
        )
    if slowdown.sheds_first:
        text += f"; below that, {_names(slowdown.sheds_first)} would be shed first"
    elif slowdown.slowest_speed > _STANDS_STILL:
        text += "; below that, tasks of low criticality take fewer frames"
    return text


def _names(names: Sequence[str]) -> str:
    shown = list(names[:_MANY_NAMES])
    if len(names) > _MANY_NAMES:
        shown.append(f"{len(names) - _MANY_NAMES} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _print_conclusion(console: Console, answer: Answer) -> None:
    found = answer.assignment
    if any(not task.lane for task in answer.asked.tasks) and len(found.verdicts) > 1:
        say(
            console,
            f"Lanes were chosen by {found.method}"
            if answer.schedulable
            else "No assignment of the tasks to the lanes was found",
        )
    if answer.schedulable:
        but = ""
        if any(modes.sheds for modes in _all_modes(answer)):
            but = "; where a budget is exceeded, those of high criticality"
        elif answer.asked.policy != "edf" and any(t.high_segments_ns for t in answer.asked.tasks):
            but = f"; under {answer.asked.policy} nothing is dropped, and high budgets always count"
        if answer.decimation:
            but += ", but not every frame is taken"
        text = f"Every deadline holds, for {_ARRIVALS[_promise(answer)]}{but}"
        say(console, text, style="yellow" if answer.decimation else "green")
        for task in answer.asked.tasks:
            n = answer.decimation.get(task.name, 1)
            if n > 1:
                frames = fewer_frames(task.name, task.period_ns // n, n)
                say(console, f"{frames} ({task.criticality}, max_decimation)", bullet=" •")
        return
    say(console, "Not every deadline holds", style="red")
    if answer.changes:
        one = len(answer.changes) == 1
        say(console, "This would be enough:" if one else "Each of these would be enough:")
        for change in answer.changes:
            say(console, change.sentence, bullet=" •")
    if answer.hint:
        say(console, answer.hint)


def _all_modes(answer: Answer) -> list[Modes]:
    return [modes for lane in answer.assignment.verdicts if (modes := answer.modes_of(lane))]


def _promise(answer: Answer) -> str:
    rules = {verdict.rule for verdict in answer.assignment.verdicts.values()}
    return "periodic" if rules & {Rule.CRITICAL_WINDOW, Rule.TABLE} else "sporadic"


def _bound(bound_ns: int | None, deadline_ns: int) -> Text:
    if bound_ns is None:
        return Text("-")
    share = bound_ns / deadline_ns
    style = "red" if share > 1.0 else "yellow" if share > 0.9 else "green"
    return Text(to_ms(bound_ns), style=style)


def _inequality(verdict: LaneVerdict, witness: Witness) -> Text:
    text = Text("  ")
    if verdict.rule is Rule.WCET_DEADLINE:
        jitter_ns = verdict.left * 1e6 - witness.demand_ns
        text.append(f"budget {to_ms(witness.demand_ns)} + jitter {to_ms(jitter_ns)}")
        text.append(f" = {to_ms(verdict.left * 1e6)} ")
        text.append(">", style="red")
        text.append(f" deadline {to_ms(verdict.right * 1e6)} ms")
        return text
    left, relation, right = inequality(witness)
    text.append(f"{left} ")
    text.append(relation, style="green" if relation == "≤" else "red")
    text.append(f" {right}")
    return text


def _what_happens(shown: CriticalRun) -> str:
    miss = shown.first_miss
    meant = f" ({shown.case.words})" if shown.case.words else ""
    if miss is None and shown.witness is None:
        return (
            "Simulated from a common start with strictly periodic arrivals, no job is late so far"
        )
    if miss is None:
        return (
            f"Simulated{meant}, this pattern misses no deadline; the test is sufficient, not "
            "exact, where tasks have jitter or several segments"
        )
    since = "times since all others became ready" if shown.witness else "times since the start"
    return (
        f"Simulated{meant}: {miss.task} arrives at {to_ms(miss.arrival_ns)} ms, has its deadline "
        f"at {to_ms(miss.deadline_ns)} ms and ends at {to_ms(miss.finished_ns)} ms, "
        f"{to_ms(miss.finished_ns - miss.deadline_ns)} ms late ({since})"
    )
