"""Whether a new generator may run: prepared, measured, and judged beside what is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.analysis.search import smallest
from aegis_ros.backends import capabilities_of
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import Engine
from aegis_ros.memory import Holding, KvShape, Taken, arena_plan
from aegis_ros.orchestrator.admissions import Ticket
from aegis_ros.orchestrator.admitted import AdmittedSet
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.types import AdmissionStage
from aegis_ros.planning.arena_witness import with_witness
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.planning.generator_preparation import (
    GeneratorCandidate,
    GeneratorPreparation,
    MeasureBuckets,
    Weigh,
)
from aegis_ros.planning.in_slack import judge_generators
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.generators import CacheTooLarge, PromiseRefused
from aegis_ros.rationale.requests import Measuring
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import DeviceSpec, GeneratorSpec
from aegis_ros.wcet import Batch, Profile, ProfileKey, ProfileStore
from aegis_ros.wcet.machine import describe_machine

__all__ = ["GeneratorJudging"]

_RUNS = 50  # of every bucket
_LEAST_RUNS = 20
_SECONDS = 30.0
_GRAIN_NS = 100_000  # periods of promises are advised in tenths of a millisecond
_LONGEST_NS = 10_000_000_000


class GeneratorJudging:
    """Judges one generator at a time; changes nothing but caches and profiles.

    Args:
        device: lanes and arena.
        engine: measures steps.
        preparation: prepares models.
        profiles: where budgets of steps are kept.
        admitted: the tasks.
        others: returns what the generators that run may do.
        memory: returns what is in memory for all tasks and generators.
        log: where it is reported that something is measured.
    """

    def __init__(
        self,
        *,
        device: DeviceSpec,
        engine: Engine,
        preparation: GeneratorPreparation,
        profiles: ProfileStore,
        admitted: AdmittedSet,
        others: Callable[[], list[GeneratorAnswer]],
        memory: Callable[[], list[Holding]],
        log: RationaleLog,
    ) -> None:
        """Keep what the steps need."""
        self._device = device
        self._engine = engine
        self._preparation = preparation
        self._profiles = profiles
        self._admitted = admitted
        self._others = others
        self._memory = memory
        self._log = log

    def judged(
        self, spec: GeneratorSpec, ticket: Ticket
    ) -> tuple[GeneratorCandidate, GeneratorAnswer]:
        """Prepare a generator, measure it where it was not, and judge it beside what is there.

        Args:
            spec: the generator.
            ticket: of the request, which has its turn.

        Raises:
            Refusal: it cannot run.
        """
        candidate = self._preparation.prepare(
            spec, self._measuring(ticket), self._memory(), self._weighing(ticket)
        )
        return candidate, self._beside(candidate)

    def _beside(self, candidate: GeneratorCandidate) -> GeneratorAnswer:
        arena, memory = self._device.arena_bytes, self._memory()
        room = arena - arena_plan(memory).nbytes - candidate.weights.total
        generator = candidate.generator(max(1, room))
        lane, switch_ns = candidate.lane, self._device.switch_ns
        tasks = [task for task, where in self._admitted.running().values() if where == lane]
        promise = generator.promise()
        if promise is not None:
            problem = _broken(candidate.spec, promise, tasks, switch_ns)
            if problem is not None:
                raise Refusal(problem)
            tasks.append(promise)
        tasks += [each.step() for each in self._others() if each.generator.lane == lane]
        (answer,) = judge_generators([generator], {lane: tasks}, switch_ns)
        if not answer.admitted:
            reason = answer.reason
            if isinstance(reason, CacheTooLarge):
                reason = with_witness(reason, candidate.holding(), memory, arena)
            raise Refusal(reason)
        return answer

    def _weighing(self, ticket: Ticket) -> Weigh:
        def weigh(
            spec: GeneratorSpec,
            compiled: CompiledGenerator,
            *,
            shapes: Sequence[Shape],
            cache: KvShape,
            key: ProfileKey,
        ) -> Taken:
            ticket.at(AdmissionStage.MEASURING, 0, 1)
            lanes = [lane.name for lane in self._device.lanes]
            lane = lanes.index(spec.lane) if spec.lane else 0
            taken = self._engine.weigh_generator(compiled, lane, shapes, cache)
            self._profiles.note_taken(key, taken, time.time_ns())
            ticket.at(AdmissionStage.PREPARING)
            return taken

        return weigh

    def _measuring(self, ticket: Ticket) -> MeasureBuckets:
        def measure(
            spec: GeneratorSpec, compiled: CompiledGenerator, keys: Mapping[Shape, ProfileKey]
        ) -> None:
            self._log.report(Measuring(spec.name, _RUNS, round(_SECONDS * 1e9)))
            end = time.monotonic() + _SECONDS

            def go_on(done: int, slowest_ns: int) -> bool:
                ticket.at(AdmissionStage.MEASURING, done, _RUNS)
                return done < _LEAST_RUNS or time.monotonic() < end

            ticket.at(AdmissionStage.MEASURING, 0, _RUNS)
            lanes = [lane.name for lane in self._device.lanes]
            lane = lanes.index(spec.lane) if spec.lane else 0
            slots = max(shape.tokens for shape in keys if not shape.prefill)
            found = self._engine.measure_generator(
                compiled,
                lane,
                slots=slots,
                runs=_RUNS,
                on_progress=go_on,
            )
            backend = self._device.lanes[lane].backend or self._device.backend
            capabilities = capabilities_of(backend)
            now_ns = time.time_ns()
            machine = describe_machine(distributions=capabilities.distributions)
            for each in found:
                key = keys.get(Shape(each.tokens, each.prefill, each.image))
                if key is not None:
                    batch = Batch(each.samples_ns, now_ns, machine=machine)
                    self._profiles.put(Profile(key, "", (batch,)))
            ticket.at(AdmissionStage.PREPARING)

        return measure


def _broken(
    spec: GeneratorSpec, promise: AnalysisTask, tasks: Sequence[AnalysisTask], switch_ns: int
) -> PromiseRefused | None:
    """Return why a promise cannot be kept beside tasks; ``None`` where it can."""

    def passes(period_ns: int) -> bool:
        kept = replace(promise, period_ns=period_ns, deadline_ns=period_ns)
        return check_lane([*tasks, kept], lane=promise.lane, switch_ns=switch_ns).schedulable

    if passes(promise.period_ns):
        return None
    verdict = check_lane([*tasks, promise], lane=promise.lane, switch_ns=switch_ns)
    late = min([*tasks, promise], key=lambda each: each.deadline_ns).name
    if verdict.witness is not None:
        due = [each for each in (*tasks, promise) if each.deadline_ns <= verdict.witness.t_ns]
        late = max(due or [promise], key=lambda each: each.deadline_ns).name
    grains = smallest(
        promise.period_ns // _GRAIN_NS,
        _LONGEST_NS // _GRAIN_NS,
        lambda count: passes(count * _GRAIN_NS),
    )
    return PromiseRefused(
        spec.name,
        promise.lane,
        spec.tokens_per_s,
        promise.wcet_ns(switch_ns),
        late,
        0.0 if grains is None else 1e9 / (grains * _GRAIN_NS),
    )
