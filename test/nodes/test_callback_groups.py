"""A node keeps nothing of publishers and subscriptions that it gave back."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.srv import RegisterModel, UnregisterModel

from test.nodes.system import System, running

_TIMES = 4


def _kept(system: System) -> int:
    nodes = (system.node, system.node.intake_node)
    return sum(len(node.default_callback_group.entities) for node in nodes)


def test_tasks_that_come_and_go_leave_nothing_in_the_callback_groups(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        kept = []
        for _ in range(_TIMES):
            assert system.call(RegisterModel, task=system.task("eye")).admitted
            assert system.call(UnregisterModel, name="eye").success
            kept.append(_kept(system))
        # What is still referred to at one removal goes with the next one, so that none adds up.
        assert kept[-1] - kept[0] < _TIMES - 1, kept
