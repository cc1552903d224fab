"""Loads of memory and arithmetic, as networks that run on other lanes during an admission."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from aegis_ros.backends import Backend, CompiledNetwork, capabilities_of
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.planning.candidate import loaded_footprint
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.requests import NotLoaded
from aegis_ros.spec import OrchestratorSpec
from aegis_ros.wcet import KnownProfiles, Stress

__all__ = ["LaneLoads"]

_LOADS = (Stress.MEMORY, Stress.COMPUTE)


class LaneLoads:
    """Makes what loads a lane; each load once, when it is first asked for.

    Args:
        spec: configuration.
        backends: by name, all that its lanes name.
        profiles: as for :class:`~aegis_ros.planning.preparation.Preparation`.
        cache_dir: of networks; the loads' files are there, too.
        log: where it is reported that one cannot run.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        backends: Mapping[str, Backend],
        profiles: KnownProfiles,
        *,
        cache_dir: Path,
        log: RationaleLog,
    ) -> None:
        """Make nothing yet."""
        self._folder = cache_dir / "loads"
        models = replace(spec.models, roots=(*spec.models.roots, str(self._folder)))
        self._preparation = Preparation(
            replace(spec, models=models, tasks=()), backends, profiles, cache_dir
        )
        self._made: dict[tuple[str, Stress], CompiledNetwork | None] = {}
        self._told: set[tuple[str, Stress]] = set()
        self._log = log

    def on(self, lane: str, room: Callable[[], int]) -> Mapping[Stress, CompiledNetwork]:
        """Return what loads a lane; less where a load does not fit or cannot run there.

        Args:
            lane: its name.
            room: returns how many bytes of the arena are left for it.
        """
        found = {}
        for stress in _LOADS:
            load = self._load(lane, stress)
            if load is None:
                continue
            needs, left = loaded_footprint(load).total, room()
            if needs > left:
                problem = f"it needs {needs >> 20} MiB, and {max(left, 0) >> 20} are left"
                self._tell(lane, stress, problem)
                continue
            found[stress] = load
        return found

    def _load(self, lane: str, stress: Stress) -> CompiledNetwork | None:
        if (lane, stress) not in self._made:
            try:
                on_cores = capabilities_of(self._preparation.backend_of(lane)).on_cores
                task = load_task(stress, self._folder, of_core=on_cores)
                found: CompiledNetwork | None = self._preparation.network(replace(task, lane=lane))[
                    1
                ]
            except (AegisError, Refusal, OSError) as error:
                problem = error.sentence if isinstance(error, Refusal) else str(error)
                self._tell(lane, stress, problem)
                found = None
            self._made[lane, stress] = found
        return self._made[lane, stress]

    def _tell(self, lane: str, stress: Stress, problem: str) -> None:
        """Report once that a load is left out: it is asked for with each task that is measured."""
        if (lane, stress) not in self._told:
            self._told.add((lane, stress))
            self._log.report(NotLoaded(lane, str(stress), problem))
