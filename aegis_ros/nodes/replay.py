"""The `replay` node: plays recordings as ROS topics, with their own timing."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any, Literal

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from aegis_ros.config import expanded
from aegis_ros.errors import AegisError
from aegis_ros.nodes.allocator import tune_allocator
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.command_line import take_ros_arguments
from aegis_ros.nodes.ending import end_on_signals, run_and_leave
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.nodes.parameters import Declaration, Parameters
from aegis_ros.nodes.recordings import Recorded, open_recording
from aegis_ros.nodes.replay_config import ReplayConfig, Source, load_replay, locate
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.nodes.starting import starting

__all__ = ["ReplayNode", "main"]

_AHEAD = 4


class _Player:
    """Plays one source: one thread reads and decodes ahead, another keeps the time."""

    def __init__(self, node: Node, source: Source, speed: float) -> None:
        self._node = node
        self._source = source
        self._speed = speed
        self._path = locate(source)
        self._ahead: queue.Queue[Recorded | None] = queue.Queue(_AHEAD)
        self._publishers: dict[str, Any] = {}
        self._ending = threading.Event()
        self.problem = ""
        self.published = 0
        self._threads = [
            threading.Thread(target=target, name=f"replay-{name}", daemon=True)
            for name, target in (("read", self._read), ("play", self._play))
        ]

    def start(self) -> None:
        """Begin to play."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both threads."""
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    @property
    def done(self) -> bool:
        """Whether everything has been played."""
        return not self._threads[1].is_alive()

    def _read(self) -> None:
        offset = -self._source.start_s
        try:
            while not self._ending.is_set():
                last = previous = offset
                played = 0
                for item in open_recording(self._source, self._path):
                    if item.time_s < self._source.start_s:
                        continue
                    previous, last = last, item.time_s + offset
                    played += 1
                    if not self._put(item, last):
                        return
                if not self._source.loop or not played:
                    break
                # The next pass follows the last message by one ordinary gap.
                gap = 1.0 / self._source.rate_hz if self._source.rate_hz else last - previous
                offset = last + max(gap, 0.001) - self._source.start_s
        except AegisError as error:
            self.problem = str(error)
        except Exception as error:  # a damaged recording may break any reader
            self.problem = f"{self._path} cannot be played: {text_of(error)}"
        self._put(None, 0.0)

    def _put(self, item: Recorded | None, time_s: float) -> bool:
        if item is not None:
            item = Recorded(time_s, item.topic, item.kind, item.message, item.raw)
        while not self._ending.is_set():
            try:
                self._ahead.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _play(self) -> None:
        first = self._ahead.get()
        begin = time.monotonic()
        item: Recorded | None = first
        while item is not None and not self._ending.is_set():
            due = begin + item.time_s / self._speed
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return
            try:
                self._publish(item)
            except Exception as error:  # security may refuse a topic, a recording may have its type
                self.problem = f"{item.topic} cannot be published: {text_of(error)}"
                return
            item = self._ahead.get()

    def _publish(self, item: Recorded) -> None:
        publisher = self._publishers.get(item.topic)
        if publisher is None:
            reliable = self._source.qos == "reliable"
            qos = QoSProfile(
                depth=1,
                reliability=ReliabilityPolicy.RELIABLE
                if reliable
                else ReliabilityPolicy.BEST_EFFORT,
            )
            publisher = self._node.create_publisher(item.kind, item.topic, qos)
            self._publishers[item.topic] = publisher
        if item.raw is not None:
            fresh = self._source.stamp == "now" and _begins_with_header(item.kind)
            publisher.publish(_restamp(item.raw) if fresh else item.raw)
        else:
            item.message.header.stamp = self._node.get_clock().now().to_msg()
            publisher.publish(item.message)
        self.published += 1


def _begins_with_header(kind: Any) -> bool:
    fields = list(kind.get_fields_and_field_types().values())
    return bool(fields) and fields[0] == "std_msgs/Header"


def _restamp(raw: bytes) -> bytes:
    """Return a serialised message that begins with a header, its stamp set to now."""
    now = time.time_ns()
    order: Literal["big", "little"] = "big" if raw[1] == 0 else "little"
    stamp = (now // 1_000_000_000).to_bytes(4, order) + (now % 1_000_000_000).to_bytes(4, order)
    return raw[:4] + stamp + raw[12:]


_PARAMETERS = (
    Declaration(
        "config",
        "",
        "YAML file: which recordings to play.",
        fixed="read at start only: start the replay again",
    ),
)


class ReplayNode(Node):
    """Plays everything its configuration names."""

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters, check every recording, begin to play.

        Raises:
            ConfigError: the configuration or a recording cannot be used.
        """
        super().__init__("replay", **arguments)
        path = str(Parameters(self, _PARAMETERS)["config"])
        config: ReplayConfig = load_replay(expanded(path))
        self._players = [_Player(self, source, config.speed) for source in config.sources]
        for player in self._players:
            player.start()
        self.get_logger().info(f"playing {len(self._players)} recording(s) from {path}")
        self._reported: set[int] = set()
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also where a simulation has paused
        self.create_timer(0.2, self._watch, clock=steady)
        self.create_timer(10.0, self._progress, clock=steady)
        self.finished = threading.Event()
        answer_always(self)

    @property
    def failed(self) -> bool:
        """Whether a recording could not be played to its end."""
        return any(player.problem for player in self._players)

    def _watch(self) -> None:
        for index, player in enumerate(self._players):
            if player.problem and index not in self._reported:
                self._reported.add(index)
                self.get_logger().error(loggable(player.problem))
        if all(player.done for player in self._players):
            self.finished.set()

    def _progress(self) -> None:
        total = sum(player.published for player in self._players)
        self.get_logger().info(f"{total} messages published")

    def close(self) -> None:
        """End all players."""
        for player in self._players:
            player.close()


def main(args: list[str] | None = None) -> int:
    """Play until the end or a signal.

    Returns:
        0 when everything was played, 1 when a recording broke, 2 when nothing could be begun.
    """
    take_ros_arguments(
        "replay", "Plays recordings in place of cameras and lidars.", _PARAMETERS, args
    )
    tune_allocator()
    end = threading.Event()
    end_on_signals(end)
    try:
        with starting():
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
            node = ReplayNode()
    except AegisError as error:
        print(f"replay: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spinner = spin_beside(node)
    while not (end.wait(0.1) or node.finished.is_set()):
        continue
    failed = node.failed
    node.close()
    spinner.leave()
    rclpy.try_shutdown()
    return int(failed)


if __name__ == "__main__":
    run_and_leave(main)
