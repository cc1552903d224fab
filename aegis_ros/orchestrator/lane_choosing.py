"""Chooses lanes before an orchestrator has any: measures what is missing, then plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from time import monotonic

from aegis_ros.backends import Backend, CompiledNetwork, create_backends
from aegis_ros.engine import Engine, EngineClient
from aegis_ros.errors import AegisError, ProfileError, StateError, StoppedError
from aegis_ros.host import pinnable_cores
from aegis_ros.orchestrator.admissions import Admissions, Ticket
from aegis_ros.orchestrator.claims import Claims, claims_folder, claims_of
from aegis_ros.orchestrator.lane_loads import LaneLoads
from aegis_ros.orchestrator.node_folder import DEFAULT_NODE
from aegis_ros.orchestrator.node_state import NodeState
from aegis_ros.orchestrator.profiling import Profiler
from aegis_ros.orchestrator.types import AdmissionRequest
from aegis_ros.planning.candidate import Options
from aegis_ros.planning.contention import PairRun, Placed, Verify
from aegis_ros.planning.lane_options import OptionsLayout
from aegis_ros.planning.lane_plan import LanePlan, plan_lanes
from aegis_ros.planning.lane_reason import lanes_chosen
from aegis_ros.planning.layouts import LaneLayout, layouts_of
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rationale
from aegis_ros.rationale.lanes import LaneAlternative, LanesChosen
from aegis_ros.rationale.requests import NotClaimed
from aegis_ros.sandbox.stopping import check_stop
from aegis_ros.spec import Contend, DeviceSpec, OrchestratorSpec, TaskSpec
from aegis_ros.wcet import ProfileKey, RememberedProfiles, Stress

__all__ = ["LaneChooser"]

# What says nothing of the task that was asked for.
_NOT_THE_TASK = (ProfileError, StoppedError)
_NOT_SLOWED = Fraction(1)
_ALONE = 0.5  # of the time there is, to measure networks alone
_NO_TIME = "no time was left to measure their networks beside each other"


class LaneChooser:
    """Chooses the lanes of a configuration that says ``lanes: auto``, for the tasks it names.

    Each network is measured alone on every kind of lane that there may be. What it takes beside
    others is at first assumed to be no more than that, so that no placement looks worse than it
    is; what the best one rests on is then measured, until nothing in the best one is assumed. At
    last its networks are measured with all other lanes busy, as admission will; where that makes
    another placement the best one, the same is done with that.

    Lanes that a device cannot be divided into are found out when the engine opens them. They are
    left out, and the decision says why. So are those that cannot be measured in the time there is:
    one half of it is for networks alone, on kinds of lanes that follow the first one, and the other
    for networks beside each other. A choice that no time is left to measure with all lanes busy
    stands: admission does that.

    Args:
        spec: configuration.
        state: where profiles are; the orchestrator gets the same.
        node: full name of the node.
        on_rationale: called with what is measured.
        keep_off: called with the cores of the lanes on which networks are measured next, before
            they are: what else this process does belongs on others.
        engine_factory: makes the engines that measure, each from a device and the callbacks.
        limit_s: after which no further measurement begins, but for those of a single lane;
            ``None`` for as long as it takes.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        *,
        state: NodeState,
        node: str = DEFAULT_NODE,
        on_rationale: Callable[[Rationale], None] = lambda rationale: None,
        keep_off: Callable[[Iterable[int]], object] = lambda cores: None,
        engine_factory: Callable[..., Engine] = EngineClient,
        limit_s: float | None = None,
    ) -> None:
        """Look at nothing yet."""
        self._spec = spec
        self._state = state
        self._node = node
        state.log.publish_to(on_rationale)
        self._keep_off = keep_off
        self._engine_factory = engine_factory
        self._limit_s = limit_s
        self._admissions = Admissions()
        self._admissions.open()

    def close(self) -> None:
        """Have :meth:`choose` end soon, with an error."""
        self._admissions.close()

    def choose(self) -> tuple[OrchestratorSpec, LanesChosen | None]:
        """Return the configuration with lanes, each task on its own, and why.

        A task that cannot run at all is left as it is: its registration says why. So are all tasks
        where no lanes hold them all: they are then admitted one by one, as far as that is possible.

        Returns:
            ``None`` in place of a decision where lanes are declared, or there is no task.

        Raises:
            ConfigError: there is no such backend.
            EngineError: the engine starts on no lanes that there may be.
            StateError: another orchestrator has a core or device that is needed to measure.
            StoppedError: it was closed.
        """
        spec = self._spec
        if spec.device.lanes:
            return spec, None
        backends = create_backends(replace(spec.device, lanes=DeviceSpec().lanes))
        (backend,) = backends.values()
        layouts = layouts_of(spec.device, backend, pinnable_cores())
        bench = _Bench(
            self._engine_factory, backends, self._state, node=self._node, keep_off=self._keep_off
        )
        try:
            place = self._admissions.enter("lanes", AdmissionRequest.PROFILE)
        except StateError as error:
            raise StoppedError("choosing lanes was stopped on request") from error
        with place as ticket, closing(bench):
            bench.ticket = ticket
            begin = monotonic()
            ways, left_out = self._ways(layouts, bench)
            if not ways:
                unable = {each.label for each in left_out if each.problem}
                device = next(each.device for each in layouts if each.label not in unable)
                return replace(spec, device=device), None
            plan = _measured_plan(ways, bench, left_out, late=lambda: self._late(begin, 1.0))
            check_stop()  # planning itself does not look, and nobody hears of it afterwards
        best = ways[plan.best.label]
        chosen = replace(spec, device=best.device)
        if plan.schedulable:
            placed = best.layout.placed(plan.best.found.lane_of)
            chosen = replace(chosen, tasks=tuple(_on_its_lane(each, placed) for each in spec.tasks))
        return chosen, lanes_chosen(plan, unmeasured=left_out)

    def _late(self, begin: float, share: float) -> bool:
        """Return whether so much of the time there is has passed."""
        return self._limit_s is not None and monotonic() - begin >= share * self._limit_s

    def _ways(
        self, layouts: list[LaneLayout], bench: _Bench
    ) -> tuple[dict[str, _Way], list[LaneAlternative]]:
        """Return the layouts on which every task can run that can run on one lane, and the others.

        Raises:
            EngineError, StateError, StoppedError: as :meth:`choose`.
        """
        ways: dict[str, _Way] = {}
        left_out: list[LaneAlternative] = []
        tasks = self._spec.tasks
        problem: AegisError | None = None
        first, begin = True, monotonic()
        for each in layouts:
            check_stop()  # an engine that does not start does not look
            preparation = Preparation(
                replace(self._spec, device=each.device),
                bench.backends,
                bench.known,
                self._state.cache,
            )
            bench.turn_to(each.device, preparation)
            options, refused = [], []
            for task in tasks:
                late = not first and self._late(begin, _ALONE)
                try:
                    options.append(preparation.prepare(task, None if late else bench.whole))
                except (Refusal, AegisError) as error:
                    if bench.not_started is not None:
                        break
                    if bench.barred or isinstance(error, _NOT_THE_TASK):
                        raise
                    refused.append(task)
            if bench.not_started is not None:
                problem = bench.not_started
                left_out.append(_not_measured(each.label, each.device, str(problem)))
                continue
            if first:
                tasks = tuple(task for task in tasks if task not in refused)
                refused, first = [], False
            if refused:
                names = tuple(task.name for task in refused)
                lanes = len(each.device.lanes)
                left_out.append(LaneAlternative(each.label, lanes, -1.0, unmeasured=names))
            elif options:
                loads = LaneLoads(
                    replace(self._spec, device=each.device),
                    bench.backends,
                    bench.known,
                    cache_dir=self._state.cache,
                    log=self._state.log,
                )
                layout = _layout(options, preparation)
                ways[each.label] = _Way(each.device, preparation, layout, loads)
        if problem is not None and len(left_out) == len(layouts):
            raise problem
        return ways, left_out


