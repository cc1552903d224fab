"""Pictures of schedules: that they are drawn, and say what they must."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, FITS, IDLING, TWO_LANES

pytest.importorskip("matplotlib")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let text in SVG be text, so that it can be searched."""
    monkeypatch.setitem(__import__("matplotlib").rcParams, "svg.fonttype", "none")


def _text(path: Path) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8")))


def test_a_rejection_shows_blocker_miss_and_inequality(
    aegis: Aegis, write: Write, tmp_path: Path, words: None
) -> None:
    path = tmp_path / "why.svg"
    assert aegis("check", write(BLOCKED), "--plot", str(path)).code == 1
    text = _text(path)
    assert "holds the lane for 30.00 ms" in text
    assert "22.00 ms late" in text
    assert "32.00 &gt; t = 10.00 ms" in text
    for label in ("arrival", "deadline", "blocks", "too late"):
        assert label in text


def test_an_accepted_set_shows_every_lane(
    aegis: Aegis, write: Write, tmp_path: Path, words: None
) -> None:
    path = tmp_path / "set.svg"
    assert aegis("check", write(TWO_LANES), "--plot", str(path)).code == 0
    text = _text(path)
    assert "lane left: schedulable" in text and "lane right: schedulable" in text
    assert "late" not in text.replace("what is late", "")


@pytest.mark.parametrize(
    ("text", "suffix"),
    [(FITS, "pdf"), (IDLING, "png"), (IDLING.replace("cw_edf", "table"), "png")],
)
def test_every_kind_of_picture_is_drawn(
    aegis: Aegis, write: Write, tmp_path: Path, text: str, suffix: str
) -> None:
    path = tmp_path / f"picture.{suffix}"
    assert aegis("check", write(text), "--plot", str(path)).code in (0, 1)
    assert path.stat().st_size > 5_000


def test_a_timeline_is_about_the_first_late_job(
    aegis: Aegis, write: Write, tmp_path: Path, words: None
) -> None:
    path = tmp_path / "timeline.svg"
    said = aegis("simulate", write(BLOCKED), "--duration", "20s", "--plot", str(path))
    assert said.code == 1
    assert re.search(r"[\d.]+ ms late", _text(path))


def test_a_set_without_a_witness_still_gives_a_picture(
    aegis: Aegis, write: Write, tmp_path: Path
) -> None:
    rows = "".join(
        f"- {{name: t{i}, period_ms: {p}, segments_ms: [{p / 4}], deadline_ms: 100000}}\n"
        for i, p in enumerate([1000.000003, 1009.000007, 1013.000009, 1019.000011])
    )
    path = tmp_path / "picture.png"
    aegis("check", write("tasks:\n" + rows), "--plot", str(path))
    assert path.exists()


def test_many_tasks_are_drawn_as_far_as_they_can_be_distinguished(
    aegis: Aegis, write: Write, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    text = "tasks: [{name: a, period_ms: 500, segments_ms: [2], copies: 200}]"
    assert aegis("check", write(text), "--plot", str(path)).code == 0
    assert path.stat().st_size > 5_000


def test_matplotlib_is_loaded_for_pictures_only(write: Write) -> None:
    code = (
        "import sys; from aegis_ros.cli.main import app; "
        f"sys.argv = ['aegis', 'check', {write(FITS)!r}]\n"
        "try: app()\nexcept SystemExit: pass\n"
        "assert 'matplotlib' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
