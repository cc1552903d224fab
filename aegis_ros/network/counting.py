"""Counts what a prepared network finds in frames of a robot, in a contained child process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.preparing import PreparedNetwork
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit
from aegis_ros.sandbox.scratch import Scratch

__all__ = ["most_found"]


def most_found(
    network: PreparedNetwork,
    frames: Sequence[npt.NDArray[np.generic]],
    *,
    arena_bytes: int = 1024**3,
    timeout_s: float = 120.0,
) -> int:
    """Return the most rows that a network finds in one of several frames.

    Args:
        network: one whose time depends on that (:attr:`PreparedNetwork.busy`).
        frames: what each of its inputs is fed, [frames, *largest shape of a frame].
        arena_bytes: what a network may take; the child process gets a few times as much.
        timeout_s: how long the child may take.

    Raises:
        ModelError: it fails on one of the frames, or takes too long.
        OSError: its file cannot be opened, or the frames cannot be handed on.
    """
    with (
        ModelFile(network.path) as file,
        Scratch() as scratch,
    ):
        for index, stack in enumerate(frames):
            np.save(scratch / f"{index}.npy", stack)
        facts = run_child(
            "aegis_ros.network.counting_child",
            {
                "descriptor": file.descriptor,
                "digest": network.fused_digest or file.digest,
                "name": network.source.name,
                "scratch": str(scratch),
                "inputs": len(frames),
                "rows_axes": [item.rows_axis for item in network.outputs],
            },
            allowed=Containment(memory_bytes=memory_limit(arena_bytes), writes=(str(scratch),)),
            timeout_s=timeout_s,
            subject=network.source.name,
            descriptors=(file.descriptor,),
        )
    return int(facts["found"])