@dataclass(frozen=True)
class _Way:
    """A layout with the budgets that tasks have on it."""

    device: DeviceSpec
    preparation: Preparation
    layout: OptionsLayout
    loads: LaneLoads

    def verify(self, lane_of: Mapping[str, str], bench: _Bench) -> Verify | None:
        """Return what measures a placement beyond pairs; nothing where pairs have to do."""
        wanted = self.device.contention
        if wanted is Contend.PAIRS:
            return None

        def load(lane: str) -> Mapping[Stress, CompiledNetwork]:
            if wanted is not Contend.LOADS:
                return {}
            others = len(self.preparation.contention.slowed_by(lane))
            return self.loads.on(lane, lambda: self.layout.left(lane_of) // max(1, others))

        return Verify(bench.pair, load)


class _Bench:
    """Measures on the lanes of one layout at a time; an engine starts with the first measurement.

    Attributes:
        backends: by name, for their offline halves.
        known: profiles, as they were last read.
        ticket: of the request that is measured for.
        barred: whether the cores of these lanes could not be had.
        late: whether nothing more may be measured.
        not_started: why the engine could not be started on these lanes; ``None`` where it could.
    """

    ticket: Ticket

    def __init__(
        self,
        engine_factory: Callable[..., Engine],
        backends: Mapping[str, Backend],
        state: NodeState,
        *,
        node: str,
        keep_off: Callable[[Iterable[int]], object],
    ) -> None:
        self.backends = backends
        self.known = RememberedProfiles(state.profiles)
        self._engine_factory = engine_factory
        self._state = state
        self._node = node
        self._keep_off = keep_off
        self._turn: tuple[DeviceSpec, Preparation] | None = None
        self._profiler: Profiler | None = None
        self._undo = ExitStack()
        self.barred = False
        self.late: Callable[[], bool] = lambda: False
        self.not_started: AegisError | None = None

    def turn_to(self, device: DeviceSpec, preparation: Preparation) -> None:
        """Measure on these lanes from now on."""
        if self._turn is None or self._turn[0] != device:
            self.close()
            self._turn = device, preparation
            self.not_started = None

    def close(self) -> None:
        """End the engine, and give its cores back."""
        self._profiler = None
        self._undo.close()

    def whole(
        self, spec: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
    ) -> None:
        """Measure a network alone."""
        self._started().measuring(self.ticket)(spec, compiled, key, sha256)
        self.known.forget()

    def pair(self, run: PairRun) -> None:
        """Measure a network beside another one."""
        self._started().measuring_pairs(self.ticket)(run)
        self.known.forget()

    def _started(self) -> Profiler:
        if self.late():
            raise AegisError(_NO_TIME)
        if self._profiler is None:
            assert self._turn is not None
            device, preparation = self._turn
            self.barred = True  # until they are taken
            claims = Claims(claims_folder(), self._node)
            self._undo.callback(claims.give_back)
            try:
                claims.take(claims_of(device, self.backends))
            except OSError as error:
                self._state.log.report(NotClaimed(str(error)))
            self.barred = False
            self._keep_off(lane.cpu for lane in device.lanes if lane.cpu is not None)
            try:
                engine = self._engine_factory(
                    device,
                    on_result=lambda result: result.release(),
                    on_skip=lambda skip: None,
                    on_event=lambda event: None,
                )
                self._undo.callback(engine.stop)
                engine.start()
            except AegisError as error:
                self.not_started = error
                raise
            self._profiler = Profiler(
                engine,
                preparation,
                self._state.profiles,
                self._state.log,
                device=device,
                turn=lambda task: self.ticket,
                undisturbed=lambda task: None,
            )
        return self._profiler


def _layout(options: list[Options], preparation: Preparation) -> OptionsLayout:
    return OptionsLayout(options, preparation, _NOT_SLOWED)


def _not_measured(label: str, device: DeviceSpec, problem: str) -> LaneAlternative:
    return LaneAlternative(label, len(device.lanes), -1.0, problem=problem)


def _measured_plan(
    ways: dict[str, _Way],
    bench: _Bench,
    left_out: list[LaneAlternative],
    *,
    late: Callable[[], bool],
) -> LanePlan:
    """Return the plan whose best layout rests on measurements only.

    A layout that cannot be measured is left out, which is added to ``left_out``; the last one only
    where the engine does not even start on it.

    Args:
        ways: layouts to choose from.
        bench: measures.
        left_out: layouts that are not among them.
        late: whether no further measurement may begin.

    Raises:
        EngineError: the engine does not start on the last one.
        StoppedError: it was closed.
    """
    measured: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    verified: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    while True:
        check_stop()
        plan = plan_lanes({label: each.layout for label, each in ways.items()})
        best = ways[plan.best.label]
        lane_of = plan.best.found.lane_of
        step = plan.best.label, frozenset(lane_of.items())
        verify = None
        if plan.schedulable and not best.layout.lacks(lane_of):
            verify = best.verify(lane_of, bench)
            if verify is None or step in verified or late():
                return plan
            verified.add(step)
        elif not plan.schedulable or step in measured:  # and still not known
            return plan
        measured.add(step)
        bench.turn_to(best.device, best.preparation)
        bench.late = late if len(ways) > 1 or verify is not None else lambda: False
        try:
            best.layout.measure(lane_of, bench.whole, bench.pair, verify)
        except (Refusal, AegisError) as problem:
            if bench.barred or isinstance(problem, _NOT_THE_TASK):
                raise
            if len(ways) == 1:
                if bench.not_started is not None:
                    raise
                return plan
            left_out.append(_not_measured(plan.best.label, best.device, str(problem)))
            del ways[plan.best.label]
        for each in ways.values():
            each.layout.forget()


def _on_its_lane(task: TaskSpec, placed: Mapping[str, Placed]) -> TaskSpec:
    """Return a task that names its lane, and in how many segments it runs where it is cut."""
    own = placed.get(task.name)
    if own is None:
        return task
    compiled = own.candidate.compiled
    cut = compiled.segments > 1 and not compiled.weights  # as many as take turns are found again
    return replace(task, lane=own.lane, segments=compiled.segments if cut else task.segments)
