"""From a generator of a configuration to one that can be judged: prepared, with its budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aegis_ros.backends import Backend, lane_classes
from aegis_ros.backends.generators import CompiledGenerator, generating, shapes_of, steps_of
from aegis_ros.errors import AegisError, BackendError, ConfigError
from aegis_ros.memory import Footprint, Holding, KvShape, Taken, arena_plan
from aegis_ros.network import open_model
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.generator.preparing import (
    SUFFIXES,
    PreparedGenerator,
    is_gguf,
    prepare_generator,
    tokenizer_of,
)
from aegis_ros.network.generator.prompt import require_answerable
from aegis_ros.network.generator.vision.published import EMBEDDING, ENCODER, vision_of
from aegis_ros.network.locate import resolve_resource
from aegis_ros.planning.arena_witness import with_witness
from aegis_ros.planning.declared_file import check_declared_file
from aegis_ros.planning.generator import Bucket, Generator, cache_too_large
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rule
from aegis_ros.rationale.rejection import Invalid, ModelUnreadable, NoProfile
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import GeneratorSpec, OrchestratorSpec
from aegis_ros.wcet import KnownMemory, Profile, ProfileKey

__all__ = ["GeneratorCandidate", "GeneratorPreparation", "MeasureBuckets", "Weigh"]


@dataclass(frozen=True, slots=True)
class GeneratorCandidate:
    """A generator whose model is ready and whose budgets are known.

    Attributes:
        spec: what was asked for.
        prepared: its model.
        compiled: what an engine loads of it.
        lane: where it is to run.
        buckets: what it was measured with.
        taken: what it took in memory when a process of its own loaded it; ``None`` where that was
            not measured: then the size of its files has to do.
    """

    spec: GeneratorSpec
    prepared: PreparedGenerator
    compiled: CompiledGenerator
    lane: str
    buckets: tuple[Bucket, ...]
    taken: Taken | None = None

    @property
    def cache(self) -> KvShape:
        """What its keys and values take."""
        return _cache(self.spec, self.prepared.facts)

    @property
    def weights(self) -> Footprint:
        """What its network takes without its cache."""
        return _beside_cache(self.compiled, self.cache, self.taken)

    def holding(self) -> Holding:
        """Return what is in memory for it, whether anybody asks it or not."""
        return Holding((self.spec.name,), self.weights + self.cache.footprint, self.lane)

    def generator(self, room_bytes: int = 0) -> Generator:
        """Return it as the tests see it.

        Args:
            room_bytes: what its cache may take of the arena; 0 for no limit.
        """
        spec = self.spec
        return Generator(
            spec.name, self.lane, self.buckets, self.cache, room_bytes, spec.tokens_per_s
        )


MeasureBuckets = Callable[[GeneratorSpec, CompiledGenerator, Mapping[Shape, ProfileKey]], None]


class Weigh(Protocol):
    """Sees what a model takes in memory, and stores it under a key."""

    def __call__(
        self,
        spec: GeneratorSpec,
        compiled: CompiledGenerator,
        *,
        shapes: Sequence[Shape],
        cache: KvShape,
        key: ProfileKey,
    ) -> Taken:
        """Return it; raises ``ModelError`` where the model cannot be loaded."""
        ...


class GeneratorPreparation:
    """The steps from a generator to its candidate. Holds none; changes nothing but caches.

    Args:
        spec: device, lanes and roots.
        backends: by name; all that the lanes name.
        profiles: measured budgets.
        cache_dir: prepared models.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        backends: Mapping[str, Backend],
        profiles: KnownMemory,
        cache_dir: Path,
    ) -> None:
        """Keep what the steps need."""
        self._spec = spec
        self._backends = dict(backends)
        self._profiles = profiles
        self._cache_dir = cache_dir

    def prepare(
        self,
        spec: GeneratorSpec,
        measure: MeasureBuckets | None,
        memory: Sequence[Holding] = (),
        weigh: Weigh | None = None,
    ) -> GeneratorCandidate:
        """Locate, check and convert a model, try its template, and find the budgets of its buckets.

        What cannot fit into the arena is not measured: that takes up to a minute.

        Args:
            spec: the generator.
            measure: called to measure missing budgets and to store them under the keys it is
                given; ``None`` where that is not possible now.
            memory: what is in memory for all others.
            weigh: called to see what it takes in memory where that is not known, and to store that
                under the key it is given; ``None`` where that is not possible now.

        Raises:
            Refusal: the first step that says no.
        """
        lane = spec.lane or self._spec.device.lanes[0].name
        self._require_generating(spec, lane)
        prepared, compiled = self._prepared(spec)
        keys = self._keys(spec, compiled, lane)
        found = self._known(compiled, keys)
        cache, key = _cache(spec, prepared.facts), _memory_key(compiled, keys)
        taken = self._profiles.taken(key)
        if found is None:
            self._require_room(spec, compiled, cache, taken, memory=memory, lane=lane)
        if taken is None and weigh is not None:
            taken = weigh(spec, compiled, shapes=tuple(keys), cache=cache, key=key)
            if found is None:
                self._require_room(spec, compiled, cache, taken, memory=memory, lane=lane)
        if found is None and measure is not None:
            measure(spec, compiled, keys)
            found = self._known(compiled, keys)
        if found is None:
            key = next(iter(keys.values()))
            raise Refusal(
                NoProfile(spec.name, key.device, prepared.decoder_parts, bool(spec.parts))
            )
        return GeneratorCandidate(spec, prepared, compiled, lane, _buckets(found), taken)

    def _require_room(
        self,
        spec: GeneratorSpec,
        compiled: CompiledGenerator,
        cache: KvShape,
        taken: Taken | None,
        *,
        memory: Sequence[Holding],
        lane: str,
    ) -> None:
        """Refuse what does not fit into the arena beside what is there.

        Raises:
            Refusal: names who holds the rest.
        """
        arena, beside = self._spec.device.arena_bytes, _beside_cache(compiled, cache, taken)
        room = arena - arena_plan(memory).nbytes - beside.total
        too_large = cache_too_large(spec.name, cache, max(1, room))
        if too_large is not None:
            own = Holding((spec.name,), beside + cache.footprint, lane)
            raise Refusal(with_witness(too_large, own, memory, arena))

    def known(
        self, generators: Iterable[GeneratorSpec], refused: Callable[[str, str], ConfigError]
    ) -> tuple[list[GeneratorCandidate], list[str], list[ConfigError]]:
        """Prepare generators from what is known of them, measuring nothing.

        Args:
            generators: those of a file.
            refused: makes an error of a name and why it cannot run.

        Returns:
            Those that can be tested, the names of those without profiles, and what keeps others
            from running.
        """
        found, unknown, errors = [], [], []
        for each in generators:
            try:
                found.append(self.prepare(each, None))
            except Refusal as refusal:
                if refusal.rule is Rule.WCET_PROFILE:
                    unknown.append(each.name)
                else:
                    errors.append(refused(each.name, refusal.sentence))
        return found, unknown, errors

    def _require_generating(self, spec: GeneratorSpec, lane: str) -> None:
        """Refuse a lane whose runtime has no generators.

        Raises:
            Refusal: names those that have.
        """
        there = next(each for each in lane_classes(self._spec.device) if lane in each.lanes)
        try:
            generating(self._backends[there.backend], there.backend)
        except BackendError as error:
            raise Refusal(Invalid(spec.name, Rule.SCHEMA, str(error))) from error

    def _prepared(self, spec: GeneratorSpec) -> tuple[PreparedGenerator, CompiledGenerator]:
        roots = self._spec.models.roots
        try:
            named = resolve_resource(spec.tokenizer, roots) if spec.tokenizer else None
            with (
                open_model(spec.model, roots, SUFFIXES) as file,
                vision_of(spec.model, roots) as vision,
            ):
                check_declared_file(spec, file, self._spec)
                prepared = prepare_generator(
                    file,
                    cache_dir=self._cache_dir,
                    tokenizer=tokenizer_of(spec.model, roots, named, embedded=is_gguf(file)),
                    vision=None if is_gguf(file) else vision,
                    context=spec.max_len,
                    parts=spec.parts,
                    image_parts=1 if spec.image is None else spec.image.parts,
                    precision=Precision(spec.precision),
                )
            shown = spec.image is not None
            if shown and prepared.facts.image is None:
                raise ConfigError(
                    "the model takes no images",
                    where="image",
                    expected=f"a model with {ENCODER}.onnx and {EMBEDDING}.onnx beside its decoder",
                )
            require_answerable(prepared, spec.system, image=shown)
            prompts = spec.prompts
            if prompts is not None and (prompts.system or prompts.prefix or prompts.suffix):
                require_answerable(
                    prepared,
                    prompts.system or spec.system,
                    around=(prompts.prefix, prompts.suffix),
                    field="prompts",
                    image=shown,
                )
            compiled = CompiledGenerator.of(prepared)
            return prepared, compiled if shown else compiled.blind()
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except OSError as error:
            raise Refusal(ModelUnreadable(spec.name, spec.model, str(error))) from error

    def _keys(
        self, spec: GeneratorSpec, compiled: CompiledGenerator, lane: str
    ) -> dict[Shape, ProfileKey]:
        """Return the key of each bucket's profile, in the order of a plan."""
        classes = lane_classes(self._spec.device)
        there = next(each for each in classes if lane in each.lanes)
        backend = self._backends[there.backend]
        device = ", ".join(filter(None, (backend.device_name(), there.share)))
        facts, slots = compiled.facts, _slots(spec, compiled.facts)
        try:
            shapes = shapes_of(facts, slots)
        except ConfigError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        return {
            shape: ProfileKey(
                f"{compiled.key}, {slots} slots of {facts.context}, "
                f"{Bucket(shape.tokens, shape.prefill, (), '', shape.image).name}",
                backend.name,
                device,
            )
            for shape in shapes
            if shape.image or shape.tokens <= (spec.max_chunk if shape.prefill else spec.max_batch)
        }

    def _known(
        self, compiled: CompiledGenerator, keys: Mapping[Shape, ProfileKey]
    ) -> dict[Shape, Profile] | None:
        """Return what was measured of every bucket; ``None`` where anything is missing."""
        found = {shape: self._profiles.get(key) for shape, key in keys.items()}
        known = {
            shape: profile
            for shape, profile in found.items()
            if profile is not None and profile.segments == steps_of(compiled, [shape])[1]
        }
        return known if len(known) == len(keys) else None


