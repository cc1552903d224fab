"""Every decision has words, every word is of a decision, and a person has read them all."""

from __future__ import annotations

import json
from dataclasses import is_dataclass

import pytest

from aegis_ros.rationale import Reason, Rule, loading
from aegis_ros.rationale.admission import BudgetBasis, CutReason
from aegis_ros.rationale.changes import Change
from aegis_ros.rationale.engine import EngineCause
from aegis_ros.rationale.plain import KINDS, from_plain, kind_of, to_plain
from aegis_ros.rationale.verdicts import Finding
from aegis_ros.rationale.wording import load_hint, sentence, words
from aegis_ros.rationale.wording.words import known

from .golden import FILE, text
from .samples import CHANGES, FINDINGS, LOAD_FAILURES, PARTS, REASONS

SAMPLES = (*REASONS, *FINDINGS, *CHANGES, *PARTS, *LOAD_FAILURES)
WORDED = {kind for kind in known().registry if kind is not object}


def test_the_sentences_are_those_a_person_has_read() -> None:
    assert text() == FILE.read_text(), "read the new ones: python -m test.rationale.golden"


def test_everything_with_words_has_an_example() -> None:
    assert {type(item) for item in SAMPLES} == WORDED


def test_everything_that_is_decided_has_words() -> None:
    families = (Reason, Finding, Change, CutReason, BudgetBasis, EngineCause)
    decided = {kind for kind in KINDS.values() if issubclass(kind, families)}
    assert decided <= WORDED


def test_every_rule_decides_something() -> None:
    # These decide through verdicts whose findings are among the examples.
    by_verdict = {Rule.WCET_DEADLINE, Rule.CRITICAL_WINDOW, Rule.TABLE, Rule.MODES}
    assert {item.rule for item in REASONS} | by_verdict == set(Rule)


def test_every_failure_to_load_has_words_and_advice() -> None:
    kinds = {getattr(loading, name) for name in loading.__all__} - {loading.LoadFailure}
    assert {type(item) for item in LOAD_FAILURES} == kinds
    for failure in LOAD_FAILURES:
        hint = load_hint(failure)
        assert hint and not hint.endswith("."), failure


def test_what_nobody_put_into_words_is_an_error() -> None:
    with pytest.raises(TypeError, match="int has no wording"):
        words(5)


@pytest.mark.parametrize("reason", REASONS, ids=lambda item: kind_of(type(item)))
def test_a_sentence_is_whole(reason: Reason) -> None:
    said = sentence(reason)
    assert said.endswith((".", "?")) and not said.endswith("..")
    first = said.split(" ", 1)[0]
    assert said[0].isupper() or not first.isalpha() or first == getattr(reason, "task", "")
    assert "  " not in said and "None" not in said


@pytest.mark.parametrize("reason", REASONS, ids=lambda item: kind_of(type(item)))
def test_a_reason_comes_back_from_json(reason: Reason) -> None:
    found = from_plain(json.loads(json.dumps(to_plain(reason))))
    assert found == reason and is_dataclass(found)


def test_a_reason_of_another_version_is_none() -> None:
    assert from_plain({"kind": "never_heard_of"}) is None
    assert from_plain({"kind": "newer_frame", "frame": 5}) is None
