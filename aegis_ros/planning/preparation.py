"""From a task to its candidates: a compiled network with a budget for each class of lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aegis_ros.backends import Backend, CompiledNetwork, LaneClass, lane_classes
from aegis_ros.backends.progress import Progress
from aegis_ros.backends.tuning import Tuned
from aegis_ros.decoders import create_decoder
from aegis_ros.errors import AegisError, BackendError, ConfigError, ModelError
from aegis_ros.memory import arena_plan
from aegis_ros.network import PreparedNetwork, open_model, prepare
from aegis_ros.network.compiled_code import described_code
from aegis_ros.planning.candidate import Candidate, Options, loaded_footprint, options_of
from aegis_ros.planning.code_trust import code_refused, trusted_suffix
from aegis_ros.planning.contention import Contention
from aegis_ros.planning.cutting import cut_budget, estimated_budget
from aegis_ros.planning.declared_file import check_declared_file
from aegis_ros.planning.early_exit import plan_for, stand_in_problem
from aegis_ros.planning.feeds import decoded_outputs, feeds
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.streaming import as_asked, why_streamed
from aegis_ros.planning.streams import frames_of
from aegis_ros.rationale import Rule
from aegis_ros.rationale.admission import (
    BudgetBasis,
    CutAsDeclared,
    CutNote,
    CutReason,
    DeclaredBudget,
    EstimatedBudget,
    MeasuredBudget,
    SegmentsBudget,
)
from aegis_ros.rationale.rejection import (
    Invalid,
    ModelUnreadable,
    NoProfile,
    NoSuchLane,
    ProfileUnreadable,
)
from aegis_ros.spec import OrchestratorSpec, Resident, TaskSpec, Wait
from aegis_ros.wcet import KnownProfiles, Profile, ProfileKey

__all__ = ["Measure", "Preparation"]

_Compile = Callable[[PreparedNetwork, Path, int], CompiledNetwork]
Measure = Callable[[TaskSpec, CompiledNetwork, ProfileKey, str], None]


class Preparation:
    """The steps from a task to its candidates. Holds no task; changes nothing but caches.

    Attributes:
        device: lanes and arena.
        contention: knows which lanes slow each other.

    Args:
        spec: device, lanes and roots.
        backends: by name, for their offline halves; all that the lanes name.
        profiles: measured budgets.
        cache_dir: prepared and compiled networks.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        backends: Mapping[str, Backend],
        profiles: KnownProfiles,
        cache_dir: Path,
    ) -> None:
        """Keep what the steps need."""
        self.device = spec.device
        self._spec = spec
        self._backends = dict(backends)
        self._classes = lane_classes(spec.device)
        self._profiles = profiles
        self._cache_dir = cache_dir
        self._lanes = tuple(lane.name for lane in spec.device.lanes)
        self.contention = Contention(spec.device, backends, profiles, self.profile_key_of)

    def prepare(
        self, spec: TaskSpec, measure: Measure | None, room_bytes: int | None = None
    ) -> Options:
        """Locate, check and fuse the network, then compile it and find its budget for each class.

        A network whose number of segments is to be chosen is whole until
        :func:`~aegis_ros.planning.segment_choice.cut_to_fit`.

        Args:
            spec: the task; one that names no lane is prepared for every class of lanes.
            measure: called to measure a missing profile, with a task that names a lane of the
                class; ``None`` where that is not possible now.
            room_bytes: what its network may take of the arena, where it says ``resident: auto``;
                ``None`` for all of it.

        Raises:
            Refusal: the first step that says no, if no class of lanes can run it.
        """
        classes = self.lane_classes(spec)
        prepared = self._prepared(spec)

        def on(lanes: LaneClass) -> Candidate:
            compiled = self._as_asked(spec, prepared, lanes, room_bytes)
            return self._with_budget(spec, prepared, compiled, lanes, measure=measure)

        return options_of([partial(on, each) for each in classes])

    def known(
        self, tasks: Iterable[TaskSpec], refused: Callable[[str, str], ConfigError]
    ) -> tuple[list[Options], list[str], list[ConfigError]]:
        """Prepare tasks from what is known of them, measuring nothing.

        Args:
            tasks: those of a file.
            refused: makes an error of a task's name and why it cannot run.

        Returns:
            Those that can be tested, the names of those without a profile, and what keeps others
            from running.
        """
        options: list[Options] = []
        unknown: list[str] = []
        errors: list[ConfigError] = []
        wanted = tuple(tasks)
        for index, task in enumerate(wanted):
            frames = arena_plan(frames_of(wanted[: index + 1], self._spec.tasks)).nbytes
            others = sum(each.candidates[0].footprint.total for each in options)
            try:
                options.append(self.prepare(task, None, self.device.arena_bytes - frames - others))
            except Refusal as refusal:
                if refusal.rule is Rule.WCET_PROFILE:
                    unknown.append(task.name)
                else:
                    errors.append(refused(task.name, refusal.sentence))
        return options, unknown, errors

    def network(self, spec: TaskSpec) -> tuple[PreparedNetwork, CompiledNetwork]:
        """Return a task's network for the first of its lane classes; no budget is asked for.

        Raises:
            Refusal: the network cannot be used there.
        """
        lanes = self.lane_classes(spec)[0]
        prepared = self._prepared(spec)
        return prepared, self._as_asked(spec, prepared, lanes, None)

    def tune(self, spec: TaskSpec, seconds: float, report: Progress) -> Tuned | None:
        """Search for a faster way to compute a task's network on the first of its lane classes.

        ``None`` is returned where the backend of those lanes has nothing to search for.

        Args:
            spec: the task.
            seconds: how long to search.
            report: as for :meth:`~aegis_ros.backends.tuning.Tunes.tune`.

        Raises:
            Refusal: the network cannot be used there.
        """
        backend: Any = self._backends[self.lane_classes(spec)[0].backend]
        if not backend.capabilities.tunes:
            return None
        prepared = self._prepared(spec)
        try:
            found: Tuned = backend.tune(prepared, self._cache_dir, seconds, report)
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        return found

    def lane_classes(self, spec: TaskSpec) -> tuple[LaneClass, ...]:
        """Return the classes of the lanes that a task may go to.

        Raises:
            Refusal: it names a lane that does not exist.
        """
        if spec.lane and spec.lane not in self._lanes:
            raise Refusal(NoSuchLane(spec.name, spec.lane, self._lanes))
        return tuple(each for each in self._classes if not spec.lane or spec.lane in each.lanes)

    def backend_of(self, lane: str) -> str:
        """Return the name of a lane's backend."""
        return next(each.backend for each in self._classes if lane in each.lanes)

    def profile_key(self, spec: TaskSpec, compiled: CompiledNetwork) -> ProfileKey:
        """Return the key of the profile of a task's network, on the first of its lane classes."""
        return self._profile_key(compiled, self.lane_classes(spec)[0])

    def profile_key_of(self, candidate: Candidate) -> ProfileKey:
        """Return the key of the profile that a candidate's budget is from, if it was measured."""
        return self._profile_key(candidate.compiled, self._class_of(candidate))

    def in_segments(
        self, whole: Candidate, parts: int, measure: Measure | None, *, estimate: bool
    ) -> Candidate:
        """Return a candidate whose network is cut, with the budgets of its segments.

        Args:
            whole: the candidate before it is cut.
            parts: how many segments are wanted; the network of what comes back may have others,
                and then has the budget of the whole.
            measure: as for :meth:`prepare`.
            estimate: take budgets that cannot be measured now from the whole's.

        Raises:
            Refusal: it cannot be compiled, or its segments cannot be measured now.
        """
        lanes = self._class_of(whole)
        compiled = self._compiled(whole.spec, whole.prepared, lanes, parts)
        if compiled.segments != parts:
            return replace(whole, compiled=compiled)
        try:
            return self._with_budget(whole.spec, whole.prepared, compiled, lanes, measure=measure)
        except Refusal:
            if not estimate:
                raise
        return replace(
            whole,
            compiled=compiled,
            plan=plan_for(
                whole.spec, compiled, estimated_budget(whole.work_ns, parts, compiled.shares)
            ),
            wcet_source="estimated",
            wcet_basis=EstimatedBudget(parts, whole.wcet_basis),
        )

    def _prepared(self, spec: TaskSpec) -> PreparedNetwork:
        try:
            roots = self._spec.models.roots
            suffix = trusted_suffix(spec.model, self._spec.models, self._backends)
            code = described_code(spec.model, suffix, roots) if suffix else None
            with open_model(spec.model, roots, *([{suffix}] if suffix else [])) as file:
                check_declared_file(spec, file, self._spec)
                prepared = prepare(
                    file,
                    feeds(spec),
                    cache_dir=self._cache_dir,
                    dimensions=spec.dimensions,
                    max_results=spec.output.max_results,
                    arena_bytes=self.device.arena_bytes,
                    code=code,
                )
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except OSError as error:
            raise Refusal(ModelUnreadable(spec.name, spec.model, str(error))) from error
        self._check_decoder(spec, prepared)
        problem = stand_in_problem(spec, prepared)
        if problem is not None:
            raise Refusal(problem)
        return prepared

    def _compiled(
        self, spec: TaskSpec, prepared: PreparedNetwork, lanes: LaneClass, parts: int
    ) -> CompiledNetwork:
        make = self._backends[lanes.backend].compile
        return self._made(spec, prepared, lanes, make=make, parts=parts)

    def _as_asked(
        self, spec: TaskSpec, prepared: PreparedNetwork, lanes: LaneClass, room_bytes: int | None
    ) -> CompiledNetwork:
        """Return a network in as many segments as are declared, so many of them in memory."""
        room = self.device.arena_bytes if room_bytes is None else room_bytes
        auto = spec.resident is Resident.AUTO
        plain = None
        if spec.resident is Resident.ALL or auto:
            plain = self._compiled(spec, prepared, lanes, spec.segments or 1)
            if not auto or loaded_footprint(plain).total <= room:
                return plain
        found = as_asked(
            spec,
            self._backends[lanes.backend],
            lambda backend, parts: self._made(
                spec, prepared, lanes, make=backend.compile_streamed, parts=parts
            ),
            room_bytes=room,
        )
        return found or plain or self._compiled(spec, prepared, lanes, spec.segments or 1)

    def _made(
        self,
        spec: TaskSpec,
        prepared: PreparedNetwork,
        lanes: LaneClass,
        *,
        make: _Compile,
        parts: int,
    ) -> CompiledNetwork:
        backend = self._backends[lanes.backend]
        if len(prepared.inputs) > backend.capabilities.inputs:
            too_many = (
                f"inputs: the network has {len(prepared.inputs)} inputs, and backend "
                f"{backend.name} takes at most {backend.capabilities.inputs}"
            )
            raise Refusal(Invalid(spec.name, Rule.SCHEMA, too_many))
        if prepared.code is not None and prepared.code.suffix not in backend.capabilities.code:
            raise Refusal(code_refused(spec.name, prepared.code.suffix, backend.name))
        try:
            compiled = _compiled_by(
                partial(make, prepared, self._cache_dir, parts), backend.name, parts
            )
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except OSError as error:
            raise Refusal(ModelUnreadable(spec.name, spec.model, str(error))) from error
        busy = -1 if prepared.busy is None else prepared.busy.pattern
        return replace(compiled, busy=busy)

    def _with_budget(
        self,
        spec: TaskSpec,
        prepared: PreparedNetwork,
        compiled: CompiledNetwork,
        lanes: LaneClass,
        *,
        measure: Measure | None,
    ) -> Candidate:
        there = (spec.lane,) if spec.lane else lanes.lanes
        shares = self._backends[lanes.backend].capabilities.shares_activations
        note = _as_declared_cut(spec, compiled)
        if spec.wcet_ns:
            return Candidate(
                spec,
                prepared,
                compiled,
                plan_for(
                    spec, compiled, cut_budget(spec.wcet_ns, compiled.segments, compiled.shares)
                ),
                "declared",
                DeclaredBudget(spec.wcet_ns),
                note,
                there,
                shares,
            )
        key = self._profile_key(compiled, lanes)
        profile = self._profile(key, lanes)
        if profile is None or profile.segments != compiled.segments:
            if measure is None:
                raise Refusal(
                    NoProfile(
                        spec.name,
                        key.device,
                        compiled.segments,
                        bool(spec.segments or compiled.weights),
                    )
                )
            measure(replace(spec, lane=there[0]), compiled, key, prepared.digest)
            profile = self._profile(key, lanes)
            if profile is None:
                raise Refusal(ProfileUnreadable(spec.name))
        budgets = profile.budgets()
        longest = max(budgets, key=lambda item: item.value_ns)
        basis: BudgetBasis = MeasuredBudget(longest.sentence, longest.summary)
        total_ns = 0
        condition, total = profile.deciding_total()
        if len(budgets) > 1:
            total_ns = profile.total_ns()
            basis = SegmentsBudget(len(budgets), total.sentence, longest.value_ns, total.summary)
        return Candidate(
            spec,
            prepared,
            compiled,
            plan_for(spec, compiled, tuple(item.value_ns for item in budgets), total_ns),
            "measured",
            basis,
            note,
            there,
            shares,
            measured_on=condition.inputs,
        )

    def _profile(self, key: ProfileKey, lanes: LaneClass) -> Profile | None:
        """Return what was measured; where lanes meet, without what ran on others meanwhile.

        Which neighbours count there depends on who is placed on the other lanes: that is for
        :class:`~aegis_ros.planning.contention.Contention`.
        """
        profile = self._profiles.get(key)
        if profile is None or not self._backends[lanes.backend].capabilities.contends:
            return profile
        return profile.apart()

    @staticmethod
    def _check_decoder(spec: TaskSpec, prepared: PreparedNetwork) -> None:
        try:
            create_decoder(
                spec.output.decoder,
                spec.output.options,
                spec.main_preprocess,
                decoded_outputs(spec, prepared),
                metadata=prepared.metadata,
            )
        except ModelError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except AegisError as error:
            raise Refusal(Invalid(spec.name, Rule.DECODER, str(error))) from error

    def _profile_key(self, compiled: CompiledNetwork, lanes: LaneClass) -> ProfileKey:
        backend = self._backends[lanes.backend]
        waits = "" if lanes.waits is Wait.SLEEP else f"lanes wait: {lanes.waits}"
        device = ", ".join(filter(None, (backend.device_name(), lanes.share, waits)))
        return ProfileKey(compiled.profile_key, backend.name, device)

    def _class_of(self, candidate: Candidate) -> LaneClass:
        return next(each for each in self._classes if candidate.lanes[0] in each.lanes)


def _as_declared_cut(spec: TaskSpec, compiled: CompiledNetwork) -> CutReason | None:
    if compiled.weights:
        return why_streamed(spec, compiled)
    if compiled.note:
        return CutNote(compiled.note)
    return CutAsDeclared(compiled.segments) if spec.segments > 1 else None


def _compiled_by(make: Callable[[], CompiledNetwork], backend: str, parts: int) -> CompiledNetwork:
    """Return what a backend of this name makes of a network, in at most so many parts.

    Raises:
        BackendError: it cannot, fails in another way, or returns what makes no sense.
        OSError, MemoryError: as its files and the machine say.
    """
    try:
        compiled = make()
        kinds = compiled.footprint
        sizes = (kinds.weights, kinds.activations, kinds.state, kinds.staging)
        if not 0 < compiled.segments <= parts or min(sizes) < 0:
            raise ValueError(f"{compiled.segments} files for {parts} segments, {kinds}")
    except (AegisError, OSError, MemoryError):
        raise
    except Exception as error:  # of another distribution's module
        raise BackendError(
            f"backend {backend!r} failed to compile the network ({type(error).__name__}: {error})",
            where="model",
            hint="Report it to whoever made the backend, or use another lane",
        ) from error
    return compiled
