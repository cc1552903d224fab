"""Decides whether a task may run: every step that can say no says which rule and which numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegis_ros.analysis import AnalysisTask, Assignment, assign, counterfactuals
from aegis_ros.backends import Backend, CompiledNetwork
from aegis_ros.decoders import create_decoder
from aegis_ros.errors import AegisError, ModelError
from aegis_ros.network import PreparedNetwork, digest, prepare, resolve_model
from aegis_ros.rationale import Counterfactual, Rule
from aegis_ros.spec import FrameFormat, OrchestratorSpec, TaskSpec
from aegis_ros.wcet import ProfileKey, ProfileStore

__all__ = ["Admission", "Admitted", "Candidate", "Refusal", "max_shape"]

_MIB = 1024 * 1024
_RULES_OF_CODES = {
    "model_file": Rule.MODEL_FILE,
    "model_roots": Rule.MODEL_ROOTS,
    "model_digest": Rule.MODEL_DIGEST,
    "model_valid": Rule.MODEL_VALID,
    "config": Rule.SCHEMA,
    "decode": Rule.DECODER,
    "profile": Rule.WCET_PROFILE,
    "backend": Rule.MODEL_VALID,
}

Measure = Callable[[TaskSpec, CompiledNetwork, ProfileKey, str], None]


class Refusal(Exception):
    """A task is refused by a rule; ``details`` are fields of the rationale."""

    def __init__(self, rule: Rule, sentence: str, **details: Any) -> None:
        """Keep rule, sentence and numbers."""
        super().__init__(sentence)
        self.rule = rule
        self.sentence = sentence
        self.details = details


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task whose network is ready and whose budget is known."""

    spec: TaskSpec
    prepared: PreparedNetwork
    compiled: CompiledNetwork
    wcet_ns: tuple[int, ...]
    wcet_source: str
    wcet_sentence: str

    def analysis_task(self) -> AnalysisTask:
        """Return the task as the tests see it: the time kept for publishing is not available."""
        spec = self.spec
        return AnalysisTask(
            spec.name,
            self.wcet_ns,
            spec.period_ns,
            spec.deadline_ns - spec.output.publish_ns,
            spec.jitter_ns,
            spec.criticality,
            spec.lane,
        )


@dataclass(frozen=True, slots=True)
class Admitted:
    """The yes: the lane, and the proof."""

    lane: str
    assignment: Assignment
    utilization_before: float


def max_shape(spec: TaskSpec) -> tuple[int, ...]:
    """Return the shape of the largest frame of a task, in its canonical format."""
    layout = spec.preprocess.frame_format
    if layout is FrameFormat.POINTS4F:
        return (spec.input.max_points, 4)
    if layout is FrameFormat.RANGES1F:
        return (spec.input.max_points,)
    if layout is FrameFormat.DEPTH32F:
        return spec.input.max_size
    return (*spec.input.max_size, 3)


