"""TensorRT on one NVIDIA GPU: a stream a lane, engines for segments, memory taken at load.

Only API that TensorRT 10.3 to 11 share is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.base import Capabilities, CompiledNetwork, LoadedNetwork
from aegis_ros.backends.cuda.backend import CudaBackend
from aegis_ros.backends.cuda.trt.network import TensorRtNetwork, faster
from aegis_ros.backends.cuda.trt.toolkit import Toolkit, find_toolkit
from aegis_ros.backends.kept import compiled, files_of, in_build, only_letters, without_files
from aegis_ros.backends.progress import Progress, watched
from aegis_ros.errors import StateError
from aegis_ros.sandbox.verified import verified

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork
    from aegis_ros.sandbox.artifacts import ArtifactCache

__all__ = ["TensorRtBackend"]

_BUILD_TIMEOUT_S = 3600.0


class TensorRtBackend(CudaBackend):
    """Runs networks through TensorRT.

    Args:
        toolkit: what to work with; ``None`` for what is installed.
        build: makes engines as :func:`aegis_ros.backends.cuda.trt.build_child.build` does; in a
            child process if not given.
        on_lost: called with a sentence when the GPU's context is lost and no call on it can work
            any more. Ends the process if not given: whoever started the engine starts a new one.
        graph_pays: whether to launch a segment as a CUDA graph, from the median time in
            nanoseconds without and with one.
        tf32: whether what it compiles may multiply float32 as TF32, which is faster and less exact.

    Attributes:
        on_progress: called with what is built at present and how much of it is done, 0..1.

    Raises:
        BackendError: TensorRT, the driver or the GPU is missing.
    """

    name = "tensorrt"
    capabilities = Capabilities(
        partitions=True,
        graphs=True,
        tf32=True,
        shares_activations=True,
        waits=True,
        contends="the GPU",
        distributions=("tensorrt",),
    )

    def __init__(
        self,
        toolkit: Toolkit | None = None,
        *,
        build: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        on_lost: Callable[[str], None] | None = None,
        graph_pays: Callable[[float, float], bool] = faster,
        tf32: bool = False,
    ) -> None:
        """Find TensorRT and the GPU, and hold no lane yet."""
        self.on_progress: Progress | None = None
        self._build = build
        self._toolkit = toolkit or find_toolkit()
        self._graph_pays = graph_pays
        self._tf32 = tf32
        super().__init__(self._toolkit.driver, on_lost)

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Build an engine for each segment, in a child process, and check its numbers there.

        TensorRT picks kernels by how long they take, so that no two builds agree to the last bit,
        whole or cut: what is built is held to ONNX Runtime's numbers instead, within the tolerance
        of :data:`~aegis_ros.backends.reference.FLOAT32` (or its wider neighbour for TF32).

        Raises:
            ModelError: TensorRT cannot take the network, or computes something else.
        """
        from aegis_ros.sandbox.artifacts import ArtifactCache  # what an engine has no use for

        cache = ArtifactCache(cache_dir / self.name)
        precision = "tf32" if self._tf32 else "fp32"
        return compiled(
            self.name,
            prepared,
            cache,
            made_for=f"{self._toolkit.version}-{self._driver.device_name()}-{precision}",
            segments=segments,
            make=lambda scratch, parts: self._make(prepared, cache, scratch, parts),
        )

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Take all memory, set all addresses, run once and capture graphs.

        Raises:
            BackendError: the engine is not for this GPU, or the memory does not suffice; nothing
                is left behind.
        """
        with self._changing("TensorRT cannot load the network"):
            network = TensorRtNetwork(
                self._toolkit, compiled, self._lanes[lane], graph_pays=self._graph_pays
            )
        return self._keep(network)

    def device_name(self) -> str:
        """Return the GPU's name, the runtime's version, and whether it may be less exact."""
        allowed = ", TF32" if self._tf32 else ""
        return f"{self._driver.device_name()}, {self._toolkit.version}{allowed}"

    def _make(
        self, prepared: PreparedNetwork, cache: ArtifactCache, scratch: Path, segments: int
    ) -> tuple[dict[str, Any], list[Path]]:
        """Build engines in ``scratch``; return the facts and the files to keep.

        What TensorRT has timed is kept in the cache for later builds; the child that builds works
        on a copy.

        Raises:
            ModelError: TensorRT cannot take the network.
        """
        from aegis_ros.sandbox.children import run_child

        timing = f"timing-{only_letters(f'{self._toolkit.version}-{self._driver.device_name()}')}"
        timed = scratch / "timing.cache"
        _copy_known(cache, timing, timed)
        request = {
            "source": str(prepared.path),
            "digest": prepared.fused_digest,
            "parts": segments,
            "folder": str(scratch),
            "timing_cache": str(timed),
            "tf32": self._tf32,
            "network": without_files(self.name, prepared).to_json(),
        }
        with watched(scratch / "progress", self.on_progress):
            if self._build is not None:
                facts = self._build(request)
            else:
                facts = run_child(
                    "aegis_ros.backends.cuda.trt.build_child",
                    request,
                    allowed=in_build(prepared, scratch),
                    timeout_s=_BUILD_TIMEOUT_S,
                    subject=prepared.source.name,
                )
        if timed.is_file():
            cache.make(timing, lambda folder: ({}, [timed.rename(folder / timed.name)]), only=True)
        return files_of(facts)


def _copy_known(cache: ArtifactCache, name: str, target: Path) -> None:
    """Copy what is kept under a name, if it is what was kept; another process may replace it."""
    known = cache.find(name)
    if known is None:
        return
    with (
        suppress(StateError),
        verified(str(known.paths[0]), known.digests[0], StateError) as file,
    ):
        shutil.copyfile(file, target)
