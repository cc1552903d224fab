"""Measures networks through the engine and keeps their profiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine import Engine
from aegis_ros.errors import AegisError, StateError
from aegis_ros.network.counting import most_found
from aegis_ros.orchestrator.admissions import Ticket, cancelled_reason
from aegis_ros.orchestrator.measuring import Measurement, measure_batch
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.types import AdmissionStage, ProfileOutcome
from aegis_ros.planning.contention import MeasurePair, PairRun
from aegis_ros.planning.preparation import Measure, Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Reason
from aegis_ros.rationale.rejection import Invalid
from aegis_ros.rationale.requests import Measured, Measuring, MeasuringBeside
from aegis_ros.spec import DeviceSpec, TaskSpec
from aegis_ros.wcet import Cache, Condition, Profile, ProfileKey, ProfileStore

__all__ = ["Profiler"]

_PROFILE_RUNS = 300
_PROFILE_SECONDS = 10.0
_PROFILE_LEAST_RUNS = 50
_COLD_RUNS = 50
_COLD_LEAST_RUNS = 10
_COLD_SECONDS = 3.0
_PAIR_RUNS = 50
_PAIR_LEAST_RUNS = 20
_PAIR_SECONDS = 3.0
_PAIR_LIMIT_NS = round(_PAIR_SECONDS * 1e9)


class Profiler:
    """Measures on request, and for an admission.

    Args:
        engine: measures.
        preparation: prepares networks.
        profiles: where profiles are kept.
        log: where it is reported.
        device: names of the lanes.
        turn: returns the place of a request for a task in the queue; entered meanwhile.
        undisturbed: called with the task; raises ``Refusal`` or ``StateError`` where measuring
            it would disturb. Also called while it is measured.
    """

    def __init__(
        self,
        engine: Engine,
        preparation: Preparation,
        profiles: ProfileStore,
        log: RationaleLog,
        *,
        device: DeviceSpec,
        turn: Callable[[str], Ticket],
        undisturbed: Callable[[str], None],
    ) -> None:
        """Measure nothing yet."""
        self._engine = engine
        self._preparation = preparation
        self._profiles = profiles
        self._log = log
        self._device = device
        self._turn = turn
        self._undisturbed = undisturbed

    def profile(
        self,
        spec: TaskSpec,
        runs: int,
        on_progress: Callable[[int, int, int], bool],
        ticket: Ticket | None = None,
    ) -> ProfileOutcome:
        """Measure a network on each class of lanes it may go to, without registering it.

        Args:
            spec: the task.
            runs: how many runs, 0 for the usual number.
            on_progress: called with (runs done, runs wanted, slowest in nanoseconds); returns
                False to stop.
            ticket: its place in the queue; at the end of it where none is given.
        """
        runs = runs or _PROFILE_RUNS
        try:
            place = ticket or self._turn(spec.name)
        except Refusal as refusal:
            return ProfileOutcome(False, self._log.report(refusal.reason))
        except StateError as error:
            return ProfileOutcome(
                False, self._log.report(Invalid(spec.name, error.rule, str(error)))
            )
        try:
            with place:
                self._undisturbed(spec.name)
                measured: list[Profile] = []

                def measure(
                    task: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
                ) -> None:
                    measured.append(
                        self._measure(
                            task,
                            compiled,
                            key,
                            sha256,
                            runs=runs,
                            go_on=lambda done, worst: on_progress(done, runs, worst),
                            ticket=place,
                        )
                    )

                unknown = replace(spec, wcet_ns=0)
                options = self._preparation.prepare(unknown, measure)
                if not measured:
                    for each in options.candidates:
                        key = self._preparation.profile_key_of(each)
                        there = replace(unknown, lane=each.lanes[0])
                        measure(there, each.compiled, key, each.prepared.digest)
        except Refusal as refusal:
            return ProfileOutcome(False, self._log.report(refusal.reason))
        except AegisError as error:
            reason: Reason = Invalid(spec.name, error.rule, str(error))
            if place.stop.is_set:
                reason = cancelled_reason(place)
            return ProfileOutcome(False, self._log.report(reason))
        warm = measured[0].batches[0].samples_ns
        total = warm.sum(axis=1)
        budget_ns, decided = measured[0].total_ns(), measured[0].deciding_total()[1]
        rationale = self._log.report(Measured(spec.name, budget_ns, decided.sentence))
        return ProfileOutcome(
            True,
            rationale,
            budget_ns,
            int(np.median(total)),
            int(measured[0].samples_ns.sum(axis=1).max()),
            warm.shape[0],
        )

    def measured(self, spec: TaskSpec) -> tuple[CompiledNetwork, Profile | None]:
        """Return a task's network and what is known of its times, measuring nothing.

        Raises:
            Refusal: the network cannot be used.
            ProfileError: the profiles cannot be read.
        """
        with self._turn(spec.name):
            _, compiled = self._preparation.network(spec)
            return compiled, self._profiles.get(self._preparation.profile_key(spec, compiled))

    def found(self, spec: TaskSpec, frames: Sequence[npt.NDArray[np.generic]]) -> int | None:
        """Return the most that a task's network finds in one of several frames.

        ``None`` where what it computes does not depend on that.

        Args:
            spec: the task.
            frames: what each of its inputs is fed, [frames, *largest shape of a frame].

        Raises:
            Refusal: the network cannot be used.
            ModelError, OSError: it cannot be run on them.
        """
        with self._turn(spec.name):
            prepared, _ = self._preparation.network(spec)
            if prepared.busy is None:
                return None
            return most_found(prepared, frames, arena_bytes=self._device.arena_bytes)

    def measure(
        self,
        spec: TaskSpec,
        runs: int,
        go_on: Callable[[int, int], bool],
        how: Measurement | None = None,
    ) -> Profile:
        """Measure a network and add the runs to what is known of it; nothing is registered.

        Args:
            spec: the task.
            runs: how many.
            go_on: called with (runs done, slowest in nanoseconds); returns False to stop.
            how: condition and frames.

        Returns:
            All that was measured of it, this time and before.

        Raises:
            Refusal: the network cannot be used, or tasks of high criticality are running.
            EngineError, ProfileError, StateError: it cannot be measured or kept.
        """
        with self._turn(spec.name):
            self._undisturbed(spec.name)
            prepared, compiled = self._preparation.network(spec)
            key = self._preparation.profile_key(spec, compiled)
            lane = self._lane(spec)
            batch = measure_batch(self._engine, compiled, lane, runs, go_on=go_on, how=how)
            profile = Profile(key, prepared.digest, (batch,))
            self._profiles.add(profile)
            return self._profiles.get(key) or profile

    def forget(self, spec: TaskSpec) -> None:
        """Drop what is known of a task's times.

        Raises:
            Refusal, ProfileError: as :meth:`measured`.
        """
        with self._turn(spec.name):
            _, compiled = self._preparation.network(spec)
            self._profiles.forget(self._preparation.profile_key(spec, compiled))

    def measuring(self, ticket: Ticket) -> Measure:
        """Return what measures all that a request needs to know."""

        def measure(
            spec: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
        ) -> None:
            self._measure_for(spec, compiled, key, sha256, ticket=ticket)

        return measure

    def measuring_pairs(self, ticket: Ticket) -> MeasurePair:
        """Return what measures a network while others run on other lanes.

        All are loaded a second time for it; what is admitted stays as it is, and its jobs go
        first. Runs are kept whatever becomes of the request: they are true of these networks.
        """

        def measure(pair: PairRun) -> None:
            end = time.monotonic() + _PAIR_SECONDS

            def go_on(done: int, worst: int) -> bool:
                ticket.at(AdmissionStage.MEASURING, done, _PAIR_RUNS)
                self._undisturbed(pair.spec.name)
                return done < _PAIR_LEAST_RUNS or time.monotonic() < end

            self._log.report(
                MeasuringBeside(
                    pair.spec.name,
                    pair.neighbour.name,
                    _PAIR_RUNS,
                    _PAIR_LIMIT_NS,
                    len({lane for _, lane in pair.others}),
                )
            )
            batch = measure_batch(
                self._engine,
                pair.compiled,
                self._index(pair.lane),
                _PAIR_RUNS,
                go_on=go_on,
                how=Measurement(
                    Condition(pair.stress, neighbour=pair.neighbour),
                    beside=tuple((other, self._index(lane)) for other, lane in pair.others),
                ),
            )
            self._profiles.add(Profile(pair.key, pair.sha256, (batch,)))
            ticket.at(AdmissionStage.PREPARING)

        return measure

    def _measure_for(
        self,
        spec: TaskSpec,
        compiled: CompiledNetwork,
        key: ProfileKey,
        sha256: str,
        *,
        ticket: Ticket,
    ) -> None:
        """Measure what an admission needs to know; some seconds at most."""
        limit_ns = round(_PROFILE_SECONDS * 1e9)
        self._log.report(Measuring(spec.name, _PROFILE_RUNS, limit_ns))
        end = time.monotonic() + _PROFILE_SECONDS
        self._measure(
            spec,
            compiled,
            key,
            sha256,
            runs=_PROFILE_RUNS,
            go_on=lambda done, worst: done < _PROFILE_LEAST_RUNS or time.monotonic() < end,
            ticket=ticket,
        )

    def _lane(self, spec: TaskSpec) -> int:
        return self._index(spec.lane) if spec.lane else 0

    def _index(self, lane: str) -> int:
        return [each.name for each in self._device.lanes].index(lane)

    def _measure(
        self,
        spec: TaskSpec,
        compiled: CompiledNetwork,
        key: ProfileKey,
        sha256: str,
        *,
        runs: int,
        go_on: Callable[[int, int], bool],
        ticket: Ticket,
    ) -> Profile:
        """Measure back to back, and then with cold caches, as a network finds them that waits."""
        lane = self._lane(spec)
        cold_runs = min(runs, _COLD_RUNS)

        def noting(before: int, ask: Callable[[int, int], bool]) -> Callable[[int, int], bool]:
            def go_on(done: int, worst: int) -> bool:
                ticket.at(AdmissionStage.MEASURING, before + done, runs + cold_runs)
                self._undisturbed(spec.name)
                return ask(done, worst)

            return go_on

        ticket.at(AdmissionStage.MEASURING, 0, runs + cold_runs)
        batches = [measure_batch(self._engine, compiled, lane, runs, go_on=noting(0, go_on))]
        if batches[0].samples_ns.shape[0] >= min(runs, _PROFILE_LEAST_RUNS):
            end = time.monotonic() + _COLD_SECONDS
            batches.append(
                measure_batch(
                    self._engine,
                    compiled,
                    lane,
                    cold_runs,
                    go_on=noting(
                        runs, lambda done, _: done < _COLD_LEAST_RUNS or time.monotonic() < end
                    ),
                    how=Measurement(Condition(cache=Cache.COLD)),
                )
            )
        profile = Profile(key, sha256, tuple(batches))
        self._profiles.put(profile)
        ticket.at(AdmissionStage.PREPARING)
        return profile
