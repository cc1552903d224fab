"""What is reserved for tasks that are leaving, read while it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_ros.orchestrator import admitted as module

from .house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path / "house")
    house.start()
    return house


class _Moment(int):
    """An instant at whose next comparison another thread gets its turn."""

    in_between: Callable[[], None] | None = None

    def __gt__(self, other: int) -> bool:
        turn, self.in_between = self.in_between, None
        if turn is not None:
            turn()
        return int(self) > other


def test_a_reservation_made_while_others_are_read_is_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        assert house.orchestrator.register(house.task(name)).accepted
    admitted = house.orchestrator._admitted
    entries = {entry.spec.name: entry for entry in admitted}
    for entry in entries.values():
        entry.statistics.last_deadline_ns = 1  # each had a frame
    moments: list[_Moment] = []

    def free_from(*arguments: object, **keywords: object) -> _Moment:
        moments.append(_Moment(1 << 62))
        return moments[-1]

    monkeypatch.setattr(module, "safe_removal_ns", free_from)
    admitted.remove(entries["first"])
    moments[0].in_between = lambda: admitted.remove(entries["second"])
    admitted.running()
    assert set(admitted.running()) == {"first (leaving 0)", "second (leaving 1)"}


def test_what_has_left_is_not_counted_any_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.orchestrator.register(house.task("first")).accepted
    admitted = house.orchestrator._admitted
    (entry,) = admitted
    entry.statistics.last_deadline_ns = 1
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: 10)
    monkeypatch.setattr(module, "safe_removal_ns", lambda *arguments, **keywords: 12)
    admitted.remove(entry)
    assert set(admitted.running()) == {"first (leaving 0)"}
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: 12)
    assert admitted.running() == {}
