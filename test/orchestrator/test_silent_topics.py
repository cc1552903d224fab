"""A topic that falls silent is reported once, and once more when it is back."""

from __future__ import annotations

from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.silent_topics import SilentTopics, TopicCount
from aegis_ros.rationale import Decision, Rationale, Rule

_SECOND = 10**9


class _House:
    def __init__(self, period_ns: int = _SECOND // 10) -> None:
        self.reported: list[Rationale] = []
        self.watched = SilentTopics(RationaleLog(self.reported.append))
        self.period_ns = period_ns
        self.at = self.count = 0

    def seconds(self, count: int, frames: int) -> None:
        for _ in range(count):
            self.at += _SECOND
            self.count += frames
            self.watched.watch(
                [TopicCount("camera", "/image", self.period_ns, self.count)], self.at
            )


def test_a_silent_topic_is_reported_once_and_so_is_its_return() -> None:
    house = _House()
    house.seconds(5, 10)
    house.seconds(30, 0)
    house.seconds(5, 10)
    assert [(item.task, item.decision, item.rule) for item in house.reported] == [
        ("camera", Decision.INFORMED, Rule.TOPIC_SILENT)
    ] * 2
    gone, back = house.reported
    assert "no frame for 2.0 s" in gone.sentence and "/image" in gone.sentence
    assert (gone.left, gone.relation, gone.right, gone.unit) == (2.0, ">", 1.0, "s")
    assert back.sentence == "/image is back after 31.0 s."


def test_a_topic_that_is_slower_than_its_period_allows_is_not_silent() -> None:
    house = _House()
    for _ in range(20):
        house.seconds(1, 1)
        house.seconds(6, 0)
    assert house.reported == []
    house.seconds(100, 0)
    assert len(house.reported) == 1


def test_what_never_came_or_is_not_wanted_is_not_reported() -> None:
    house = _House()
    house.seconds(100, 0)
    house.seconds(3, 10)
    house.watched.watch([], house.at)  # disabled, or the node is not active
    house.at += 100 * _SECOND
    house.seconds(1, 0)
    assert house.reported == []
