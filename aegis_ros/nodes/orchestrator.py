"""The `orchestrator` lifecycle node: the ROS shell around the orchestrator of the library."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer

from aegis_ros.config import Places, default_state_dir, expanded, read_config
from aegis_ros.decoders import Decoder, create_decoder
from aegis_ros.device import DeviceMonitor, DeviceState, MemoryMonitor, create_monitor
from aegis_ros.engine import JobResult
from aegis_ros.errors import AegisError, StoppedError
from aegis_ros.msg import OrchestratorStatus
from aegis_ros.msg import Rationale as RationaleMsg
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.conversions import rationale_to_message, status_to_message, time_from_ns
from aegis_ros.nodes.decision_publisher import DecisionPublisher
from aegis_ros.nodes.diagnostics import (
    Diagnosis,
    SimulatedTime,
    diagnose,
    name_shared,
    not_configured,
    reachable,
)
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.health import UPDATER, publish_health
from aegis_ros.nodes.hearing import Ears
from aegis_ros.nodes.intake import SensorIntake, join_origins
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.nodes.namesakes import Namesakes
from aegis_ros.nodes.parameters import Declaration, Parameters
from aegis_ros.nodes.progress import ProgressLog
from aegis_ros.nodes.prompting import Prompting
from aegis_ros.nodes.publishing import ResultPublisher
from aegis_ros.nodes.reachable import Reachable
from aegis_ros.nodes.realtime import FramePathPriority, freeze_heap, stay_off_lanes
from aegis_ros.nodes.services import Services
from aegis_ros.nodes.timers import set_period
from aegis_ros.nodes.topics import check_topics
from aegis_ros.nodes.transitions import Transitions
from aegis_ros.orchestrator import (
    LaneChooser,
    NodeState,
    Orchestrator,
    OrchestratorState,
    Stream,
    TaskSummary,
)
from aegis_ros.rationale import Decision, Rationale
from aegis_ros.rationale.engine import EngineGivenUp, EngineLost, EngineNotBack
from aegis_ros.rationale.lanes import LanesChosen
from aegis_ros.rationale.requests import StateExposed
from aegis_ros.rationale.results import ResultUnwanted
from aegis_ros.spec import OrchestratorSpec, TaskSpec

__all__ = ["PARAMETERS", "OrchestratorNode"]

_LOOK_AROUND_S = 1.0
_QUIET = {Decision.SKIPPED, Decision.INFORMED}
_LOUD = {Decision.REJECTED, Decision.LOST, Decision.SHED}
_ALARMS = (EngineLost, EngineNotBack, EngineGivenUp, StateExposed)

PARAMETERS = (
    Declaration("config", "", "Configuration file (YAML). Empty: no tasks, default device."),
    Declaration(
        "state_dir",
        "",
        "Folder for journal, WCET profiles and prepared networks. Empty: ~/.ros/aegis_ros.",
    ),
    Declaration("autostart", True, "Configure and activate at start.", fixed="read at start only"),
    Declaration(
        "status_period_s", 0.5, "Seconds between two messages on ~/status.", low=0.05, high=60.0
    ),
    Declaration(
        "diagnostics_period_s",
        1.0,
        "Seconds between two messages on /diagnostics.",
        low=0.1,
        high=60.0,
    ),
    Declaration(
        "device_period_s",
        1.0,
        "Seconds between two readings of the speed of the device.",
        low=0.1,
        high=60.0,
    ),
)


class OrchestratorNode(LifecycleNode):
    """Configure: validate, load, admit. Activate: subscribe and run. The rest gives it back.

    Two executors in two threads: sensor messages are taken on one, everything else (services,
    timers, diagnostics) on the other, so that neither waits for the other.
    """

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters and create what is there in every state."""
        super().__init__("orchestrator", **arguments)
        self.settings = Parameters(
            self,
            PARAMETERS,
            refuse=self._why_not_set,
            apply={
                "status_period_s": lambda value: set_period(self._status_timer, value),
                "diagnostics_period_s": lambda value: self._health_publisher.set_period(value),
                "device_period_s": lambda value: set_period(self._device_timer, value),
            },
            later=UPDATER,
        )
        latched = QoSProfile(
            depth=1000,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._rationale_publisher = self.create_publisher(RationaleMsg, "~/rationale", latched)
        self._decisions = DecisionPublisher(self._publish_rationale, self._decisions_lost)
        self._status_publisher = self.create_publisher(OrchestratorStatus, "~/status", 1)
        self.control_executor = NodeExecutor(context=self.context)
        self.intake_executor = NodeExecutor(context=self.context)
        # An executor takes whole nodes, so what runs on the intake thread is a node of its own.
        # Names are resolved and remapped by this node, so that its rules hold for both.
        self.intake_node = Node(
            f"{self.get_name()}_intake",
            namespace=self.get_namespace(),
            use_global_arguments=False,
            context=self.context,
            start_parameter_services=False,
            # Stamps are held against its clock: the simulation's, where this node follows one.
            parameter_overrides=[self.get_parameter("use_sim_time")],
        )
        self.add_post_set_parameters_callback(self._follow_clock)
        self._places = Places()
        self._orchestrator: Orchestrator | None = None
        self._chooser: LaneChooser | None = None  # while lanes are chosen
        self.device_monitor: DeviceMonitor | None = None
        self.memory_monitor = MemoryMonitor()
        self._told: set[str] = set()  # what cannot be read, once each
        self._intake: SensorIntake | None = None
        self._ears: Ears | None = None
        self._prompting: Prompting | None = None
        self._results: ResultPublisher | None = None
        self._streams: tuple[Stream, ...] = ()
        self._device: DeviceState | None = None
        self._clock_moved = (0, time.monotonic())  # what a simulation's clock showed, since when
        self._threads: FramePathPriority | None = None
        self._failure = ""  # why the node is not configured
        self._closing = False
        self._giving_back = threading.Lock()
        self._requests = Services(self, self.control_executor, lambda: self._orchestrator)
        self._transitions = Transitions(
            self, self.control_executor, state=lambda: self.state, interrupt=self._interrupt
        )
        self._progress = ProgressLog(lambda text: self.get_logger().info(text))
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._status_timer = self._every("status_period_s", self._publish_status)
        self._health_publisher = publish_health(
            self, self._health, self.settings["diagnostics_period_s"]
        )
        self._device_timer = self._every("device_period_s", self._watch_device)
        self._namesakes = Namesakes(self)
        self.reachable = Reachable(self, self._has_heard)
        for look in (self._namesakes.look, self.reachable.look):
            self.create_timer(_LOOK_AROUND_S, look, clock=self._steady)
        answer_always(self)

    def _every(self, parameter: str, do: Callable[[], None]) -> Timer:
        """Do something in a period of real time, also while a simulation pauses."""
        return self.create_timer(self.settings[parameter], do, clock=self._steady)

    def _why_not_set(self, name: str) -> str:
        """Return why a parameter cannot be set now; empty where it can."""
        if name in ("config", "state_dir") and self.state != "unconfigured":
            return f"read when the node is configured, and it is {self.state}: clean it up first"
        return ""

    def _follow_clock(self, changed: list[Parameter]) -> None:
        clock = [each for each in changed if each.name == "use_sim_time"]
        if clock:
            self.intake_node.set_parameters(clock)

    # -- lifecycle ----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Label of the present state, as ``configuring`` or ``inactive``."""
        if self._closing:  # in whichever state: from here on everything is given back
            return "shuttingdown"
        return str(self._state_machine.current_state[1])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Validate the configuration, start the engine, admit."""
        try:
            self._failure = ""
            self._configure()
        except StoppedError as stopped:
            self.get_logger().info(str(stopped))
            self._give_back()
            return TransitionCallbackReturn.FAILURE
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may want to end the program, or panic in Rust
            self._failure = self._log_failure("configure", error)
            self._give_back()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        config = self._read_config()
        with ExitStack() as given_up:
            state = NodeState(self._state_dir(), self.get_fully_qualified_name())
            given_up.callback(state.close)
            orchestrator = self._prepared(config, state)
            given_up.pop_all()  # closed with the orchestrator from here on
        if self._closing:
            raise StoppedError("configuring was stopped on request")
        orchestrator.configure()
        cores = [lane.cpu for lane in orchestrator.spec.device.lanes if lane.cpu is not None]
        gpu = not orchestrator.on_cores
        self.device_monitor = create_monitor(gpu=gpu, cores=cores)
        info = orchestrator.status().engine
        if info is not None:
            self.get_logger().info(f"engine {info.pid} on {info.device}; {info.determinism}")

    def _prepared(self, config: OrchestratorSpec, state: NodeState) -> Orchestrator:
        """Return the orchestrator, not configured, and have what goes with it."""
        spec, chosen = self._choose_lanes(config, state)
        stay_off_lanes(lane.cpu for lane in spec.device.lanes if lane.cpu is not None)
        orchestrator = Orchestrator(
            spec,
            state_dir=self._state_dir(),
            node=self.get_fully_qualified_name(),
            lanes_chosen=chosen,
            state=state,
            on_result=self._on_result,
            on_rationale=self._decisions.put,
            on_streams=self._on_streams,
            check_topics=partial(check_topics, self),
            join_origins=join_origins,
        )
        self._results = ResultPublisher(self, orchestrator)
        self._intake = SensorIntake(
            self.intake_node, orchestrator, self._results.keeps_frames, self.resolve_topic_name
        )
        self._ears = Ears(orchestrator)
        self._prompting = Prompting(self, orchestrator)
        self._orchestrator = orchestrator
        return orchestrator

    def _choose_lanes(
        self, spec: OrchestratorSpec, state: NodeState
    ) -> tuple[OrchestratorSpec, LanesChosen | None]:
        """Return the configuration with lanes where it leaves them open, and why these."""
        self._chooser = LaneChooser(
            spec,
            state=state,
            node=self.get_fully_qualified_name(),
            on_rationale=self._decisions.put,
            keep_off=stay_off_lanes,
        )
        if self._closing:
            raise StoppedError("configuring was stopped on request")
        try:
            return self._chooser.choose()
        finally:
            self._chooser = None

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and run."""
        try:
            self._activate()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._log_failure("activate", error)
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    def _activate(self) -> None:
        orchestrator = self._orchestrator
        assert orchestrator is not None
        freeze_heap()
        orchestrator.activate()
        self.get_logger().info(
            f"sensor topics are subscribed by {self.intake_node.get_fully_qualified_name()}, "
            "where ros2 node info lists them"
        )
        device = orchestrator.spec.device
        self._threads = FramePathPriority(
            device.realtime_priority, [lane.cpu for lane in device.lanes]
        )
        note = self._threads.claim()
        if self._threads.refused:
            self.get_logger().warning(note)
        elif note:
            self.get_logger().info(note)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; networks stay loaded."""
        try:
            assert self._orchestrator is not None
            self._orchestrator.deactivate()
        except Exception as error:
            self._log_failure("deactivate", error)
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the engine and give everything back."""
        return self._gave_back("clean up")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, for good."""
        return self._gave_back("shut down")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin again from unconfigured."""
        return self._gave_back("recover")

    def _gave_back(self, verb: str) -> TransitionCallbackReturn:
        try:
            self._give_back()
        except Exception as error:
            self._log_failure(verb, error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _log_failure(self, verb: str, error: BaseException) -> str:
        """Log why a transition fails, which rclpy would not, and return the sentence."""
        if self._closing:
            return f"cannot {verb}: the node ends"  # what is under way ends with it, as was asked
        if isinstance(error, AegisError):
            reason = f"cannot {verb}: {self._places.located(error)}"
            self.get_logger().error(loggable(reason))
        else:
            reason = f"cannot {verb}: {text_of(error)}"
            self.get_logger().error(loggable(f"{reason}\n{traceback.format_exc()}"))
        return reason

    def _interrupt(self) -> None:
        """Have configuring end soon, if that is under way."""
        chooser, orchestrator = self._chooser, self._orchestrator
        if chooser is not None:
            chooser.close()
        if orchestrator is not None and self.state == "configuring":
            orchestrator.admissions.close()

    def autostart(self) -> bool:
        """Configure and activate; return whether the node is active."""
        return self._transitions.change("configure") and self._transitions.change("activate")

    def close(self) -> None:
        """Give everything back, whatever the state; configuring that is under way ends."""
        self._closing = True
        chooser = self._chooser
        if chooser is not None:
            chooser.close()
        self._transitions.close()
        self._requests.close()
        self._give_back()
        self._decisions.close()

    def destroy_node(self) -> None:
        """Destroy the node and all it has; nothing may spin it any more."""
        self._requests.destroy()
        super().destroy_node()

    def leave(self) -> None:
        """Destroy the node after :meth:`close`, and have the others on the network hear of it.

        They would list it for 20 s more, and one that is started in its place would report that
        there are two. ROS keeps a node there for as long as anything refers to it.
        """
        for executor in (self.control_executor, self.intake_executor):
            executor.shutdown()
        self.intake_node.destroy_node()
        self.destroy_node()
        del self._state_machine

    def _give_back(self) -> None:
        with self._giving_back:  # a node that is closed while it is configured does so twice
            if self._intake is not None:
                self._intake.close()
                self._intake = None
            prompting, self._prompting = self._prompting, None
            if prompting is not None:
                prompting.close()
            results = self._results
            if self._orchestrator is not None:
                # What has come is published before the trace ends, so that all is counted.
                self._orchestrator.cleanup(results.close if results is not None else _nothing)
                self._orchestrator.close()
            if prompting is not None:  # what was asked has its answer by now
                prompting.destroy()
            if results is not None:
                results.close()
                self._results = None
            self._orchestrator = None
            self.device_monitor = None
            self._streams = ()

    def _read_config(self) -> OrchestratorSpec:
        path = self.settings["config"]
        if not path:
            self._places = Places()
            self.get_logger().info(
                "no configuration: one lane, and no task until one is registered; give a file with "
                "--ros-args -p config:=/path/to/robot.yaml (ros2 launch: config:=...)"
            )
            return OrchestratorSpec()
        spec, self._places = read_config(expanded(path))
        return spec

    def _state_dir(self) -> Path:
        given = self.settings["state_dir"]
        return expanded(given) if given else default_state_dir()

    # -- news of the orchestrator -------------------------------------------------------------

    def _on_result(self, spec: TaskSpec, result: JobResult) -> None:
        results = self._results
        if results is None:
            result.release()
            if self._orchestrator is not None:
                unwanted = ResultUnwanted(spec.name, result.seq)
                self._orchestrator.unpublished(result.task_id, unwanted)
        else:
            results.submit(spec, result)

    def _publish_rationale(self, rationale: Rationale) -> None:
        self._rationale_publisher.publish(rationale_to_message(rationale))
        text = f"{rationale.decision} by {rationale.rule}: {rationale.sentence}"
        place = self._places.of_task(rationale.task)
        if rationale.decision is Decision.REJECTED and place:
            text += f" ({place})"
        if isinstance(rationale.reason, _ALARMS):
            self.get_logger().error(text)
        elif rationale.decision in _LOUD:
            self.get_logger().warning(text)
        elif rationale.decision in _QUIET:
            self.get_logger().info(
                text, throttle_duration_sec=1.0, throttle_time_source_type=self._steady
            )
        else:
            self.get_logger().info(text)

    def _decisions_lost(self, count: int) -> None:
        self.get_logger().error(
            f"{count} decisions were not published because they arrived too fast; "
            "a trace of this run holds them"
        )

    def _on_streams(self, streams: tuple[Stream, ...]) -> None:
        """Have publishers and subscriptions for exactly what is admitted."""
        self._streams = streams
        orchestrator, results, intake = self._orchestrator, self._results, self._intake
        if orchestrator is None or results is None or intake is None:
            return
        results.follow(orchestrator.status().tasks, _decoder_for(orchestrator))
        intake.follow(streams if orchestrator.active else ())
        if self._prompting is not None:
            self._prompting.follow(orchestrator.active)

    # -- timers -------------------------------------------------------------------------------

    def _publish_status(self) -> None:
        now_ns = time.time_ns()
        label, state = self._seen()
        if state is None:
            message = OrchestratorStatus(stamp=time_from_ns(now_ns), state=label)
        else:
            self._progress.show(state.admissions, state.admissions_ended)
            message = status_to_message(state, label, now_ns)
        self._status_publisher.publish(message)

    def _seen(self) -> tuple[str, OrchestratorState | None]:
        """Return the label of the state and what the orchestrator shows in it, of one moment.

        Tasks of the moment before beside the label of now would show a node that is active and has
        admitted nothing.
        """
        while True:
            label, orchestrator = self.state, self._orchestrator
            status = None if orchestrator is None else orchestrator.status()
            if label == self.state:
                return label, status

    def _watch_device(self) -> None:
        # Kept: the main thread gives them back when the node closes.
        orchestrator, monitor, threads = self._orchestrator, self.device_monitor, self._threads
        if orchestrator is not None and monitor is not None:
            memory = self.memory_monitor.read(orchestrator.engine_pid)
            for problem in memory.missing:
                if problem not in self._told:
                    self._told.add(problem)
                    self.get_logger().info(problem)
            orchestrator.memory_changed(memory)
            self._device = monitor.read()
            orchestrator.device_changed(self._device)
        if threads is not None:
            threads.claim()  # an engine that was restarted has a new thread for its results

    def _health(self) -> list[Diagnosis]:
        orchestrator, intake, ears = self._orchestrator, self._intake, self._ears
        prompting = self._prompting
        name = name_shared(self._namesakes.problem)
        reached = reachable(self.reachable.problem)
        label, state = self._seen()
        if orchestrator is None or intake is None or state is None:
            return [not_configured(label, self._failure), name, reached]
        if ears is None or prompting is None:
            return [not_configured(label, self._failure), name, reached]
        found = diagnose(
            state,
            label,
            ears.report(self._streams, intake.heard()),
            device=self._device,
            limits=orchestrator.spec.diagnostics,
            memory=orchestrator.spec.memory,
            simulated=self._simulated_time(),
        )
        return [*found, *prompting.health(), name, reached]

    def _has_heard(self) -> bool:
        orchestrator = self._orchestrator
        return orchestrator is not None and orchestrator.status().frames.received > 0

    def _simulated_time(self) -> SimulatedTime | None:
        clock = self.intake_node.get_clock()
        if not clock.ros_time_is_active:
            return None
        shown, now = clock.now().nanoseconds, time.monotonic()
        if shown != self._clock_moved[0]:
            self._clock_moved = (shown, now)
        return SimulatedTime(shown, now - self._clock_moved[1])


def _nothing() -> None:
    """Stand in for what there is not."""


def _decoder_for(orchestrator: Orchestrator) -> Any:
    def make(summary: TaskSummary) -> Decoder:
        spec = summary.spec
        outputs, metadata = orchestrator.network_facts(spec.name)
        return create_decoder(
            spec.output.decoder,
            spec.output.options,
            spec.main_preprocess,
            outputs,
            metadata=metadata,
        )

    return make