def _slots(spec: GeneratorSpec, facts: GeneratorFacts) -> int:
    """Return how many answers may run at once; a cache that grows is that of one."""
    return 1 if facts.grows else spec.slots


def _beside_cache(compiled: CompiledGenerator, cache: KvShape, taken: Taken | None) -> Footprint:
    """Return what a model takes without its cache; all of what it took, where that was seen.

    What is beyond its weights is what runs need: their activations, weights that are laid out
    anew for a kernel, and what the runtime's allocator keeps.
    """
    estimate = compiled.without_cache(cache.slots)
    if taken is None:
        return estimate
    rest = max(0, taken.nbytes - cache.footprint.total - estimate.state)
    weights = min(rest, estimate.weights)
    return replace(estimate, weights=weights, activations=rest - weights)


def _memory_key(compiled: CompiledGenerator, keys: Mapping[Shape, ProfileKey]) -> ProfileKey:
    """Return the key of what a model takes with all these buckets."""
    first = next(iter(keys.values()))
    slots = first.network.rpartition(", ")[0]
    names = "+".join(key.network.rpartition(", ")[2] for key in keys.values())
    return replace(first, network=f"{slots}, memory of {names}")


def _cache(spec: GeneratorSpec, facts: GeneratorFacts) -> KvShape:
    return KvShape(_slots(spec, facts), facts.context, facts.kv_bytes_per_token)


def _buckets(profiles: Mapping[Shape, Profile]) -> tuple[Bucket, ...]:
    """Return buckets with budgets; none of a part is below that of a smaller bucket of its kind.

    What is admitted is then always all up to a size, and a size is all that has to be told to
    what runs them.
    """
    found: list[Bucket] = []
    for shape, profile in profiles.items():
        parts = [each.value_ns for each in profile.budgets()]
        bucket = Bucket(shape.tokens, shape.prefill, tuple(parts), image=shape.image)
        if found and found[-1].kind == bucket.kind:
            parts = [max(pair) for pair in zip(parts, found[-1].parts_ns, strict=True)]
        found.append(replace(bucket, parts_ns=tuple(parts)))
    return tuple(found)
