"""A device that becomes slow under a running node."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.device import DeviceState
from test.nodes.system import SIZE, running


class _Slow:
    """A monitor of a device at a hundredth of its speed."""

    def read(self) -> DeviceState:
        return DeviceState(0.01, 95.0, True, "made up")


def test_the_node_watches_the_device_and_reports_what_it_sheds(tmp_path: Path) -> None:
    task = (
        "  - {name: filed, model: identity.onnx, period_ms: 50, wcet_ms: 1,\n"
        "     input: {topic: /filed/image, max_size: [64, 64]},\n"
        f"     preprocess: {{size: {list(SIZE)}}},\n"
        "     output: {topic: /filed/result}}\n"
    ).replace("identity.onnx", str(tmp_path / "identity.onnx"))
    with running(tmp_path, task) as system:
        system.node.device_monitor = _Slow()
        reported = system.rationale("device_speed", "filed")
        assert reported.decision == "shed" and "1%" in reported.sentence
        assert "95 °C" in system.rationale("device_speed").sentence
        system.until(
            lambda: any(
                task.state == "shed" for each in system.statuses[-1:] for task in each.tasks
            )
        )
