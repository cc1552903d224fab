"""Numbers and tables as people read them, on terminals from 80 columns and in pipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from aegis_ros.analysis import LaneVerdict
from aegis_ros.rationale import Witness
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.verdicts import TaskTooLong

__all__ = ["inequality", "reason", "say", "sheet", "sign", "terminal", "to_ms"]

_PIPE_COLUMNS = 140


class _SafeConsole(Console):
    """Prints names out of networks, traces and robots without the codes of terminals in them."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what is printed; only rich itself moves the cursor or sets colours."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                lines = (printable(line) for line in segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


def terminal() -> Console:
    """Return where text goes: colours and its own width on a terminal, plain and wide in a pipe."""
    console = _SafeConsole(highlight=False)
    if not console.is_terminal:
        console = _SafeConsole(highlight=False, width=_PIPE_COLUMNS)
    return console


def say(console: Console, sentence: str, *, bullet: str = "", style: str = "") -> None:
    """Print a sentence with a full stop; wrapped on terminals only.

    Args:
        console: where.
        sentence: as it is to be read.
        bullet: for one of a list.
        style: of the whole sentence.
    """
    text = printable(sentence.strip())
    text = text if text.endswith((".", ":", "!")) else text + "."
    if bullet:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(bullet, Text(text, style=style))
        if console.is_terminal:
            console.print(grid)
            return
        text = f"{bullet} {text}"
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)


def reason(verdict: LaneVerdict) -> str:
    """Return the sentence of a verdict with a capital, where it does not begin with a name."""
    text = verdict.sentence
    named = isinstance(verdict.finding, TaskTooLong)
    return text if named else text[:1].upper() + text[1:]


def sheet(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    """Return an empty table.

    Args:
        title: with rich markup; what comes from a user in it must be escaped.
        columns: heading and ``left`` or ``right`` of each.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading, justify in columns:
        left = justify == "left"
        table.add_column(
            escape(heading),
            justify="left" if left else "right",
            overflow="fold" if left else "ellipsis",
            no_wrap=not left,
            min_width=None if left else len(heading.split("\n")[0]),
        )
    return table


def to_ms(value_ns: float) -> str:
    """Return milliseconds in about four digits, never rounded to nothing."""
    value = abs(value_ns) / 1e6
    if value_ns == 0 or value >= 1000:
        return f"{value_ns / 1e6:.0f}"
    for least, digits in ((100, 1), (0.1, 2), (0.001, 4)):
        if value >= least:
            return f"{value_ns / 1e6:.{digits}f}"
    return f"{value_ns / 1e6:.6f}"


def inequality(witness: Witness) -> tuple[str, str, str]:
    """Return left side, relation and right side in milliseconds, in digits that differ."""
    need_ns = witness.demand_ns + witness.blocking_ns
    digits = 2
    while digits < 6 and round(need_ns / 1e6, digits) == round(witness.t_ns / 1e6, digits):
        digits += 2
    demand, blocking, need, t = (
        f"{value / 1e6:.{digits}f}"
        for value in (witness.demand_ns, witness.blocking_ns, need_ns, witness.t_ns)
    )
    blocker = f" ({witness.blocking_task})" if witness.blocking_task else ""
    left = f"demand {demand} + blocking {blocking}{blocker} = {need}"
    return left, "≤" if need_ns <= witness.t_ns else ">", f"t = {t} ms"


def sign(value: bool) -> str:
    """Return the word for an answer, with its colour as rich markup."""
    return "[green]schedulable[/green]" if value else "[red]NOT schedulable[/red]"
