"""TVM on processor cores: one pinned thread a lane, machine code that was compiled beforehand."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aegis_ros.backends.base import (
    MOST_INPUTS,
    Capabilities,
    CompiledNetwork,
    Ended,
    LoadedNetwork,
)
from aegis_ros.backends.cpu.onnxruntime import cpu_name
from aegis_ros.backends.progress import Progress, watched
from aegis_ros.backends.trial import warm_up
from aegis_ros.backends.tuning import Tuned
from aegis_ros.backends.tvm.network import TvmNetwork
from aegis_ros.backends.tvm.toolkit import installed_version, load_linker
from aegis_ros.backends.worker import PROCESSOR, OnCores
from aegis_ros.errors import BackendError, load_error
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from aegis_ros.backends.tvm.schedules import Tile
    from aegis_ros.backends.tvm.tuning import Found
    from aegis_ros.network.preparing import PreparedNetwork
    from aegis_ros.sandbox.artifacts import ArtifactCache

__all__ = ["TvmBackend", "load_network"]

_BUILD_TIMEOUT_S = 900.0
_REVISION = 5  # of what is made of a network; raise it when that changes
_DIGEST_DIGITS = 12


class TvmBackend(OnCores):
    """Runs networks that TVM has compiled.

    Raises:
        BackendError: TVM is not installed.
    """

    name = "tvm"
    capabilities = Capabilities(
        inputs=MOST_INPUTS,
        on_cores=True,
        contends=PROCESSOR,
        distributions=("apache-tvm", "apache-tvm-ffi", "apache-tvm-ffi-orcjit"),
        code=(".so",),
        tunes=True,
    )

    def __init__(self) -> None:
        """Hold no lane yet."""
        super().__init__()
        self._version = installed_version()

    @staticmethod
    def warm() -> None:
        """Import the runtime."""
        load_linker()

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Cut and compile the network in a child process; try it and check its numbers in another.

        Outputs are those of ONNX Runtime within the tolerance of
        :data:`~aegis_ros.backends.reference.FLOAT32`; those of segments are those of the whole
        network to the bit. What a library makes that was compiled elsewhere is compared with
        nothing but the extents and types it declares.

        Raises:
            ModelError: TVM cannot take the network, or computes something else.
        """
        from aegis_ros.backends.kept import compiled  # what an engine has no use for
        from aegis_ros.sandbox.artifacts import ArtifactCache

        cache = ArtifactCache(cache_dir / self.name)
        choices = self._found(prepared, cache).choices
        tuned = _digest(choices) if choices else ""
        made = compiled(
            self.name,
            prepared,
            cache,
            made_for=f"{tuned or 'untuned'}-{self._made_for()}",
            segments=segments,
            make=lambda scratch, parts: self._make(prepared, scratch, parts, choices),
        )
        return replace(made, tuned=tuned)

    def tune(
        self, prepared: PreparedNetwork, cache_dir: Path, seconds: float, report: Progress
    ) -> Tuned:
        """Time ways to compute the network's kernels, in a child process, and keep the fastest.

        Raises:
            ModelError: TVM cannot take the network.
        """
        from aegis_ros.backends.kept import in_build
        from aegis_ros.backends.tvm.tuning import Found
        from aegis_ros.sandbox.artifacts import ArtifactCache
        from aegis_ros.sandbox.children import run_child

        cache = ArtifactCache(cache_dir / self.name)
        known = self._found(prepared, cache)

        def build(scratch: Path) -> tuple[dict[str, Any], list[Path]]:
            with watched(scratch / "progress", report):
                made = run_child(
                    "aegis_ros.backends.tvm.tune_child",
                    {
                        "source": str(prepared.path),
                        "digest": prepared.fused_digest,
                        "folder": str(scratch),
                        "seconds": seconds,
                        "choices": msgspec.to_builtins(known.choices),
                    },
                    allowed=in_build(prepared, scratch, devices=False),
                    timeout_s=seconds + _BUILD_TIMEOUT_S,
                    subject=prepared.source.name,
                )
            return msgspec.to_builtins(msgspec.convert(made, Found)), []

        facts = cache.make(self._search_name(prepared), build).facts
        return msgspec.convert(facts, Found).tuned

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Start one thread a lane."""
        load_linker()
        super().open(lanes, ended, priority)

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Link the machine code and run it, so that its memory is there before the first job.

        Raises:
            BackendError: it cannot be linked, or a file is not what was built.
        """
        with compiled.opened() as files:
            try:
                return load_network(compiled, files)
            except Exception as error:  # its exceptions have no common type
                # What an engine has no use for.
                from aegis_ros.backends.tvm.refusals import tvm_failure

                raise load_error(tvm_failure(error), BackendError) from error

    def unload(self, network: LoadedNetwork) -> None:
        """Drop the machine code."""
        assert isinstance(network, TvmNetwork)
        network.close()

    def device_name(self) -> str:
        """Return processor and runtime version."""
        return f"{cpu_name()}, TVM {self._version}"

    def _made_for(self) -> str:
        return f"{_REVISION}-{self._version}-{platform.machine()}-{cpu_name()}"

    def _search_name(self, prepared: PreparedNetwork) -> str:
        from aegis_ros.backends.kept import only_letters

        return f"{prepared.key}-{only_letters(self._made_for())}-search"

    def _found(self, prepared: PreparedNetwork, cache: ArtifactCache) -> Found:
        """Return what a search has found of a network; nothing where there was none."""
        from aegis_ros.backends.tvm.tuning import Found

        kept = cache.find(self._search_name(prepared))
        try:
            return Found() if kept is None else msgspec.convert(kept.facts, Found)
        except msgspec.ValidationError:  # another version has searched
            return Found()

    def _make(
        self,
        prepared: PreparedNetwork,
        scratch: Path,
        segments: int,
        choices: Mapping[str, Tile],
    ) -> tuple[dict[str, Any], list[Path]]:
        from aegis_ros.backends.kept import files_of, in_build, without_files
        from aegis_ros.sandbox.children import run_child

        ask = partial(
            run_child,
            "aegis_ros.backends.tvm.build_child",
            allowed=in_build(prepared, scratch, devices=False),
            timeout_s=_BUILD_TIMEOUT_S,
            subject=prepared.source.name,
        )
        code = prepared.code
        made = ask(
            {
                "source": str(prepared.path),
                "digest": prepared.fused_digest,
                "parts": segments,
                "folder": str(scratch),
                "network": without_files(self.name, prepared).to_json(),
                "choices": msgspec.to_builtins(choices),
                "code": None
                if code is None
                else {"path": str(code.path), "digest": code.digest, "function": code.function},
            }
        )
        if "refused" in made:
            return made, []
        sizes = {
            "weight_bytes": prepared.weight_bytes,
            "activation_bytes": prepared.activation_bytes,
        }
        return files_of(ask(made | sizes))


def _digest(choices: Mapping[str, Tile]) -> str:
    text = msgspec.json.encode(choices, order="sorted")
    return hashlib.sha256(text).hexdigest()[:_DIGEST_DIGITS]


def load_network(compiled: CompiledNetwork, files: Sequence[str]) -> TvmNetwork:
    """Return a network that has run: no later run takes memory for the first time.

    Args:
        compiled: the network.
        files: names under which its files open.
    """
    loaded = TvmNetwork(compiled, files)
    warm_up(compiled, loaded)
    return loaded
