"""The command `aegis`: one subcommand a module, imported when it is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aegis_ros import __version__
from aegis_ros.errors import AegisError

__all__ = ["app", "main"]

app = typer.Typer(
    name="aegis",
    help="Deadlines of a robot's neural networks: check, simulate, explain.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_File = Annotated[Path, typer.Argument(help="YAML of the orchestrator, or a bare task set.")]
_State = Annotated[
    Path | None,
    typer.Option(help="Folder of the orchestrator's profiles (default ~/.ros/aegis_ros)."),
]
_Plot = Annotated[Path | None, typer.Option(help="Also draw a picture: FILE.png, .svg or .pdf.")]


@app.command(
    epilog="Examples:  aegis check config/demo.yaml   |   aegis check set.yaml --format json\n\n"
    "Exit code: 0 schedulable, 1 not, 2 bad input."
)
def check(
    file: _File,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
    state_dir: _State = None,
    plot: _Plot = None,
) -> None:
    """Say whether every deadline of a set of tasks holds, and why."""
    from aegis_ros.cli.check import run

    raise typer.Exit(run(file, format, state_dir, plot))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> int:
    """Run the command; bad input becomes one message on stderr and exit code 2."""
    try:
        app(standalone_mode=True)
    except AegisError as error:
        print(f"aegis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
