"""Measures networks through the engine and keeps their profiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine import Engine
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.measuring import Measurement, measure_batch
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.types import ProfileOutcome
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.rejection import Invalid
from aegis_ros.rationale.requests import Measured, Measuring
from aegis_ros.spec import DeviceSpec, TaskSpec
from aegis_ros.wcet import Cache, Condition, Profile, ProfileKey, ProfileStore

__all__ = ["Profiler"]

_PROFILE_RUNS = 300
_PROFILE_SECONDS = 10.0
_PROFILE_LEAST_RUNS = 50
_COLD_RUNS = 50
_COLD_LEAST_RUNS = 10
_COLD_SECONDS = 3.0


class Profiler:
    """Measures on request, and for an admission.

    Args:
        engine: measures.
        preparation: prepares networks.
        profiles: where profiles are kept.
        log: where it is reported.
        device: names of the lanes.
        lock: held meanwhile; one request at a time.
        undisturbed: called with the task; raises ``Refusal`` or ``StateError`` where measuring
            it would disturb.
    """

    def __init__(
        self,
        engine: Engine,
        preparation: Preparation,
        profiles: ProfileStore,
        log: RationaleLog,
        *,
        device: DeviceSpec,
        lock: AbstractContextManager[Any],
        undisturbed: Callable[[str], None],
    ) -> None:
        """Measure nothing yet."""
        self._engine = engine
        self._preparation = preparation
        self._profiles = profiles
        self._log = log
        self._device = device
        self._lock = lock
        self._undisturbed = undisturbed

    def profile(
        self, spec: TaskSpec, runs: int, on_progress: Callable[[int, int, int], bool]
    ) -> ProfileOutcome:
        """Measure a network on each class of lanes it may go to, without registering it.

        Args:
            spec: the task.
            runs: how many runs, 0 for the usual number.
            on_progress: called with (runs done, runs wanted, slowest in nanoseconds); returns
                False to stop.
        """
        runs = runs or _PROFILE_RUNS
        with self._lock:
            try:
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
                reason = Invalid(spec.name, error.rule, str(error))
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
        with self._lock:
            _, compiled = self._preparation.network(spec)
            return compiled, self._profiles.get(self._preparation.profile_key(spec, compiled))

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
        with self._lock:
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
        with self._lock:
            _, compiled = self._preparation.network(spec)
            self._profiles.forget(self._preparation.profile_key(spec, compiled))

    def measure_for(
        self, spec: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
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
        )

    def _lane(self, spec: TaskSpec) -> int:
        lanes = [lane.name for lane in self._device.lanes]
        return lanes.index(spec.lane) if spec.lane else 0

    def _measure(
        self,
        spec: TaskSpec,
        compiled: CompiledNetwork,
        key: ProfileKey,
        sha256: str,
        *,
        runs: int,
        go_on: Callable[[int, int], bool],
    ) -> Profile:
        """Measure back to back, and then with cold caches, as a network finds them that waits."""
        lane = self._lane(spec)
        batches = [measure_batch(self._engine, compiled, lane, runs, go_on=go_on)]
        if batches[0].samples_ns.shape[0] >= min(runs, _PROFILE_LEAST_RUNS):
            end = time.monotonic() + _COLD_SECONDS
            batches.append(
                measure_batch(
                    self._engine,
                    compiled,
                    lane,
                    min(runs, _COLD_RUNS),
                    go_on=lambda done, worst: done < _COLD_LEAST_RUNS or time.monotonic() < end,
                    how=Measurement(Condition(cache=Cache.COLD)),
                )
            )
        profile = Profile(key, sha256, tuple(batches))
        self._profiles.put(profile)
        return profile
