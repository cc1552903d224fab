"""A generator as a bare set writes it down."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aegis_ros.config import Number, explain
from aegis_ros.errors import ConfigError
from aegis_ros.memory import KvShape
from aegis_ros.planning.generator import Bucket, Generator
from aegis_ros.planning.set_values import Ms, Name, ns_up

__all__ = ["SETTINGS", "GeneratorEntry", "generators_of", "with_setting"]

SETTINGS = ("slots", "max_len", "arena_mib", "tokens_per_s")
"""Keys that may be tried with another value: numbers, and no matter of measurements."""

_MIB = 1024 * 1024
_Tokens = Annotated[int, Number, Field(ge=1, le=65_536)]
_Slots = Annotated[int, Number, Field(ge=1, le=1_024)]


class BucketEntry(BaseModel):
    """One shape that was measured; the keys are those of :class:`Bucket`."""

    model_config = ConfigDict(extra="forbid")
    prefill: _Tokens | None = None
    decode: _Slots | None = None
    encode: _Tokens | None = None
    parts_ms: list[Ms] = Field(min_length=1, max_length=1024)
    precision: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]{1,16})?$")] = ""


class GeneratorEntry(BaseModel):
    """A generator; the keys are those of :class:`Generator`."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    lane: str = ""
    buckets: list[BucketEntry] = Field(min_length=2, max_length=64)
    slots: _Slots = 1
    max_len: Annotated[int, Number, Field(ge=2, le=1_048_576)]
    kv_bytes_per_token: Annotated[int, Number, Field(ge=1, le=1_073_741_824)]
    arena_mib: Annotated[float, Number, Field(gt=0.0, le=1_048_576, allow_inf_nan=False)] | None = (
        None
    )
    tokens_per_s: Annotated[float, Number, Field(ge=1e-3, le=1e6, allow_inf_nan=False)] | None = (
        None
    )


def generators_of(
    entries: Sequence[GeneratorEntry], lanes: Sequence[str], taken: Collection[str], policy: str
) -> tuple[Generator, ...]:
    """Return generators, held to what their keys mean together.

    Args:
        entries: as the file has them.
        lanes: names of all lanes.
        taken: names of the tasks.
        policy: that orders the jobs of the lanes.

    Raises:
        ConfigError: names the key, the value and what was expected.
    """
    if entries and policy != "edf":
        raise ConfigError(
            "generators are tested under the policy edf",
            where="policy",
            value=policy,
            expected="edf, or no generators",
        )
    found: list[Generator] = []
    for index, entry in enumerate(entries):
        where = f"generators[{index}]"
        if entry.name in taken or any(entry.name == other.name for other in found):
            raise ConfigError(
                "the name is taken",
                where=f"{where}.name",
                value=entry.name,
                expected="a name of its own",
                hint="Rename one of the two",
            )
        if entry.lane not in lanes and (entry.lane or len(lanes) > 1):
            raise ConfigError(
                "there is no such lane" if entry.lane else "a generator does not choose its lane",
                where=f"{where}.lane",
                value=entry.lane,
                expected="one of " + ", ".join(lanes),
            )
        generator = Generator(
            entry.name,
            entry.lane or lanes[0],
            _buckets_of(entry.buckets, where),
            KvShape(entry.slots, entry.max_len, entry.kv_bytes_per_token),
            0 if entry.arena_mib is None else int(entry.arena_mib * _MIB),
            entry.tokens_per_s or 0.0,
        )
        if generator.tokens_per_s and generator.promise() is None:
            raise ConfigError(
                f"no decode for {entry.slots} answers at once, which the promise is tested with",
                where=f"{where}.buckets",
                expected=f"one with decode: {entry.slots} or more",
                hint="Measure one, or promise to fewer slots",
            )
        found.append(generator)
    return tuple(found)


def _buckets_of(entries: Sequence[BucketEntry], where: str) -> tuple[Bucket, ...]:
    buckets: list[Bucket] = []
    for index, entry in enumerate(entries):
        place = f"{where}.buckets[{index}]"
        sizes = [entry.prefill, entry.decode, entry.encode]
        given = [size for size in sizes if size is not None]
        if len(given) != 1:
            raise ConfigError(
                "a bucket is a chunk of a prompt, a decode or an image",
                where=place,
                value="several" if given else "none of them",
                expected="prefill: TOKENS, decode: ANSWERS or encode: ROWS",
            )
        parts = tuple(ns_up(part) for part in entry.parts_ms)
        image = entry.encode is not None
        bucket = Bucket(given[0], entry.decode is None, parts, entry.precision, image)
        if any(bucket.name == other.name for other in buckets):
            raise ConfigError(
                "the bucket stands twice", where=place, value=bucket.name, expected="one of each"
            )
        buckets.append(bucket)
    for kind in ("prefill", "decode"):
        if not any(bucket.kind == kind for bucket in buckets):
            raise ConfigError(
                f"no {kind} is among the buckets",
                where=f"{where}.buckets",
                expected="at least one prefill and one decode",
            )
    return tuple(buckets)


def with_setting(generator: Generator, field: str, value: object, where: str) -> Generator:
    """Return a generator with one of :data:`SETTINGS` changed, held to what a file is held to.

    Raises:
        ConfigError: the value is not valid.
    """
    values = {
        "name": generator.name,
        "lane": generator.lane,
        "buckets": [
            {
                bucket.kind: bucket.tokens,
                "parts_ms": [part / 1e6 for part in bucket.parts_ns],
                "precision": bucket.precision,
            }
            for bucket in generator.buckets
        ],
        "slots": generator.cache.slots,
        "max_len": generator.cache.max_len,
        "kv_bytes_per_token": generator.cache.token_bytes,
        "arena_mib": generator.room_bytes / _MIB if generator.room_bytes else None,
        "tokens_per_s": generator.tokens_per_s or None,
        field: value,
    }
    try:
        entry = GeneratorEntry.model_validate(values)
    except ValidationError as error:
        raise explain(error, GeneratorEntry, values, where, lines={}) from None
    (changed,) = generators_of([entry], (generator.lane,), (), "edf")
    return changed
