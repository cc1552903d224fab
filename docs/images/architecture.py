"""Draws the floors of the package from the contract that holds them, as an SVG file.

``python docs/images/architecture.py`` renews ``architecture.svg`` beside it. Names and their order
are those of the layers in pyproject.toml, sentences the first line of each package's docstring, so
that the picture cannot drift from the code; a test holds it to both.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_WIDTH = 980
_LEFT = 16
_FLOOR = 36
_GAP = 6
_NAME = 190  # where the sentence begins
_TOP = 84
_LINE = 15
_CHARACTERS = 88

# Which process a package's code runs in; what is in none of these runs in both.
_NODE = (
    *("nodes", "cli", "dashboard", "chat", "views", "serving", "demo"),
    *("orchestrator", "planning", "decoders"),
)
_COLOURS = {"node": "#dbe9f6", "engine": "#fde5cd", "both": "#e9e9e9"}
_LEGEND = (
    ("node", "node's process"),
    ("engine", "engine's process and its client"),
    ("both", "both"),
)


@dataclass(frozen=True)
class Package:
    """A package or module of the house.

    Attributes:
        name: below ``aegis_ros``.
        sentence: what it is for.
    """

    name: str
    sentence: str


def floors() -> list[list[Package]]:
    """Return the floors from the top down, each with its packages."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [
        [Package(name, _sentence(name)) for name in re.findall(r"\w+", layer)] for layer in layers
    ]


def _sentence(name: str) -> str:
    package = ROOT / "aegis_ros" / name / "__init__.py"
    path = package if package.exists() else ROOT / "aegis_ros" / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    # Of a docstring without inline markup, the first sentence; roles become their last part.
    first = docstring.split("\n\n")[0].replace("\n", " ")
    first = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", first).replace("``", "")
    return re.split(r"(?<=[.])\s", first)[0].rstrip(".")


def drawing() -> str:
    """Return the picture as SVG."""
    parts: list[str] = []
    y = _TOP
    for floor in floors():
        each = (_WIDTH - 2 * _LEFT - _GAP * (len(floor) - 1)) / len(floor)
        lines = [textwrap.wrap(item.sentence, _indent(len(floor))) for item in floor]
        height = max(_FLOOR, 16 + _LINE * max(len(item) for item in lines) + _below(len(floor)))
        for place, (item, sentence) in enumerate(zip(floor, lines, strict=True)):
            x = _LEFT + place * (each + _GAP)
            parts += _box(
                item.name, sentence, x=x, y=y, width=each, height=height, alone=len(floor) == 1
            )
        y += height + _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" '
        'font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>The floors of aegis_ros</title>",
        f'<rect width="{_WIDTH}" height="{y + 10}" fill="white"/>',
        f'<text x="{_LEFT}" y="30" font-size="19" font-weight="bold">The floors of aegis_ros'
        "</text>",
        f'<text x="{_LEFT}" y="52" font-size="13" fill="#444">A file imports only from floors '
        "below its own.</text>",
    ]
    return "\n".join([*head, *_legend(), *parts, "</svg>"]) + "\n"


def _indent(packages: int) -> int:
    return _CHARACTERS + 26 if packages == 1 else (_WIDTH // packages - 30) // 7


def _below(packages: int) -> int:
    return 0 if packages == 1 else _LINE + 2


def _legend() -> list[str]:
    parts = []
    x = _LEFT
    for key, words in _LEGEND:
        parts.append(
            f'<rect x="{x}" y="62" width="12" height="12" rx="2" fill="{_COLOURS[key]}" '
            f'stroke="#999"/><text x="{x + 18}" y="72" font-size="12">{words}</text>'
        )
        x += 40 + 7 * len(words)
    return parts


def _box(
    name: str, sentence: list[str], *, x: float, y: float, width: float, height: float, alone: bool
) -> list[str]:
    kind = "node" if name in _NODE else "engine" if name in ("engine", "backends") else "both"
    middle = y + (height - _LINE * len(sentence)) / 2 + 11
    first = middle if alone else y + 36
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" '
        f'fill="{_COLOURS[kind]}" stroke="#999"/>',
        f'<text x="{x + 12:g}" y="{y + height / 2 + 5 if alone else y + 19:g}" font-size="14" '
        f'font-weight="bold" font-family="monospace">{name}/</text>',
    ]
    if (ROOT / "aegis_ros" / f"{name}.py").exists():
        parts[-1] = parts[-1].replace(f"{name}/", f"{name}.py")
    parts += [
        f'<text x="{x + (_NAME if alone else 12):g}" y="{first + _LINE * index:g}" '
        f'font-size="12.5" fill="#222">{escape(line)}</text>'
        for index, line in enumerate(sentence)
    ]
    return parts


def main() -> None:
    """Write the picture."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg")
    target.write_text(drawing(), encoding="utf-8")


if __name__ == "__main__":
    main()
