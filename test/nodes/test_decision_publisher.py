"""Decisions are published in their order, and whoever takes one never waits for that."""

from __future__ import annotations

import threading

from aegis_ros.nodes import decision_publisher
from aegis_ros.nodes.decision_publisher import DecisionPublisher
from aegis_ros.rationale import Decision, Rationale, Rule


def _decision(number: int) -> Rationale:
    return Rationale(number, number, "camera", Decision.INFORMED, Rule.STATE, "something happened")


def test_decisions_are_published_in_their_order_before_the_end() -> None:
    reported: list[Rationale] = []
    publisher = DecisionPublisher(reported.append, lambda count: None)
    for number in range(100):
        publisher.put(_decision(number))
    publisher.close()
    assert [item.id for item in reported] == list(range(100))


def test_a_publisher_that_hangs_holds_nobody_up_and_what_is_lost_is_reported(monkeypatch) -> None:
    monkeypatch.setattr(decision_publisher, "_MOST", 4)
    begun, go_on = threading.Event(), threading.Event()
    reported: list[int] = []
    lost: list[int] = []

    def publish(rationale: Rationale) -> None:
        begun.set()
        go_on.wait()
        reported.append(rationale.id)

    publisher = DecisionPublisher(publish, lost.append)
    publisher.put(_decision(0))
    begun.wait()
    for number in range(1, 10):
        publisher.put(_decision(number))
    go_on.set()
    publisher.close()
    assert reported == [0, 1, 2, 3, 4]
    assert lost == [5]


def test_a_decision_that_cannot_be_published_silences_no_other(caplog) -> None:
    reported: list[int] = []

    def publish(rationale: Rationale) -> None:
        if rationale.id == 1:
            raise ValueError("a message that cannot be")
        reported.append(rationale.id)

    publisher = DecisionPublisher(publish, lambda count: None)
    for number in range(3):
        publisher.put(_decision(number))
    publisher.close()
    assert reported == [0, 2]
    assert "could not be published" in caplog.text
