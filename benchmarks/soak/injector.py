"""Does one fault after the other to the robot, and waits each time until all is good again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from aegis_ros.msg import ModelTask
from aegis_ros.srv import RegisterModel, UnregisterModel
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from benchmarks.compare.workload import Task
from benchmarks.progress import Shown
from benchmarks.soak.faults import Kind, Planned
from benchmarks.soak.ledger import MALFORMED, SENT
from benchmarks.soak.listener import Listener
from benchmarks.soak.malformed import malformed, too_large
from benchmarks.soak.ports import open_ports
from benchmarks.soak.record import Counted, Record
from benchmarks.soak.sampler import sample
from benchmarks.soak.small_disk import SmallDisk
from benchmarks.soak.stage import Stage
from benchmarks.soak.windows import Window

__all__ = ["Injector"]

_PATIENCE_S = 60.0
_LOOK_S = 0.005
_REST_S = 1.0  # at least, between the end of a window and the next fault
# After these a process discovers the others while frames come already: the first result of each
# task says little of the next one.
_SETTLE = frozenset(
    [
        Kind.NODE_KILL,
        Kind.NODE_KILL_DISK_FULL,
        Kind.DRIVER_KILL,
        Kind.DRIVER_HANG,
        Kind.ENGINE_KILL_DRIVER_HUNG,
    ]
)
_STEADY_S = 1.0
_SETTLED_S = 4.0  # after it, a new engine stands by
_ANSWER_S = 30.0
_HUNG_S = (1.0, 4.0)
_DOWN_S = (0.5, 3.0)
_FULL_S = 3.0
_WRONG_S = 3.0
_MOMENT_S = 0.1  # of a registration, which takes longer
_WRONG_MS = ("none", "40", "2000", "86400000", "-60000", "-3600000")
_MALFORMED = 20
_BETWEEN_S = 0.05
_MATCH_S = 0.5  # a reader may know of a writer a moment after the writer knows of it
_LEAVE_S = 0.2  # until its last message has been taken
_FIRST_MALFORMED = 4_000_000_000
_Found = TypeVar("_Found")
_LARGE_AT_ONCE = 8
_CALM_ROUNDS, _MOST_ROUNDS = 3, 20
_CALM_MIB = 1.0  # less than the smallest of these buffers
_QUIET_S = 1.5  # longer than any frame is on its way
_OVERTAKEN_S = 4.0  # frames that newer ones replaced are reported so much later, at most
_TOLD_S = 62.0  # frames that came too early are summed up once a minute


class Injector:
    """Injects faults, one at a time, and keeps their windows.

    Args:
        stage: the processes.
        listener: knows when all is good.
        record: gets the windows.
        tasks: what runs.
        urgent: name of the most urgent task.
        guest: a task that comes and goes.
        disk: where the node keeps what it remembers.
    """

    def __init__(
        self,
        stage: Stage,
        listener: Listener,
        record: Record,
        *,
        tasks: Sequence[Task],
        urgent: str,
        guest: ModelTask,
        disk: SmallDisk,
    ) -> None:
        """Inject nothing yet."""
        self._stage = stage
        self._listener = listener
        self._record = record
        self._tasks = list(tasks)
        self._names = [task.name for task in tasks]
        self._urgent = urgent
        self._guest = guest
        self._disk = disk
        self._busy = True
        self._good_at = time.monotonic()
        self._next_malformed = _FIRST_MALFORMED
        node = listener.node
        self._register = node.create_client(RegisterModel, "/orchestrator/register_model")
        self._unregister = node.create_client(UnregisterModel, "/orchestrator/unregister_model")
        self._how: Mapping[Kind, Callable[[int], str]] = {
            Kind.ENGINE_KILL: self._engine_kill,
            Kind.ENGINE_HANG: self._engine_hang,
            Kind.NODE_KILL: self._node_kill,
            Kind.DISK_FULL: self._disk_full,
            Kind.DRIVER_KILL: self._driver_kill,
            Kind.DRIVER_HANG: self._driver_hang,
            Kind.GUEST: self._guest_comes_and_goes,
            Kind.BAD_MESSAGES: self._bad_messages,
            Kind.BAD_STAMPS: self._bad_stamps,
            Kind.ENGINE_KILL_DRIVER_HUNG: self._engine_kill_driver_hung,
            Kind.ENGINE_KILL_REGISTERING: self._engine_kill_registering,
            Kind.NODE_KILL_DISK_FULL: self._node_kill_disk_full,
        }

    @property
    def settled(self) -> bool:
        """Whether all has been good for some seconds."""
        return not self._busy and time.monotonic() - self._good_at > _SETTLED_S

    def wait_until_good(self) -> None:
        """Wait at the beginning until all tasks have results."""
        with self._window(None):
            self._listener.watch(time.time_ns())
            self._await_good(Kind.DRIVER_KILL)

    def warm_up(self) -> None:
        """Send the largest malformed messages to every topic, until that takes no more memory.

        The middleware keeps buffers of the size of the largest message of each topic, as many as it
        has needed at once: what they take, it takes once. Of many that come at once, some are still
        held when the next ones arrive.
        """
        rounds = calm = 0
        with ExitStack() as open_here:
            strangers = [
                open_here.enter_context(self._stranger(number))
                for number in range(len(self._tasks))
            ]
            while calm < _CALM_ROUNDS and rounds < _MOST_ROUNDS:
                before_mib = self._node_mib()
                for number, stranger in enumerate(strangers):
                    with self._window(None):
                        for _ in range(_LARGE_AT_ONCE):
                            self._note_malformed(number)
                            stranger.publish(too_large())
                        self._listener.watch(time.time_ns())
                        self._await_good(Kind.BAD_MESSAGES)
                rounds += 1
                calm = calm + 1 if self._node_mib() - before_mib < _CALM_MIB else 0
        self._record.note("warm", rounds=rounds, node_mib=self._node_mib())

    def _node_mib(self) -> float:
        found = sample("node", self._stage.node_pid)
        return 0.0 if found is None else found.rss_mib

    def run(self, planned: Sequence[Planned], seconds: float, counts: int, shown: Shown) -> None:
        """Inject all faults in their order, and have the robot counted in between.

        Args:
            planned: the faults.
            seconds: until the end; what is not done a quarter later is left out.
            counts: how often to stop the cameras for a moment and to count, evenly apart.
            shown: where progress is shown.
        """
        begin = time.monotonic()
        to_count = [seconds * (at + 1) / (counts + 1) for at in range(counts)]
        row = shown.add_task("faults", total=len(planned))
        last_phase = 0
        for each in planned:
            now = time.monotonic() - begin
            if now > 1.25 * seconds:
                self._remark(f"{each.kind} and what follows was left out: the run took too long")
                break
            while to_count and each.at_s > to_count[0] and each.phase < 2:
                self._sleep(begin + to_count.pop(0))
                self.count(shown, row)
            if each.phase == 2 and last_phase < 2:  # the first life is over: its last count
                self.count(shown, row, patient=True)
            last_phase = each.phase
            self._sleep(begin + each.at_s)
            shown.update(row, description=f"{each.kind}")
            self._inject(each)
            shown.advance(row)
        self._sleep(begin + seconds)
        self.count(shown, row, patient=last_phase < 2)

    def count(self, shown: Shown, row: Any, *, patient: bool = False) -> None:
        """Stop the cameras for a moment, so that no frame is on its way, and count.

        Args:
            shown: where progress is shown.
            row: its row.
            patient: wait until all that gave no result has been told as well.
        """
        shown.update(row, description="counting")
        self._busy = True
        pause_s = _TOLD_S + _QUIET_S if patient else 2 * _QUIET_S
        self._stage.command(f"pause {pause_s}")
        paused_at = time.monotonic()
        time.sleep(_QUIET_S)
        asked = time.monotonic()
        end = paused_at + pause_s - 0.5
        while self._listener.status_at <= asked and time.monotonic() < end:
            time.sleep(_LOOK_S)
        if patient:
            sure = asked + _OVERTAKEN_S
            while (now := time.monotonic()) < end and not (now > sure and self._all_told()):
                time.sleep(_LOOK_S)
        self._note_counts(quiet=True, waited=patient)
        if patient:
            self._stage.command("pause 0")
        self._listener.watch(time.time_ns())
        with suppress(TimeoutError):
            self._until(self._listener.all_good, "no results after a pause")
        self._rest()

    def _all_told(self) -> bool:
        counts, _ = self._listener.counts()
        return all(each.told >= each.skipped + each.lost for each in counts.values())

    def _note_counts(self, *, quiet: bool, waited: bool = False) -> None:
        at_ns = time.time_ns()
        counts, status_ns = self._listener.counts()
        in_flight = self._listener.in_flight
        self._record.keep(self._stage.sent)
        self._record.counted(
            Counted(self._stage.life, at_ns, quiet, counts, in_flight, status_ns, waited)
        )

    def _inject(self, planned: Planned) -> None:
        with self._window(planned.kind):
            begin_ns = time.time_ns()
            good, note, steady_ns = True, "", 0
            try:
                note = self._how[planned.kind](planned.variant)
                steady_ns = self._await_good(planned.kind)
            except TimeoutError as error:
                good, note = False, str(error)
                self._remark(f"{planned.kind}: {error}")
                self._note_ports()
            if problem := self._stage.node_ended():
                good, note = False, problem
                self._remark(f"{planned.kind}: {problem}")
                self._stage.start_node()
            now_ns = time.time_ns()
            firsts = [self._listener.good(name) or now_ns for name in self._names]
            urgent_ns = self._listener.good(self._urgent) or now_ns
            first_ns = max(*firsts, self._healed_ns)
            self._record.window(
                Window(
                    planned.kind,
                    begin_ns,
                    max(first_ns, steady_ns) if good else now_ns,
                    urgent_ns,
                    good=good,
                    note=note,
                    first_ns=first_ns,
                )
            )

    @contextmanager
    def _window(self, kind: Kind | None) -> Iterator[None]:
        self._busy = True
        self._healed_ns = 0
        try:
            yield
        finally:
            self._rest()

    def _rest(self) -> None:
        self._good_at = time.monotonic()
        self._busy = False
        time.sleep(_REST_S)

    def _await_good(self, kind: Kind) -> int:
        """Wait until the robot is as it was; return since when, where that must last; else 0."""
        what = f"not all tasks have results in time after {kind}"
        self._until(self._listener.all_good, what)
        if kind not in _SETTLE:
            return 0
        return self._until(lambda: self._listener.steady(_STEADY_S), f"{what}, for {_STEADY_S:g} s")

    def _until(
        self, true: Callable[[], _Found], what: str, patience_s: float = _PATIENCE_S
    ) -> _Found:
        end = time.monotonic() + patience_s
        while not (found := true()):
            if self._stage.node_ended():
                raise TimeoutError(f"{what}: the node ended")
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: nothing within {patience_s:g} s")
            time.sleep(_LOOK_S)
        return found

    def _sleep(self, until: float) -> None:
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, 1.0))
            if problem := self._stage.node_ended():
                self._remark(problem)
                self._stage.start_node()
                self._stage.wait_for_node()

    def _note_ports(self) -> None:
        for part, pid in (("node", self._stage.node_pid), ("driver", self._stage.driver_pid)):
            if pid:
                self._record.note("ports", part=part, pid=pid, **open_ports(pid))

    def _remark(self, text: str) -> None:
        self._record.note("remark", text=text, at_ns=time.time_ns())

    # -- each fault; returns what else was seen -------------------------------------------------

    def _engine_pid(self) -> int:
        self._until(lambda: self._listener.status.engine_pid, "no engine")
        return int(self._listener.status.engine_pid)

    def _engine_kill(self, variant: int) -> str:
        os.kill(self._engine_pid(), signal.SIGKILL)
        self._listener.watch(time.time_ns())
        return ""

    def _engine_hang(self, variant: int) -> str:
        os.kill(self._engine_pid(), signal.SIGSTOP)
        self._listener.watch(time.time_ns())
        return ""

    def _node_kill(self, variant: int) -> str:
        self._note_counts(quiet=False)
        self._stage.kill_node()
        self._listener.watch(time.time_ns())
        self._stage.start_node()
        return ""

    def _disk_full(self, variant: int) -> str:
        self._listener.watch(time.time_ns())
        written = self._listener.decisions("journal_written")
        not_written = self._listener.decisions("journal_not_written")
        left = self._disk.fill()
        notes = [f"{left >> 20} MiB filled"]
        try:
            answer = self._call(self._register, RegisterModel.Request(task=self._guest))
            notes.append(f"registration: {answer.rationale.rule}")
            time.sleep(_FULL_S)
        finally:
            self._disk.free()
        if self._listener.decisions("journal_not_written") > not_written:
            self._until(
                lambda: self._listener.decisions("journal_written") > written,
                "the journal was not written again",
            )
            notes.append("the journal was kept in memory, then written")
        if answer.admitted:
            self._call(self._unregister, UnregisterModel.Request(name=self._guest.name))
        else:
            raise TimeoutError(f"not admitted on a full disk: {answer.rationale.sentence}")
        self._healed_ns = time.time_ns()
        return "; ".join(notes)

    def _driver_kill(self, variant: int) -> str:
        self._stage.kill_driver()
        time.sleep(_between(_DOWN_S, variant))
        self._listener.watch(time.time_ns())
        self._stage.start_driver()
        return ""

    def _driver_hang(self, variant: int) -> str:
        os.kill(self._stage.driver_pid, signal.SIGSTOP)
        time.sleep(_between(_HUNG_S, variant))
        self._listener.watch(time.time_ns())
        os.kill(self._stage.driver_pid, signal.SIGCONT)
        return ""

    def _guest_comes_and_goes(self, variant: int) -> str:
        answer = self._call(self._register, RegisterModel.Request(task=self._guest))
        if not answer.admitted:
            raise TimeoutError(f"not admitted: {answer.rationale.sentence}")
        time.sleep(1.0)
        gone = self._call(self._unregister, UnregisterModel.Request(name=self._guest.name))
        if not gone.success:
            raise TimeoutError(f"not removed: {gone.rationale.sentence}")
        self._healed_ns = time.time_ns()
        self._listener.watch(self._healed_ns)
        return ""

    def _bad_messages(self, variant: int) -> str:
        number = variant % len(self._tasks)
        with self._stranger(number) as publisher:
            for _, message in zip(range(_MALFORMED), malformed(variant), strict=False):
                self._note_malformed(number)
                publisher.publish(message)
                time.sleep(_BETWEEN_S)
        self._listener.watch(time.time_ns())
        return self._names[number]

    @contextmanager
    def _stranger(self, number: int) -> Iterator[Any]:
        """Have a second publisher on the topic of a task, no longer than it is needed.

        While there are two, the node cannot say which messages were replaced in its queue.
        """
        node = self._listener.node
        publisher = node.create_publisher(
            Image,
            self._tasks[number].topic,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )
        try:
            self._until(publisher.get_subscription_count, "nobody hears who sends", _ANSWER_S)
            time.sleep(_MATCH_S)
            yield publisher
            time.sleep(_LEAVE_S)
        finally:
            node.destroy_publisher(publisher)

    def _note_malformed(self, number: int) -> None:
        row = np.array((number, MALFORMED, self._next_malformed, time.time_ns()), SENT)
        self._next_malformed += 1
        with self._stage.sent.open("ab", buffering=0) as file:
            file.write(row.tobytes())

    def _bad_stamps(self, variant: int) -> str:
        number = variant % len(self._tasks)
        offset = _WRONG_MS[variant // len(self._tasks) % len(_WRONG_MS)]
        self._stage.command(f"stamps {number} {_WRONG_S} {offset}")
        time.sleep(_WRONG_S + _BETWEEN_S)
        self._listener.watch(time.time_ns())
        return f"{self._names[number]} by {offset} ms"

    # -- two at once ----------------------------------------------------------------------------

    def _engine_kill_driver_hung(self, variant: int) -> str:
        os.kill(self._stage.driver_pid, signal.SIGSTOP)
        os.kill(self._engine_pid(), signal.SIGKILL)
        time.sleep(_between(_HUNG_S, variant))
        self._listener.watch(time.time_ns())
        os.kill(self._stage.driver_pid, signal.SIGCONT)
        return ""

    def _engine_kill_registering(self, variant: int) -> str:
        pid = self._engine_pid()
        answer = self._asked(self._register, RegisterModel.Request(task=self._guest))
        time.sleep(_between((0.0, _MOMENT_S), variant))
        os.kill(pid, signal.SIGKILL)
        self._until(answer.done, "no answer to a registration whose engine was killed", _ANSWER_S)
        said = answer.result()
        if said.admitted:
            self._call(self._unregister, UnregisterModel.Request(name=self._guest.name))
        self._healed_ns = time.time_ns()
        self._listener.watch(self._healed_ns)
        return str(said.rationale.rule)

    def _node_kill_disk_full(self, variant: int) -> str:
        self._note_counts(quiet=False)
        self._disk.fill()
        try:
            self._stage.kill_node()
            self._disk.fill()  # what it had open and was deleted is room again
            self._listener.watch(time.time_ns())
            self._stage.start_node()
            self._until(self._listener.all_good, "not all tasks have results on a full disk")
        finally:
            self._disk.free()
        if self._listener.decisions("journal_not_written"):
            self._until(
                lambda: self._listener.decisions("journal_written"),
                "the journal was not written again",
            )
            return "the journal was kept in memory, then written"
        return ""

    def _asked(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(_ANSWER_S):
            raise TimeoutError(f"{client.srv_name} is not there")
        return client.call_async(request)

    def _call(self, client: Any, request: Any) -> Any:
        future = self._asked(client, request)
        self._until(future.done, f"no answer of {client.srv_name}", _ANSWER_S)
        return future.result()


def _between(limits: tuple[float, float], variant: int) -> float:
    low, high = limits
    return low + (high - low) * (variant % 101) / 100