class Admission:
    """The steps from a spec to an answer. Holds no task; asks and changes nothing but caches.

    Args:
        spec: device, lanes, arena and roots.
        backend: for its offline half.
        profiles: measured budgets.
        cache_dir: prepared and compiled networks.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        backend: Backend,
        profiles: ProfileStore,
        cache_dir: Path,
    ) -> None:
        """Keep what the steps need."""
        self._spec = spec
        self._backend = backend
        self._profiles = profiles
        self._cache_dir = cache_dir
        self._lanes = tuple(lane.name for lane in spec.device.lanes)

    def prepare(self, spec: TaskSpec, measure: Measure | None) -> Candidate:
        """Locate, check, fuse and compile the network, and find its budget.

        Args:
            spec: the task.
            measure: called to measure a missing profile; ``None`` where that is not possible now.

        Raises:
            Refusal: the first step that says no.
        """
        if spec.lane and spec.lane not in self._lanes:
            raise Refusal(
                Rule.SCHEMA,
                f"there is no lane {spec.lane!r}; the lanes are {', '.join(self._lanes)}",
            )
        try:
            path = resolve_model(spec.model, self._spec.models.roots)
            found = digest(path)
            if spec.sha256 and found != spec.sha256:
                raise ModelError(
                    "the file is not the one that was declared",
                    where="sha256",
                    value=found,
                    expected=spec.sha256,
                    code="model_digest",
                    mend="Restore the file, or declare its new digest",
                )
            prepared = prepare(
                path,
                spec.preprocess,
                max_shape=max_shape(spec),
                cache_dir=self._cache_dir,
                dimensions=spec.dimensions,
                model_digest=found,
            )
            self._check_decoder(spec, prepared)
            compiled = self._backend.compile(prepared, self._cache_dir)
        except AegisError as error:
            raise Refusal(_RULES_OF_CODES.get(error.code, Rule.SCHEMA), str(error)) from error
        except OSError as error:
            raise Refusal(Rule.MODEL_FILE, f"{spec.model} cannot be read: {error}") from error
        return self._with_budget(spec, prepared, compiled, measure)

    def decide(
        self,
        candidate: Candidate,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        arena_used: Mapping[str, int],
    ) -> Admitted:
        """Test arena and schedulability beside what runs already.

        Args:
            candidate: the new task.
            admitted: for each running task, how the tests see it and its lane.
            arena_used: bytes of each running task.

        Raises:
            Refusal: it does not fit, with the numbers and what would help.
        """
        self._check_arena(candidate, arena_used)
        task = candidate.analysis_task()
        tasks = [item for item, _ in admitted.values()]
        fixed = {name: lane for name, (_, lane) in admitted.items()}
        switch_ns = self._spec.device.switch_ns
        found = assign([*tasks, task], self._lanes, switch_ns=switch_ns, fixed=fixed)
        lane = found.lane_of[task.name]
        before = _utilization(
            [item for item, where in admitted.values() if where == lane], switch_ns
        )
        verdict = found.verdicts[lane]
        if found.schedulable:
            return Admitted(lane, found, before)
        changes = tuple(
            _as_declared(change, candidate.spec)
            for change in counterfactuals(
                [*tasks, task],
                task.name,
                self._lanes,
                switch_ns=switch_ns,
                fixed=fixed,
                reserve_ns=candidate.spec.output.publish_ns,
            )
            if change.change != "segments"  # nothing a user can declare
        )
        advice = changes[0].sentence if changes else "no single change that was tried would help"
        everywhere = f" (no other of {len(self._lanes)} lanes fits)" if len(self._lanes) > 1 else ""
        raise Refusal(
            verdict.rule,
            f"{task.name} is rejected: {verdict.sentence}{everywhere}. {advice}",
            left=verdict.left,
            relation=verdict.relation,
            right=verdict.right,
            unit=verdict.unit,
            lane=lane,
            utilization_before=before,
            utilization_after=verdict.utilization,
            witness=verdict.witness,
            counterfactuals=changes,
        )

    def profile_key(self, compiled: CompiledNetwork) -> ProfileKey:
        """Return the key under which a network's profile is kept."""
        return ProfileKey(compiled.key, self._backend.name, self._backend.device_name())

    @staticmethod
    def _check_decoder(spec: TaskSpec, prepared: PreparedNetwork) -> None:
        try:
            create_decoder(
                spec.output.decoder,
                spec.output.options,
                spec.preprocess,
                prepared.outputs,
                prepared.metadata,
            )
        except AegisError as error:
            raise Refusal(Rule.DECODER, str(error)) from error

    def _with_budget(
        self,
        spec: TaskSpec,
        prepared: PreparedNetwork,
        compiled: CompiledNetwork,
        measure: Measure | None,
    ) -> Candidate:
        if spec.wcet_ns:
            parts = compiled.segments
            each = -(-spec.wcet_ns // parts)
            return Candidate(
                spec,
                prepared,
                compiled,
                (each,) * parts,
                "declared",
                f"budget of {spec.wcet_ns / 1e6:.2f} ms as declared, not measured",
            )
        key = self.profile_key(compiled)
        profile = self._profiles.get(key)
        if profile is None or profile.samples_ns.shape[1] != compiled.segments:
            if measure is None:
                raise Refusal(
                    Rule.WCET_PROFILE,
                    f"{spec.name} has no WCET profile on {key.device}, and measuring one now would "
                    "disturb tasks of high criticality. Measure it while the orchestrator is "
                    "inactive: `ros2 lifecycle set <node> deactivate`, then register again, or "
                    "beforehand with `aegis profile <config.yaml>`; or declare wcet_ms",
                )
            measure(spec, compiled, key, prepared.digest)
            profile = self._profiles.get(key)
            if profile is None:
                raise Refusal(
                    Rule.WCET_PROFILE,
                    f"{spec.name} was measured, but its profile cannot be read back; "
                    "check the disk that state_dir lies on",
                )
        budgets = profile.budgets()
        return Candidate(
            spec,
            prepared,
            compiled,
            tuple(item.value_ns for item in budgets),
            "measured",
            budgets[0].sentence,
        )

    def _check_arena(self, candidate: Candidate, used: Mapping[str, int]) -> None:
        budget = self._spec.device.arena_bytes
        need, taken = candidate.compiled.arena_bytes, sum(used.values())
        if taken + need <= budget:
            return
        missing = taken + need - budget
        changes = [
            Counterfactual(
                candidate.spec.name,
                "arena_mib",
                -(-(taken + need) // _MIB),
                f"{candidate.spec.name} would be admitted with device.arena_mib of "
                f"{-(-(taken + need) // _MIB)} or more",
            )
        ]
        enough = sorted((size, name) for name, size in used.items() if size >= missing)
        if enough:
            size, name = enough[0]
            changes.append(
                Counterfactual(
                    name,
                    "drop",
                    0.0,
                    f"{candidate.spec.name} would be admitted if {name} ({size / _MIB:.0f} MiB) "
                    "were removed",
                )
            )
        raise Refusal(
            Rule.ARENA,
            f"{candidate.spec.name} needs {need / _MIB:.0f} MiB and {(budget - taken) / _MIB:.0f} "
            f"of {budget / _MIB:.0f} MiB are free. {changes[0].sentence}",
            left=(taken + need) / _MIB,
            relation=">",
            right=budget / _MIB,
            unit="MiB",
            counterfactuals=tuple(changes),
        )


def _as_declared(change: Counterfactual, spec: TaskSpec) -> Counterfactual:
    """Return a change of the tests' deadline as one of the declared deadline."""
    if change.change != "deadline_ms":
        return change
    value = change.value + spec.output.publish_ns / 1e6
    return replace(
        change,
        value=value,
        sentence=f"{spec.name} would be admitted with a deadline of {value:g} ms",
    )


def _utilization(tasks: Sequence[AnalysisTask], switch_ns: int) -> float:
    return sum(task.wcet_ns(switch_ns) / task.period_ns for task in tasks)
