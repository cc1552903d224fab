"""Where everything runs: on the whole device, or inside some of its multiprocessors."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.backends import capabilities_of
from benchmarks.gpu.partitions import CONFINED

__all__ = ["Place", "controlled", "places"]

_CONFINABLE = "onnxruntime_cuda"


@dataclass(frozen=True, slots=True)
class Place:
    """A device as the benchmark sees it.

    Attributes:
        name: short.
        title: for people.
        backend: name of the backend that computes there.
        scale: how many times as wide and high the frames of the large networks are.
        copies: tasks of each large network.
        share: multiprocessors of the first of two lanes that divide it; 0 where it cannot be.
        on_cores: whether processor cores are the device.
    """

    name: str
    title: str
    backend: str
    scale: int
    copies: int
    share: int
    on_cores: bool = False


def places(
    backend: str, wanted: list[str], *, inside: int, share: int, scale: int, copies: int
) -> list[Place]:
    """Return where to run, the most telling place first.

    A whole GPU gets larger frames and more tasks, so that it has something to do.

    Args:
        backend: its name.
        wanted: of ``whole`` and ``inside``.
        inside: multiprocessors that everything is confined to.
        share: of the first of two lanes that divide the whole GPU.
        scale: of the frames; 0 for what suits the place.
        copies: of the large networks' tasks; 0 for what suits the place.

    Raises:
        SystemExit: none of them can be had.
    """
    can = capabilities_of(backend)
    usual = 1 if can.on_cores else 2
    whole = Place(
        "whole",
        "whole device",
        backend,
        scale or usual,
        copies or usual,
        share if can.partitions else 0,
        can.on_cores,
    )
    confined = Place(
        "inside",
        f"inside {inside} multiprocessors",
        CONFINED,
        scale or 1,
        copies or 1,
        inside // 2,
    )
    made = [confined] if "inside" in wanted and backend == _CONFINABLE else []
    if "whole" in wanted:
        made.append(whole)
    if not made:
        raise SystemExit(f"--places: only {_CONFINABLE} can be confined to some multiprocessors")
    return made


def controlled(backend: str) -> bool:
    """Return whether the device can be divided, and a control can ignore that."""
    return backend == _CONFINABLE
