"""docs/decoders.md is what the decoders declare."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_ros.decoders.base import Options
from aegis_ros.decoders.reference import renewed
from aegis_ros.decoders.registry import _OURS, options_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "decoders.md").read_text(encoding="utf-8")
NAMES = sorted(_OURS)


def test_the_page_in_the_repository_is_up_to_date() -> None:
    command = [sys.executable, "-m", "aegis_ros.decoders.reference", "--check", "docs/decoders.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}: run the same command without --check"


def test_every_decoder_has_a_section_with_its_options() -> None:
    assert set(NAMES) <= set(re.findall(r"^## ([a-z_0-9]+)$", PAGE, re.MULTILINE))
    tables = set(re.findall(r"<!-- keys of ([a-z_0-9]+) -->", PAGE))
    assert {name for name in NAMES if name != "raw"} <= tables


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_means(name: str) -> None:
    options = options_of(name)
    assert options is not None
    assert [key for key, field in options.model_fields.items() if not field.description] == []
    assert options is not Options or name == "raw"


def test_a_table_of_a_decoder_that_is_not_there_is_refused() -> None:
    with pytest.raises(Exception, match="no such decoder"):
        renewed("<!-- keys of trees -->\n<!-- end of keys -->\n")
