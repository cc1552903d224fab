"""The reference of keys is what is declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from aegis_ros.config.file_model import Config
from aegis_ros.config.reference import renewed, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_in_the_repository_is_up_to_date() -> None:
    command = [sys.executable, "-m", "aegis_ros.config.reference", "--check", "docs/config.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}: run the same command without --check"


def test_every_key_says_what_it_means() -> None:
    def undescribed(model: type[BaseModel], path: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():
            inner = [
                kind
                for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ]
            missing += [each for kind in inner for each in undescribed(kind, f"{path}{name}.")]
            if not inner and not field.description:
                missing.append(f"{path}{name}")
        return missing

    assert undescribed(Config, "") == []


def test_a_table_reports_defaults_and_ranges() -> None:
    lines = table(Config).splitlines()
    assert (
        "| `device.switch_ms` | `0.2` | 0 to 100 | cost charged for starting a segment |" in lines
    )
    assert any(line.startswith("| `tasks[].deadline_ms` | the period |") for line in lines)
    assert any(line.startswith("| `tasks[].input.topic` | required | text |") for line in lines)
    qos = next(line for line in lines if "tasks[].input.qos" in line)
    assert "`sensor_data`, `reliable`, `best_effort`" in qos


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "before\n<!-- keys of trace -->\nstale\nrows\n<!-- end of keys -->\nafter\n"
    made = renewed(page)
    assert made.startswith("before\n<!-- keys of trace -->\n| key |")
    assert made.endswith("<!-- end of keys -->\nafter\n") and "stale" not in made
    assert renewed(made) == made


def test_a_table_of_keys_that_are_not_declared_is_refused() -> None:
    with pytest.raises(KeyError):
        renewed("<!-- keys of trees -->\n<!-- end of keys -->\n")
