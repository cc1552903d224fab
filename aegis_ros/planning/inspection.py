"""Looks at a network's file: what it takes and gives, what it costs, which task could run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegis_ros.config import parse_task
from aegis_ros.decoders import create_decoder
from aegis_ros.decoders.guessing import SIZES, Clues, Guess, guess
from aegis_ros.errors import AegisError
from aegis_ros.network import (
    Description,
    ModelFile,
    PreparedNetwork,
    TensorInfo,
    describe,
    prepare,
)
from aegis_ros.network.feed import Bound
from aegis_ros.network.fuse import names_beside, preprocessing_graphs
from aegis_ros.planning.entry import IMAGE_SIZE, entry, is_image, size_of, task_name
from aegis_ros.planning.feeds import feeds
from aegis_ros.sandbox.scratch import Scratch

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        path: the file.
        digest: its SHA-256 in hex.
        bytes: its size.
        description: what it says of itself.
        guess: the decoder that likely reads it.
        task: keys of a task that runs it; the configuration accepts them if there is no problem.
        sizes: height and width of each image that it takes.
        assumed: inputs whose size nobody says.
        in_front: operators of the preprocessing that is fused into it.
        prepared: the network as it would run; ``None`` where that does not work.
        problem: why it does not work; empty where it does.
    """

    path: Path
    digest: str
    bytes: int
    description: Description
    guess: Guess
    task: Mapping[str, Any]
    sizes: Mapping[str, tuple[int, int]]
    assumed: tuple[str, ...]
    in_front: tuple[str, ...]
    prepared: PreparedNetwork | None
    problem: str = ""


def inspect(file: ModelFile, model: str, *, size: tuple[int, int] | None = None) -> Inspection:
    """Describe a network, prepare it for an example of a task, and guess its decoder.

    Args:
        file: the ONNX file.
        model: what a task calls it: a path or a URI.
        size: height and width of its images, where the file leaves them open.

    Raises:
        ModelError: the file is no network.
    """
    found = describe(file)
    sizes = {
        item.name: size_of(item, size, found.metadata) for item in found.inputs if is_image(item)
    }
    assumed = tuple(
        item.name
        for item in found.inputs
        if item.name in sizes
        and size is None
        and "imgsz" not in found.metadata
        and not all(isinstance(extent, int) for extent in item.shape[1:])
    )
    name = task_name(file.path.stem)
    with Scratch() as scratch:
        preparing = _Preparing(
            file, name, model, found, sizes=sizes, scratch=scratch, given=size is not None
        )
        return preparing.inspection(assumed)


@dataclass(slots=True)
class _Preparing:
    """One look at a network; prepares it once, or twice where only a run shows its outputs."""

    file: ModelFile
    name: str
    model: str
    found: Description
    sizes: dict[str, tuple[int, int]]
    scratch: Path
    given: bool  # whether the size was
    problem: str = ""

    def inspection(self, assumed: tuple[str, ...]) -> Inspection:
        outputs = self.found.outputs
        plain = self._task(Guess("raw", {}, "", sure=False))
        if not all(item.static for item in outputs):
            prepared = self._prepared(plain)
            outputs = outputs if prepared is None else prepared.outputs
        likely = guess(self._clues(outputs))
        self._choose_sizes(likely, assumed)
        values = self._task(likely)
        prepared = self._prepared(values)
        if prepared is not None and not self._reads(values, prepared):
            likely = replace(likely, decoder="raw", options={}, sure=False)
            values = self._task(likely)
        return Inspection(
            path=self.file.path,
            digest=self.file.digest,
            bytes=self.file.size,
            description=self.found,
            guess=likely,
            task=values,
            sizes=self.sizes,
            assumed=assumed,
            in_front=self._in_front(values),
            prepared=prepared,
            problem=self.problem,
        )

    def _choose_sizes(self, likely: Guess, assumed: Sequence[str]) -> None:
        """Take the usual size of such networks where nobody says another."""
        if likely.decoder in SIZES:
            self.sizes |= dict.fromkeys(assumed, SIZES[likely.decoder])
        if likely.decoder == "centerface" and not self.given:
            # Its file fixes 32 x 32, and every program that runs it frees the extents.
            self.sizes = dict.fromkeys(self.sizes, IMAGE_SIZE)

    def _task(self, likely: Guess) -> dict[str, Any]:
        return entry(self.name, self.model, self.found.inputs, guess=likely, sizes=self.sizes)

    def _clues(self, outputs: Sequence[TensorInfo]) -> Clues:
        size = next(iter(self.sizes.values())) if len(self.sizes) == 1 else None
        words = f"{self.file.path.stem} {self.found.producer}".lower()
        return Clues(tuple(outputs), size, self.found.metadata, self.found.made_by, words)

    def _prepared(self, values: Mapping[str, Any]) -> PreparedNetwork | None:
        self.problem = ""
        try:
            spec = parse_task(values)
            return prepare(self.file, feeds(spec), cache_dir=self.scratch)
        except AegisError as error:
            self.problem = str(error)
            return None

    def _reads(self, values: Mapping[str, Any], prepared: PreparedNetwork) -> bool:
        spec = parse_task(values)
        try:
            create_decoder(
                spec.output.decoder,
                spec.output.options,
                spec.main_preprocess,
                prepared.outputs,
                metadata=prepared.metadata,
            )
        except AegisError:
            return False
        return True

    def _in_front(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the operators that preprocessing adds, the last one, a name, left out."""
        try:
            fed = feeds(parse_task(values))
        except AegisError:  # more inputs than a task has; that problem is reported already
            return ()
        if not fed or len(fed) != len(self.found.inputs):
            return ()
        names = names_beside((), [item.name for item in self.found.inputs])
        bounds = [Bound(feed.max_shape, feed.preprocess.size) for feed in fed]
        shapes = [item.shape for item in self.found.inputs]
        graph = preprocessing_graphs(fed, bounds, shapes, names)
        return tuple(node.op_type for node in graph.node if node.op_type != "Identity")
