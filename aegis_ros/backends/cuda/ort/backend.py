"""ONNX Runtime's CUDA provider on one NVIDIA GPU: our streams, our buffers, our CUDA graphs.

For PCs and Jetsons without TensorRT. Sessions put their operators on streams of ours and wait for
nothing; what they put there is captured when a network is loaded, and a job only launches it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.base import Capabilities, CompiledNetwork, LoadedNetwork
from aegis_ros.backends.cuda.backend import CudaBackend
from aegis_ros.backends.cuda.ort.network import OrtCudaNetwork
from aegis_ros.backends.cuda.ort.toolkit import OrtToolkit, find_ort_toolkit
from aegis_ros.backends.kept import compiled, files_of, in_build, without_files
from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = ["OnnxRuntimeCudaBackend"]

_BUILD_TIMEOUT_S = 600.0

Build = Callable[[dict[str, Any]], dict[str, Any]]


class OnnxRuntimeCudaBackend(CudaBackend):
    """Runs networks through ONNX Runtime's CUDA provider.

    Args:
        toolkit: what to work with; ``None`` for what is installed.
        build: makes parts as :func:`aegis_ros.backends.cuda.ort.build_child.build` does; in a child
            process if not given.
        on_lost: as for :class:`CudaBackend`.
        tf32: whether what it compiles may multiply float32 as TF32, which is faster and less exact.

    Raises:
        BackendError: ONNX Runtime with CUDA, the driver or the GPU is missing.
    """

    name = "onnxruntime_cuda"
    capabilities = Capabilities(
        partitions=True,
        graphs=True,
        tf32=True,
        contends="the GPU",
        waits=True,
        distributions=("onnxruntime-gpu",),
    )

    def __init__(
        self,
        toolkit: OrtToolkit | None = None,
        *,
        build: Build | None = None,
        on_lost: Callable[[str], None] | None = None,
        tf32: bool = False,
    ) -> None:
        """Find ONNX Runtime and the GPU, and hold no lane yet."""
        self._build = build
        self._toolkit = toolkit or find_ort_toolkit()
        self._tf32 = tf32
        super().__init__(self._toolkit.driver, on_lost)

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Fold, cut and try the network in a child process, and check its numbers there.

        Kernels are chosen by how long they take, so that numbers are held to those of ONNX Runtime
        on the CPU within :data:`~aegis_ros.backends.reference.FLOAT32` (or its wider neighbour for
        TF32), not to the bit.

        Raises:
            ModelError: ONNX Runtime cannot take the network, or computes something else.
        """
        from aegis_ros.sandbox.artifacts import ArtifactCache  # what an engine has no use for

        precision = "tf32" if self._tf32 else "fp32"
        return compiled(
            self.name,
            prepared,
            ArtifactCache(cache_dir / self.name),
            made_for=f"{self._toolkit.version}-{self._driver.device_name()}-{precision}",
            segments=segments,
            make=lambda scratch, parts: self._make(prepared, scratch, parts),
        )

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Create the sessions, take all memory, run once and capture graphs.

        Raises:
            BackendError: ONNX Runtime refuses, or the memory does not suffice; nothing is left
                behind.
        """
        return self._load(compiled, lane)

    def loaded_for_build(self, compiled: CompiledNetwork, profile: Path | None) -> OrtCudaNetwork:
        """Load a network on the first lane for the child that builds, profiled where wanted.

        Raises:
            BackendError: as :meth:`load`.
        """
        return self._load(compiled, 0, profile)

    def device_name(self) -> str:
        """Return the GPU's name, the runtime's version, and whether it may be less exact."""
        allowed = ", TF32" if self._tf32 else ""
        return f"{self._driver.device_name()}, {self._toolkit.version}{allowed}"

    def _load(
        self, compiled: CompiledNetwork, lane: int, profile: Path | None = None
    ) -> OrtCudaNetwork:
        with self._changing("ONNX Runtime cannot load the network"):
            network = OrtCudaNetwork(self._toolkit, compiled, self._lanes[lane], profile=profile)
        self._keep(network)
        return network

    def _make(
        self, prepared: PreparedNetwork, scratch: Path, segments: int
    ) -> tuple[dict[str, Any], list[Path]]:
        """Build the parts below ``scratch``; return the facts and the files to keep.

        A child answers after the first captures that fail and a new one goes on without them, so
        that none judges by a stream that may be spoilt.

        Raises:
            ModelError: ONNX Runtime cannot take the network.
        """
        eager: dict[str, str] = {}
        for attempt in range(segments + 1):
            folder = scratch / str(attempt)
            folder.mkdir()
            facts = self._built(
                {
                    "source": str(prepared.path),
                    "digest": prepared.fused_digest,
                    "parts": segments,
                    "folder": str(folder),
                    "tf32": self._tf32,
                    "eager": eager,
                    "network": without_files(self.name, prepared).to_json(),
                },
                prepared,
                scratch,
            )
            if "paths" in facts or "refused" in facts:
                return files_of(facts)
            eager = facts["eager"]
        raise ModelError(
            "capturing the network keeps failing, each time in another segment",
            rule=Rule.MODEL_VALID,
        )

    def _built(
        self, request: dict[str, Any], prepared: PreparedNetwork, scratch: Path
    ) -> dict[str, Any]:
        if self._build is not None:
            return self._build(request)
        from aegis_ros.sandbox.children import run_child

        return run_child(
            "aegis_ros.backends.cuda.ort.build_child",
            request,
            allowed=in_build(prepared, scratch),
            timeout_s=_BUILD_TIMEOUT_S,
            subject=prepared.source.name,
        )
